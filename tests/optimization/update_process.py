"""An update in a process of its own, to be killed: ``python -m tests.optimization.update_process``.

``begin`` makes a book with trades and updates it; ``again`` is a knock in the same period,
``later`` one an hour after it. Prints one JSON line with what the rows say.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402

from optimization.models import UpdatePeriod  # noqa: E402
from optimization.selectors import LONGEST_UPDATE  # noqa: E402
from optimization.services import optimization_update  # noqa: E402
from strategies.models import Strategy, WeightUpdate  # noqa: E402
from tests.optimization.scene import Watch, make_book, make_trades  # noqa: E402
from trades.models import TradingRun  # noqa: E402


def begin() -> None:
    run = make_book()
    make_trades(run, "ema-trend", [1.5, -0.5] * 15)
    make_trades(run, "fair-value-gap", [-1.0, 0.2] * 15, minute=100)


def later() -> None:
    run = TradingRun.objects.get()
    at = (run.last_event_at or run.started_at) + timedelta(hours=1)
    TradingRun.objects.filter(pk=run.pk).update(last_event_at=at)


if __name__ == "__main__":
    {"begin": begin, "again": lambda: None, "later": later}[sys.argv[1]]()
    # whoever comes second comes late enough to call the first one dead
    waited = timedelta() if sys.argv[1] == "begin" else LONGEST_UPDATE * 2
    outcome = optimization_update(now=timezone.now() + waited, watch=Watch()).outcome
    rows = {
        "outcome": outcome,
        "weights": dict(Strategy.objects.values_list("code", "weight")),
        "history": WeightUpdate.objects.count(),
        "periods": list(UpdatePeriod.objects.order_by("pk").values_list("status", flat=True)),
    }
    sys.stdout.write(json.dumps(rows) + "\n")
