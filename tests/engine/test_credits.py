"""Closed trades are booked to everybody who had an opinion when they were opened."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.credits import MAX_ENTRIES, CreditBoard, EntryOpinions
from engine.types.decisions import Decision
from engine.types.learned import PanelView
from engine.types.ledger import Trade
from engine.types.opinions import Opinion, Side
from engine.types.orders import Purpose
from tests.engine.phases.bars import BUYER, RULES_ONLY, STORE, decide
from tests.engine.phases.scene import Predictor, analysis, pipeline, snapshot


def bought() -> Decision:
    decision = decide(pipeline([BUYER], [Predictor()], config=RULES_ONLY)).decision
    assert decision.intent is not None
    return decision


def trade(order_id: str, pnl: str = "5", quantity: str = "1", **changes: Any) -> Trade:
    fields: dict[str, Any] = {
        "trade_id": "t1",
        "strategy": "one",
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "quantity_base": Decimal(quantity),
        "entry_price": Decimal(100),
        "exit_price": Decimal(105),
        "fees_quote": Decimal(0),
        "pnl_quote": Decimal(pnl),
        "r_multiple": 1.0,
        "opened_at_ms": 1,
        "closed_at_ms": 2,
        "entry_regime": "TRENDING",
        "exit_regime": "QUIET",
        "exit_reason": "TARGET",
        "entry_order_id": order_id,
        "exit_order_id": "x",
    }
    return Trade(**{**fields, **changes})


def remembered() -> tuple[EntryOpinions, str, Decimal]:
    decision = bought()
    assert decision.intent is not None
    kept = EntryOpinions()
    seen = analysis(
        snapshot(650, store=STORE),
        opinions=(Opinion("for", 0.7), Opinion("against", 0.4)),
        panel=PanelView(shadow=(Opinion("boosting@new", 0.8),)),
    )
    kept.remember(seen, decision)
    return kept, decision.intent.client_order_id, decision.intent.quantity_base


def test_a_closed_trade_is_booked_by_who_leaned_which_way_and_condition() -> None:
    """ORC-15: PnL per model and condition, shadows included."""
    kept, order_id, quantity = remembered()
    credit = kept.credit(trade(order_id, "-8", str(quantity)))
    assert credit is not None
    board = CreditBoard()
    board.record(credit)
    right = board.of("against", "TRENDING")
    assert (right.trades_against, right.pnl_against_quote, right.trades_for) == (1, -8.0, 0)
    for source in ("for", "boosting@new"):
        wrong = board.of(source, "TRENDING")
        assert (wrong.trades_for, wrong.pnl_for_quote) == (1, -8.0)
    assert board.of("for", "QUIET").trades_for == 0, "the regime is that of the entry"


def test_a_short_trade_turns_the_lean_around() -> None:
    kept, order_id, quantity = remembered()
    credit = kept.credit(trade(order_id, "3", str(quantity), side=Side.SELL))
    assert credit is not None
    board = CreditBoard()
    board.record(credit)
    assert board.of("for", "TRENDING").pnl_against_quote == 3.0


def test_a_position_sold_in_parts_is_booked_each_time_and_then_forgotten() -> None:
    """ORC-20"""
    kept, order_id, quantity = remembered()
    half = str(quantity / 2)
    assert kept.credit(trade(order_id, quantity=half)) is not None
    assert len(kept) == 1
    assert kept.credit(trade(order_id, quantity=half)) is not None
    assert len(kept) == 0
    assert kept.credit(trade(order_id)) is None


def test_orders_that_never_fill_do_not_pile_up() -> None:
    """ORC-20"""
    kept, decision = EntryOpinions(), bought()
    assert decision.intent is not None
    for number in range(MAX_ENTRIES + 10):
        intent = replace(decision.intent, client_order_id=f"{number:032x}")
        kept.remember(analysis(), replace(decision, intent=intent))
    assert len(kept) == MAX_ENTRIES


def test_exits_leave_nothing_to_credit() -> None:
    kept, decision = EntryOpinions(), bought()
    assert decision.intent is not None
    leaving = replace(decision.intent, purpose=Purpose.EXIT)
    kept.remember(analysis(), replace(decision, intent=leaving))
    assert len(kept) == 0


def test_entries_and_sums_survive_a_restart_and_strangers_are_refused() -> None:
    """I-26"""
    kept, order_id, quantity = remembered()
    again, board, restored = EntryOpinions(), CreditBoard(), CreditBoard()
    again.restore(json.loads(json.dumps(kept.state())))
    credit = again.credit(trade(order_id, quantity=str(quantity)))
    assert credit == kept.credit(trade(order_id, quantity=str(quantity)))
    assert credit is not None
    board.record(credit)
    restored.restore(json.loads(json.dumps(board.state())))
    assert restored.state() == board.state()
    with pytest.raises(ValueError, match="must have"):
        again.restore({"x": {"regime": 1}})
    with pytest.raises(ValueError, match="credit"):
        restored.restore([["a", "b", 1]])
