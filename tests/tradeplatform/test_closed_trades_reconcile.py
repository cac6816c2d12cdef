"""The decomposition of a real run against the books the run kept."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from engine.performance import Cut
from engine.types.ledger import Trade
from market.sources.history import HistorySource, load_history
from market.sources.synthetic_path import synthetic_bars
from optimization.core.performance import Decomposition
from tradeplatform import bootstrap
from tradeplatform.configuration import load
from tradeplatform.reporters import LogReporter


def _bar_file(folder: Path) -> Path:
    bars = synthetic_bars(5, "BTC/USDT", 1_700_000_040_000, 60_000, 3_000)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    path = folder / "binance_spot_BTCUSDT_1m_x.csv"
    lines = ["timestamp,open,high,low,close,volume", *(",".join(map(repr, r)) for r in rows)]
    path.write_text("\n".join(lines))
    return path


def test_a_run_s_trades_add_up_to_its_books_to_the_cent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-29: per strategy, symbol and entry regime; the exit's regime moves nothing."""
    wiring = bootstrap.replay(
        load(settings.CONFIG_FILE),
        HistorySource(load_history([str(_bar_file(tmp_path))]), book_seed=1),
        cash_quote=Decimal(100_000),
        reporter=LogReporter(),
    )
    trades: list[Trade] = []
    record = wiring.journal.record_trade

    def keep(trade: Trade) -> None:
        trades.append(trade)
        record(trade)

    monkeypatch.setattr(wiring.journal, "record_trade", keep)
    wiring.run()
    performance = Decomposition()
    for trade in trades:
        performance.add(trade)

    kept = {
        cut: stats
        for cut, stats in wiring.journal.trades.by_key().items()
        if cut in set(performance.cuts())
    }
    assert len(trades) > 20
    assert Cut() in kept
    assert {cut.strategy for cut in kept} >= {trade.strategy for trade in trades}
    for cut, stats in kept.items():
        assert abs(Decimal(performance.lifetime(cut).pnl_quote) - stats.pnl_quote) < Decimal("1e-9")
        assert performance.lifetime(cut).count == stats.count
    assert any(trade.entry_regime != trade.exit_regime for trade in trades)
