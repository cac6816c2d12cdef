"""Numbers the optimizer moves within declared bounds; whoever uses one reads it here (ORC-44)."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from resources.actions.base import Bounds
from resources.models import Tunable

# How many models are asked: 0 all, 1 those that vote, 2 the first half of those that vote.
THRIFT = "decision_thrift"
# Seconds between rounds of the sampler; what guards money is not polled at this pace.
SAMPLE_EVERY_S = "sample_every_s"
# Rises by one each time the trading loop shall open its connections to the venue anew.
RECONNECTS = "reconnects"
# Rows that this room deletes in one transaction.
PRUNE_BATCH = "prune_batch"

BOUNDS: Mapping[str, Bounds] = {
    THRIFT: Bounds(0.0, 2.0, "level"),
    SAMPLE_EVERY_S: Bounds(1.0, 20.0, "s"),
    RECONNECTS: Bounds(0.0, 1e9, "count"),
    PRUNE_BATCH: Bounds(100.0, 5_000.0, "rows"),
}


def tunable_value(name: str, otherwise: float) -> float:
    """Return how a tunable stands, within its bounds; ``otherwise`` where nobody moved it."""
    value = Tunable.objects.filter(name=name).values_list("value", flat=True).first()
    return otherwise if value is None else BOUNDS[name].clamp(value)


def tunable_set(name: str, value: float, *, by: str) -> float:
    """Move a tunable, clamped to its bounds; return how it stands now."""
    held = BOUNDS[name].clamp(value)
    Tunable.objects.update_or_create(
        name=name, defaults={"value": held, "changed_at": timezone.now(), "changed_by": by}
    )
    return held


def tunable_reset(name: str) -> None:
    Tunable.objects.filter(name=name).delete()


def decision_thrift() -> int:
    """Return how sparing decisions are to be; 0 where nobody asked for it."""
    return int(tunable_value(THRIFT, 0.0))
