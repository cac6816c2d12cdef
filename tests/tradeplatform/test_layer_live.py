"""A practice run with the layer on: through the exchange, the database, and the five points."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Sum

from optimization.models import StoredLayerState
from optimization.services import optimization_update, stored_state
from optimization.switches import optimization_settings_change
from tests.practice_process import practice_process
from tests.tradeplatform.test_parity import bar_file, practice_keys
from tradeplatform.configuration import from_mapping
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.lease import lease_acquire
from trades.models import Decision, Fill, Lot, Order, Trade, TradingRun
from trades.stored import decision_document

__all__ = ["bar_file", "practice_keys"]

pytestmark = pytest.mark.usefixtures("practice_keys")
BARS = 260
ON = {"enabled": True, "quality_threshold": 0.45, "update_interval_seconds": 600.0}


def switch(**changes: Any) -> None:
    optimization_settings_change(changes=changes, actor="ada", reason="a test", source="api")


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_practice_run_with_the_layer_on(
    bar_file: Path, tmp_path: Path, settings: Any, caplog: Any
) -> None:
    """OPT-08, OPT-16, OPT-17, OPT-24, OPT-25, OPT-29, OPT-55, OPT-57, OPT-58, OPT-59, OPT-68."""
    caplog.set_level(logging.INFO, logger="optimization")
    config = from_mapping({"optimization": ON}, source="test")
    options = ("--data", str(bar_file), "--seed", "3", "--warmup-bars", "300")
    with practice_process(tmp_path / "venue", *options) as venue:
        settings.PRACTICE_URL = venue.url
        run = run_ensure(config, actor="test")
        fence = lease_acquire(run=run, holder="test", code_version=settings.CODE_VERSION)
        assert fence is not None
        session = running_session(run, fence)
        session.advance()
        for number in range(BARS):
            if number == BARS - 20:
                switch(enabled=False)
                switched_off_at = Decision.objects.latest("pk").pk
            venue.step()
            session.advance()
            if number % 20 == 0:
                optimization_update()
    switch(enabled=True)
    optimization_update()
    _orders_refer_to_one_earlier_quality(run, switched_off_at)
    _after_the_switch_nothing_is_scored(run, switched_off_at)
    _fills_make_lots_and_trades_with_their_own_numbers(run)
    _the_layer_knows_what_the_ledger_knows(run)
    off_at = Decision.objects.get(pk=switched_off_at).bar_close_at
    _every_kind_was_logged(caplog, run, off_at)


def _orders_refer_to_one_earlier_quality(run: TradingRun, until: int) -> None:
    entries = Order.objects.filter(run=run, purpose="entry", decision_id__lte=until)
    assert entries.count() >= 3
    signals = set()
    for order in entries.select_related("decision"):
        policy = decision_document(order.decision)["policy"]
        assert policy["accepted"] and policy["quality"] >= ON["quality_threshold"]
        assert order.decision.created_at <= order.created_at
        sizing = decision_document(order.decision)["sizing"]
        steps = [step["code"] for step in sizing["steps"]]
        assert steps[0] == "BASE" and "MULTIPLIER" in steps
        assert sizing["quality"] == policy["quality"]
        signals.add(policy["signal_id"])
    assert len(signals) == entries.count()


def _after_the_switch_nothing_is_scored(run: TradingRun, since: int) -> None:
    later = Decision.objects.filter(run=run, pk__gt=since)
    assert later.count() >= 15
    for decision in later:
        assert decision_document(decision)["policy"].get("quality") is None


def _fills_make_lots_and_trades_with_their_own_numbers(run: TradingRun) -> None:
    for lot in Lot.objects.filter(run=run):
        fill = Fill.objects.filter(run=run, order__client_order_id=lot.entry_order_id).first()
        assert fill is not None
        assert (lot.symbol, lot.strategy, lot.side) == (fill.symbol, fill.strategy, fill.side)
        assert (lot.entry_price, lot.opened_at) == (fill.price, fill.executed_at)
        assert lot.regime and lot.quantity_base >= 0


def _the_layer_knows_what_the_ledger_knows(run: TradingRun) -> None:
    """To the cent, per strategy (OPT-29)."""
    rows = Trade.objects.filter(run=run)
    assert rows.count() >= 2
    state, cursor = stored_state(StoredLayerState.objects.get().book)
    assert cursor.trade == rows.order_by("-pk").first().pk  # type: ignore[union-attr]
    for code in rows.values_list("strategy", flat=True).distinct():
        of = rows.filter(strategy=code)
        cut = next(
            c
            for c in state.performance.cuts()
            if (c.strategy, c.symbol, c.regime) == (code, None, None)
        )
        life = state.performance.lifetime(cut)
        total = float(sum(trade.pnl_quote for trade in of))
        assert life.count == of.count()
        assert life.pnl_quote == pytest.approx(total, abs=0.005)
    assert rows.aggregate(n=Sum("r_multiple"))["n"] is not None


def _every_kind_was_logged(caplog: Any, run: TradingRun, off_at: datetime) -> None:
    said = [r.getMessage() for r in caplog.records if r.name.startswith("optimization")]
    assert all(line.startswith("[OPTIMIZATION] ") for line in said)
    for sentence in (
        "Evaluating signal quality signal=",
        "Signal approved - quality=",
        "Position size adjusted: ",
        "Trade completed: ",
        "Optimization enabled version=",
        "Optimization disabled version=",
    ):
        assert any(sentence in line for line in said), sentence
    recorded = [line for line in said if "Trade completed: " in line]
    while_on = Trade.objects.filter(run=run, closed_at__lt=off_at)
    assert while_on.count() >= 2
    for trade in while_on:
        money = f"{'-' if trade.pnl_quote < 0 else ''}${abs(trade.pnl_quote):.2f}"
        words = f"{trade.strategy}/{trade.symbol} PnL={money} regime={trade.entry_regime}"
        assert any(words in line for line in recorded), words
