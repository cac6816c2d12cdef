"""From candles to what was learned of them, in one walk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.announce import EventOutcome
from engine.types.decisions import Action
from market.sources.history import HistorySource, load_history
from market.sources.synthetic_path import synthetic_bars
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration
from tradeplatform.reporters import LogReporter

START_MS = 1_700_000_000_000 // 60_000 * 60_000


@pytest.fixture
def feed(tmp_path: Path) -> HistorySource:
    """2,000 candles of the seeded market as a csv file."""
    bars = synthetic_bars(11, "BTC/USDT", START_MS, 60_000, 2_000)
    path = tmp_path / "binance_spot_BTCUSDT_1m_walk.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume"]
    path.write_text("\n".join(lines + [",".join(map(repr, row)) for row in rows]))
    return HistorySource(load_history([str(path)]))


def test_a_feed_becomes_decisions_orders_outcomes_and_learning(feed: HistorySource) -> None:
    """ORC-71: fixture feed, decision, paper order, outcome, learning update."""
    wiring = bootstrap.replay(
        Configuration(), feed, cash_quote=Decimal(10_000), reporter=LogReporter()
    )
    state = wiring.pipeline.state
    fresh: Any = state()
    assert fresh["scoreboard"]["rings"] == [] and fresh["credits"] == []
    outcomes: list[EventOutcome] = [wiring.session.on_event(event) for event in wiring.events()]

    entries = [d for o in outcomes for d in o.decisions if d.action is Action.BUY]
    orders = {intent.client_order_id for o in outcomes for intent, _ in o.submitted}
    assert entries and {d.intent.client_order_id for d in entries if d.intent} <= orders
    fills = [intent.client_order_id for o in outcomes for _, intent in o.fills]
    assert set(fills) <= orders and len(fills) == len(set(fills))
    trades = [trade for o in outcomes for trade in o.trades]
    assert trades and {trade.entry_order_id for trade in trades} <= set(fills)

    learned: Any = state()
    totals = {r["source"]: r["total"] for r in learned["scoreboard"]["rings"] if not r["regime"]}
    assert totals["online-linear"] > 100 and totals["ensemble"] > 100
    weights = learned["learned"]["online-linear"]["state"]
    assert weights["learned"] > 100 and any(weights["weights"])
    booked = {(source, regime): row for source, regime, *row in learned["credits"]}
    assert sum(row[0] + row[2] for row in booked.values()) >= len(trades)
    assert sum(len(o.trials) for o in outcomes) > 200

    again = bootstrap.replay(
        Configuration(), feed, cash_quote=Decimal(10_000), reporter=LogReporter()
    )
    again.run()
    assert again.journal.hexdigest() == wiring.journal.hexdigest(), "the same feed, the same walk"
