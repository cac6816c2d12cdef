"""The optimization layer from end to end, on a synthetic market: run it, read what it says.

    python examples/optimization_example.py

Trades 4,000 one-minute bars with the layer off and on, prints what the layer did, then the status
document of this installation. Nothing is written.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")

import django

django.setup()

from market.sources.history import History, HistorySource  # noqa: E402
from market.sources.instruments import instrument_for  # noqa: E402
from market.sources.synthetic_path import synthetic_bars  # noqa: E402
from optimization.core.actions import ActionKind, Fields, sentence  # noqa: E402
from optimization.selectors import get_optimization_status  # noqa: E402
from tradeplatform import bootstrap  # noqa: E402
from tradeplatform.configuration import Configuration, from_mapping  # noqa: E402
from tradeplatform.layer import replay_layer  # noqa: E402
from tradeplatform.replay_run import Replay  # noqa: E402
from tradeplatform.reporters import LogReporter  # noqa: E402

SYMBOL, START_MS, MINUTE_MS, N_BARS = "BTC/USDT", 1_700_000_040_000, 60_000, 4_000
first_of: dict[str, str] = {}


def tell(kind: ActionKind, fields: Fields) -> None:
    """Keep the first line of each kind, as the log has it."""
    first_of.setdefault(str(fields.get("outcome", kind)), sentence(kind, fields))


def trade(config: Configuration, *, with_layer: bool) -> Replay:
    bars = synthetic_bars(5, SYMBOL, START_MS, MINUTE_MS, N_BARS)
    history = History({SYMBOL: bars}, {SYMBOL: instrument_for(SYMBOL, bars)}, MINUTE_MS)
    wiring = bootstrap.replay(
        config,
        HistorySource(history),
        cash_quote=Decimal(10_000),
        reporter=LogReporter(),
        layer=(lambda c, operator: replay_layer(c, operator, tell)) if with_layer else None,
    )
    wiring.run()
    return wiring


off = trade(Configuration(), with_layer=False)
section = {"enabled": True, "quality_threshold": 0.5, "update_interval_seconds": 600.0}
on = trade(from_mapping({"optimization": section}, source="example"), with_layer=True)

print(f"layer off: {off.journal.counts.orders} orders, {off.journal.counts.trades} trades")
print(f"layer on:  {on.journal.counts.orders} orders, {on.journal.counts.trades} trades")
for line in first_of.values():
    print(line)
if on.layer is not None:
    for name, value in on.layer.summary().items():
        print(f"  {name}: {value}")
print(get_optimization_status())
