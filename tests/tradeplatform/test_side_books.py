"""The shadow book of a stored run: virtual fills of suspended strategies, kept in rows (D-07)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from engine.side_books import COUNTERFACTUAL, SHADOW
from monitoring.models import Incident
from optimization.switches import optimization_settings_change
from strategies.models import Status, Strategy
from tests.practice_process import practice_process
from tests.tradeplatform.test_parity import (  # noqa: F401 - fixtures
    SEED,
    bar_file,
    practice_keys,
)
from tradeplatform.configuration import Configuration
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.lease import lease_acquire
from trades.models import EquityPoint, Order, SideEquityPoint, SideTrade, Trade, TradingRun
from trades.records import trade_value


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_suspended_strategies_trade_on_paper_also_through_a_restart(
    bar_file: Path,  # noqa: F811
    tmp_path: Path,
    settings: Any,
) -> None:
    """D-07: no order leaves; a session rebuilt half way changes no virtual trade."""
    whole = _trade_suspended(bar_file, tmp_path / "whole", settings, rebuilt_at=None)
    TradingRun.objects.filter(pk=whole.pk).update(ended_at=timezone.now())
    broken = _trade_suspended(bar_file, tmp_path / "broken", settings, rebuilt_at=150)
    for run in (whole, broken):
        assert Order.objects.filter(run=run).count() == 0
        assert Trade.objects.filter(run=run).count() == 0
        assert SideEquityPoint.objects.filter(run=run, book=SHADOW).count() >= 299
    assert len(_shadow(whole)) >= 2
    assert _shadow(broken) == _shadow(whole)
    assert list(Incident.objects.values_list("where", "message")) == []


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_the_counterfactual_book_trades_what_a_layer_that_refuses_all_keeps_out(
    bar_file: Path,  # noqa: F811
    tmp_path: Path,
    settings: Any,
) -> None:
    """D-60, OPT-83: with the layer on and nothing let through, the same signals trade beside it."""

    def enable() -> None:
        optimization_settings_change(
            changes={"enabled": True, "quality_threshold": 1.0},
            actor="test",
            reason="nothing may pass",
            source="api",
        )

    run = _trade(bar_file, tmp_path, settings, rebuilt_at=150, begin=enable)
    assert Order.objects.filter(run=run).count() == 0
    book = SideTrade.objects.filter(run=run, book=COUNTERFACTUAL)
    assert book.count() >= 2
    points = SideEquityPoint.objects.filter(run=run, book=COUNTERFACTUAL)
    assert points.count() >= 299
    own = EquityPoint.objects.filter(run=run).latest("at")
    earned = sum((trade.pnl_quote for trade in book), Decimal(0))
    assert own.equity_quote == run.starting_cash_quote
    assert points.latest("at").equity_quote != own.equity_quote and earned != 0
    assert list(Incident.objects.values_list("where", "message")) == []


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
def test_without_the_layer_there_is_no_counterfactual_book(
    bar_file: Path,  # noqa: F811
    tmp_path: Path,
    settings: Any,
) -> None:
    """D-60: a copy of the run beside itself would prove nothing."""
    run = _trade(bar_file, tmp_path, settings, rebuilt_at=None, bars=40)
    assert not SideEquityPoint.objects.filter(run=run).exists()


def _trade_suspended(
    file: Path, folder: Path, settings: Any, *, rebuilt_at: int | None
) -> TradingRun:
    return _trade(
        file,
        folder,
        settings,
        rebuilt_at=rebuilt_at,
        begin=lambda: Strategy.objects.update(status=Status.SUSPENDED),
    )


def _trade(
    file: Path,
    folder: Path,
    settings: Any,
    *,
    rebuilt_at: int | None,
    begin: Callable[[], object] = lambda: None,
    bars: int = 301,
) -> TradingRun:
    options = ("--data", str(file), "--seed", str(SEED), "--warmup-bars", "300")
    with practice_process(folder / "venue", *options) as venue:
        settings.PRACTICE_URL = venue.url
        run = run_ensure(Configuration(), actor="test")
        begin()
        fence = lease_acquire(run=run, holder="test", code_version=settings.CODE_VERSION)
        assert fence is not None
        session = running_session(run, fence)
        for bar in range(bars):
            fence.renew()
            if bar == rebuilt_at:
                session = running_session(run, fence)
            session.advance()
            venue.step()
    return run


def _shadow(run: TradingRun) -> list[tuple[Any, ...]]:
    rows = SideTrade.objects.filter(run=run, book=SHADOW).order_by("pk")
    return [
        (t.strategy, t.opened_at_ms, t.closed_at_ms, t.quantity_base, t.pnl_quote)
        for t in map(trade_value, rows)
    ]
