"""The policy of a stored run: reads switch and state from rows, by version, once an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import transaction

from accounts.models import SettingsVersion
from engine.announce import Announcer, EventOutcome
from engine.failsafe import FailSafe, fall_back
from engine.ports import Assessment, OptimizationPolicy, Reporter
from engine.types.decisions import Decision
from engine.types.ledger import Trade
from engine.types.opinions import MarketView, Missing, Proposal, Regime
from engine.types.orders import Purpose
from optimization import logs
from optimization.core.actions import ActionKind, Fields, Tell
from optimization.core.state import LayerState
from optimization.models import StoredLayerState
from optimization.switches import SECTION, Effective, effective

Build = Callable[[Effective], OptimizationPolicy]


class SwitchedPolicy:
    """Implements ``OptimizationPolicy``: the policy of the settings that hold, taken over at the
    next event after a change (OPT-55).

    Args:
        build: returns the policy of given settings; asked once a version. Where it fails, the
            policy before stays and the next event asks again.
        base: answers until the first event.
        fail_safe: guards what the policy itself reads. A state that cannot be read must not keep
            the switch from being seen: it is how a person ends the trouble.
    """

    def __init__(self, build: Build, base: OptimizationPolicy, fail_safe: FailSafe) -> None:
        self._build = build
        self._fail_safe = fail_safe
        self._version = -1
        self._policy = base

    def refresh(self, now_ms: int) -> None:
        # a read that fails must not spoil the event's transaction around it
        with transaction.atomic():
            version = _newest_version()
            if version != self._version:
                settings = effective()
                self._policy = self._build(settings)
                logs.tell_switch(
                    settings.is_enabled, settings.version, settings.source, settings.actor
                )
                self._version = version
        self._fail_safe.fall_back(lambda: self._read_state(now_ms), None, where="policy.state")

    def _read_state(self, now_ms: int) -> None:
        with transaction.atomic():
            self._policy.refresh(now_ms)

    def weights(self, regime: Regime) -> Mapping[str, float]:
        return self._policy.weights(regime)

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        return self._policy.assess(proposal, market, confluence)

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        return self._policy.size_multiplier(proposal, assessment, market)

    def record_outcome(self, trade: Trade) -> None:
        """Tell of the trade; its row is in the event's transaction already, so that nothing is
        written here, nothing waits, and nothing can be lost (OPT-30)."""
        self._policy.record_outcome(trade)


def _newest_version() -> int:
    rows = SettingsVersion.objects.filter(section=SECTION).order_by("-version")
    return rows.values_list("version", flat=True).first() or 0


class StoredStateReader:
    """Implements ``StateReader`` over the book's row: the payload is read where its version is
    another than the one known."""

    def __init__(self, book: str) -> None:
        self._book = book

    def __call__(self, known: int | None) -> LayerState | None:
        rows = StoredLayerState.objects.filter(book=self._book)
        version = rows.values_list("version", flat=True).first()
        if version is None or version == known:
            return None
        payload = rows.values_list("payload", flat=True).first()
        return None if payload is None else LayerState.from_json(payload)


def tell_without_sizes(kind: ActionKind, fields: Fields) -> None:
    """Log what the policy did, but its multiplier: the announcer has the two sizes with it."""
    if kind is not ActionKind.SIZING:
        logs.tell(kind, fields)


class LayerAnnouncer:
    """Logs the size before and after the multiplier of each order the layer sized (OPT-24), then
    lets the screens hear."""

    def __init__(self, inner: Announcer, reporter: Reporter, tell: Tell = logs.tell) -> None:
        self._inner = inner
        self._reporter = reporter
        self._tell = tell

    def announce(self, outcome: EventOutcome) -> None:
        fall_back(
            lambda: self._sizes(outcome), None, where="layer.log", report=self._reporter.incident
        )
        self._inner.announce(outcome)

    def _sizes(self, outcome: EventOutcome) -> None:
        for decision in outcome.decisions:
            fields = sizing_fields(decision)
            if fields is not None:
                self._tell(ActionKind.SIZING, fields)


def sizing_fields(decision: Decision) -> Fields | None:
    """Return both sizes of an entry the layer scored; None for everything else."""
    sizing, intent = decision.sizing, decision.intent
    if sizing is None or intent is None or intent.purpose is not Purpose.ENTRY:
        return None
    if sizing.quality is None:
        return None
    return {
        "signal": decision.policy.get("signal_id"),
        "strategy": decision.strategy,
        "symbol": decision.symbol,
        "old_quantity": sizing.base_quantity,
        "new_quantity": sizing.base_quantity * sizing.multiplier_applied,
        "multiplier": sizing.multiplier_applied,
        "raw": sizing.multiplier_raw,
        "after_caps": float(sizing.quantity_base),
        "order": intent.client_order_id,
    }
