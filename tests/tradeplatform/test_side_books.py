"""The shadow book of a stored run: virtual fills of suspended strategies, kept in rows (D-07)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.side_books import SHADOW
from engine.types.ledger import Trade as TradeValue
from monitoring.models import Incident
from strategies.models import Status, Strategy
from tests.practice_process import practice_process
from tests.tradeplatform.test_parity import (  # noqa: F401 - fixtures
    SEED,
    bar_file,
    practice_keys,
    replay_of,
)
from tradeplatform.configuration import Configuration
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.lease import lease_acquire
from trades.models import Order, SideEquityPoint, SideTrade, Trade, TradingRun
from trades.records import trade_value


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
def test_suspended_strategies_trade_on_paper_as_they_would_have_traded(
    bar_file: Path,  # noqa: F811
    tmp_path: Path,
    settings: Any,
) -> None:
    """D-07: no order leaves; the virtual trades are those of a run in which they may trade, also
    through a session that is thrown away and rebuilt half way."""
    run = _trade_suspended(bar_file, tmp_path, settings)
    assert Order.objects.filter(run=run).count() == 0
    assert Trade.objects.filter(run=run).count() == 0
    rows = SideTrade.objects.filter(run=run, book=SHADOW).order_by("pk")
    shadow = [trade_value(row) for row in rows]
    assert _what(shadow) == _what(_free_trades(run, bar_file))
    assert len(shadow) >= 1
    assert SideEquityPoint.objects.filter(run=run, book=SHADOW).count() >= 299
    assert not Incident.objects.exists()


def _trade_suspended(file: Path, folder: Path, settings: Any) -> TradingRun:
    options = ("--data", str(file), "--seed", str(SEED), "--warmup-bars", "300")
    with practice_process(folder / "venue", *options) as venue:
        settings.PRACTICE_URL = venue.url
        run = run_ensure(Configuration(), actor="test")
        Strategy.objects.update(status=Status.SUSPENDED)
        fence = lease_acquire(run=run, holder="test", code_version="test")
        assert fence is not None
        session = running_session(run, fence)
        session.advance()
        for bar in range(300):
            if bar == 150:
                session = running_session(run, fence)
            venue.step()
            session.advance()
    return run


def _free_trades(run: TradingRun, file: Path) -> list[TradeValue]:
    """Return the trades of a replay over the same bars in which every strategy may trade."""
    taken: list[TradeValue] = []
    replay_of(run, file, taken.append)
    return taken


def _what(trades: list[TradeValue]) -> list[tuple[Any, ...]]:
    """When and at what prices: sizes follow what orders taught, and only one run had any."""
    return [
        (t.strategy, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price) for t in trades
    ]
