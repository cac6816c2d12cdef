"""What an entry is asked right before it leaves, and what a refusal leaves behind."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.risk import RiskLimits
from engine.types.opinions import Side
from engine.types.orders import OrderType, Purpose, Rejection
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import (
    BTC,
    INSTRUMENT,
    START_MS,
    World,
    make_intent,
    make_run,
    write_intent,
)
from trades import models
from trades.brokers.send_checks import SendChecks
from trades.core.operating_limits import OperatingLimits

pytestmark = pytest.mark.django_db
NEAR = (49_999.0, 50_001.0)


def asked(intent: Any, run: models.TradingRun, **changes: Any) -> Rejection | None:
    """Ask the checks with a market at 50,000, the price of every decision here."""
    given: dict[str, Any] = {
        "instruments": {BTC: INSTRUMENT},
        "quote": lambda symbol: NEAR,
        "limits": RiskLimits(),
        "operating": OperatingLimits(),
        **changes,
    }
    return SendChecks(run, **given)(intent)


def code_of(intent: Any, run: models.TradingRun, **changes: Any) -> str:
    refusal = asked(intent, run, **changes)
    assert refusal is None or refusal.by_venue is False
    return "" if refusal is None else refusal.code


def written(run: models.TradingRun, **fields: Any) -> Any:
    intent = make_intent(**fields)
    write_intent(run, intent)
    return intent


@pytest.fixture
def run() -> models.TradingRun:
    return make_run()


# -- price (CTL-3, F-057) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "code"),
    [
        (NEAR, ""),
        ((65_000.0, 65_010.0), "PRICE_COLLAR"),
        ((35_000.0, 35_010.0), "PRICE_COLLAR"),
        ((50_240.0, 50_251.0), "SLIPPAGE"),
        ((50_240.0, 50_249.0), ""),
        ((49_200.0, 49_201.0), ""),
        ((float("nan"), 50_000.0), "NO_REFERENCE"),
        ((0.0, 0.0), "NO_REFERENCE"),
        ("timed out", "NO_REFERENCE"),
    ],
)
def test_a_market_that_moved_since_the_decision_is_not_bought(
    run: models.TradingRun, quote: Any, code: str
) -> None:
    """CTL-3, F-057: 30 % up or down, 0.5 % worse, or unknown; a better price is welcome."""
    assert code_of(written(run), run, quote=lambda symbol: quote) == code


def test_a_price_that_took_long_to_arrive_is_old(run: models.TradingRun) -> None:
    """CTL-3: older than 10 s = deny, by the monotonic clock."""
    for took_s, code in ((10.0, ""), (10.1, "REFERENCE_OLD")):
        ticks = iter((0.0, took_s))
        assert code_of(written(run), run, monotonic=lambda t=ticks: next(t)) == code
        models.Order.objects.update(status="DENIED")


def test_a_limit_order_is_held_to_the_collar_by_its_own_price(run: models.TradingRun) -> None:
    """CTL-3"""
    far = written(run, kind=OrderType.LIMIT, limit="48000", quantity="0.003")
    near = written(run, kind=OrderType.LIMIT, limit="49500", quantity="0.004")
    assert (code_of(far, run), code_of(near, run)) == ("PRICE_COLLAR", "")


def test_an_exit_passes_whatever_the_market_does(run: models.TradingRun) -> None:
    """CTL-3, CTL-13: leaving is worth more than the price."""
    leave = written(run, purpose=Purpose.EXIT, side=Side.SELL)
    nothing = OperatingLimits(allowed_symbols=("X/Y",), allowed_sides=())
    assert code_of(leave, run, quote=lambda symbol: "down", operating=nothing) == ""


# -- lists, twins, ourselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ({"allowed_symbols": ("ETH/USDT",)}, "SYMBOL_NOT_ALLOWED"),
        ({"allowed_sides": ("SELL",)}, "SIDE_NOT_ALLOWED"),
        ({"allowed_order_types": ("limit",)}, "TYPE_NOT_ALLOWED"),
        ({"allowed_symbols": (BTC,), "allowed_sides": ("BUY",)}, ""),
    ],
)
def test_only_what_is_on_the_lists_leaves(
    run: models.TradingRun, allowed: dict[str, Any], code: str
) -> None:
    """CTL-18"""
    assert code_of(written(run), run, operating=OperatingLimits(**allowed)) == code


def test_a_symbol_that_the_run_does_not_trade_never_leaves(run: models.TradingRun) -> None:
    """CTL-18"""
    stray = replace(written(run), symbol="ETH/USDT")
    assert code_of(stray, run) == "SYMBOL_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("second", "later_ms", "code"),
    [
        ({}, 9_999, "DUPLICATE_ORDER"),
        ({}, 10_000, ""),
        ({"quantity": "0.00300"}, 0, ""),
        ({"side": Side.SELL}, 0, ""),
    ],
)
def test_the_same_order_twice_within_ten_seconds_is_a_mistake(
    run: models.TradingRun, second: dict[str, Any], later_ms: int, code: str
) -> None:
    """CTL-8: the same symbol, side and size; the first one passes."""
    first = written(run)
    assert code_of(first, run) == ""
    assert code_of(written(run, decided_at_ms=START_MS + later_ms, **second), run) == code


def test_another_strategys_equal_order_is_no_twin_and_a_refused_one_neither(
    run: models.TradingRun,
) -> None:
    """CTL-8, D-21"""
    written(run)
    models.Order.objects.update(strategy="breakout")
    assert code_of(written(run), run) == ""
    models.Order.objects.update(status="REJECTED", strategy="ema-trend")
    assert code_of(written(run), run) == ""


@pytest.mark.parametrize(
    ("resting", "ours", "code"),
    [
        ({"limit": "50100"}, {}, "SELF_TRADE"),
        ({"limit": "50100"}, {"kind": OrderType.LIMIT, "limit": "50100"}, "SELF_TRADE"),
        ({"limit": "50100"}, {"kind": OrderType.LIMIT, "limit": "50099"}, ""),
        ({"kind": OrderType.STOP, "stop": "49000"}, {}, ""),
        ({"limit": "49900", "side": Side.BUY}, {}, ""),
    ],
)
def test_no_order_meets_one_of_our_own(
    run: models.TradingRun, resting: dict[str, Any], ours: dict[str, Any], code: str
) -> None:
    """CTL-24, D-21: only what could match now; a stop that waits does not count."""
    kinds = {"kind": OrderType.LIMIT, "side": Side.SELL, "purpose": Purpose.EXIT}
    other = written(run, quantity="0.5", **{**kinds, **resting})
    models.Order.objects.filter(client_order_id=other.client_order_id).update(status="OPEN")
    assert code_of(written(run, **ours), run) == code
    models.Order.objects.filter(client_order_id=other.client_order_id).update(status="CANCELED")
    models.Order.objects.exclude(client_order_id=other.client_order_id).update(status="DENIED")
    assert code_of(written(run, **ours), run) == ""


# -- through the broker ----------------------------------------------------------------------------


def test_a_price_gap_between_decision_and_send_reaches_no_venue(
    world: World, practice: PracticeProcess
) -> None:
    """F-057, CTL-3: the denial has its code, its value and its limit; the venue heard nothing."""
    world.broker._checks = SendChecks(
        world.run, {BTC: INSTRUMENT}, world.client.quote, RiskLimits(), OperatingLimits()
    )
    bid, ask = world.client.quote(BTC)
    middle = Decimal(repr((bid + ask) / 2))
    gapped = make_intent(decided_at_ms=world.now_ms)
    gapped = replace(gapped, reference_price=middle * Decimal("1.3"))
    write_intent(world.run, gapped)
    answer = world.broker.submit(gapped, world.event)
    assert isinstance(answer, Rejection)
    assert (answer.code, answer.limit) == ("PRICE_COLLAR", 0.02)
    order = world.order(gapped)
    assert (order.status, order.refusal_code) == ("DENIED", "PRICE_COLLAR")
    detail = order.events.get(to_status="DENIED").detail
    assert detail["value"] == pytest.approx(0.3, abs=0.001)
    assert detail["limit"] == 0.02
    assert practice.ledger()["orders"] == []
    still = replace(
        make_intent(decided_at_ms=world.now_ms, quantity="0.00300"), reference_price=middle
    )
    write_intent(world.run, still)
    assert not isinstance(world.broker.submit(still, world.event), Rejection)
    assert len(practice.ledger()["orders"]) == 1


@pytest.mark.parametrize(("reference", "code"), [(50_000, ""), (49_400, "SELF_TRADE")])
def test_a_stop_limit_can_be_met_only_once_its_stop_was_reached(
    run: models.TradingRun, reference: int, code: str
) -> None:
    """CTL-24, D-21: an untriggered stop does not count."""
    stop = written(
        run,
        side=Side.SELL,
        purpose=Purpose.EXIT,
        kind=OrderType.STOP_LIMIT,
        stop="49500",
        limit="49300",
    )
    models.Order.objects.filter(client_order_id=stop.client_order_id).update(status="OPEN")
    entry = replace(written(run), reference_price=Decimal(reference))
    near = (reference - 1.0, reference + 1.0)
    assert code_of(entry, run, quote=lambda symbol: near) == code
