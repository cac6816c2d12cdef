"""The hard limits: whatever was multiplied before, these hold after."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.limits import (
    CapResult,
    LimitsError,
    OrderThrottle,
    RiskLimits,
    RiskView,
    SizeRequest,
    apply,
    breakers,
    notional_cap_quote,
)
from engine.ports import TradingState
from engine.types.opinions import Side
from tests.engine.books import BTC, D, instrument

LIMITS = RiskLimits()
HOUR_MS = 3_600_000


def view(**changes: Any) -> RiskView:
    fields: dict[str, Any] = {
        "equity_quote": D("10000"),
        "cash_quote": D("10000"),
        "peak_equity_quote": D("10000"),
        "day_pnl_quote": D(0),
        "gross_exposure_quote": D(0),
    }
    return RiskView(**{**fields, **changes})


def request(quantity: float = 1.0, **changes: Any) -> SizeRequest:
    fields: dict[str, Any] = {
        "instrument": instrument(),
        "strategy": "ema-trend",
        "side": Side.BUY,
        "quantity_base": quantity,
        "price": 100.0,
        "stop_price": 95.0,
    }
    return SizeRequest(**{**fields, **changes})


def reducing(quantity: float = 1.0, **changes: Any) -> SizeRequest:
    fields = {"side": Side.SELL, "stop_price": None, "reduces": True}
    return request(quantity, **{**fields, **changes})


HOLDING = {("ema-trend", BTC): D("2")}


def denied_with(result: CapResult) -> str | None:
    if result.denied is None:
        return None
    assert result.quantity_base == 0
    return result.denied.code


def test_a_request_below_every_cap_passes_whole() -> None:
    """CTL-4"""
    result = apply(request(1.5), LIMITS, view())
    assert (result.quantity_base, result.denied) == (D("1.5"), None)
    assert all(s.before_base == s.after_base for s in result.steps)


@pytest.mark.parametrize(
    ("limits", "seen", "expected", "by"),
    [
        (LIMITS, {}, "10", "MAX_ORDER"),
        (replace(LIMITS, max_order_quote=D("300")), {}, "3", "MAX_ORDER_QUOTE"),
        (LIMITS, {"exposure_by_symbol": {BTC: D("600")}}, "4", "MAX_SYMBOL"),
        (LIMITS, {"exposure_by_strategy": {"ema-trend": D("1500")}}, "5", "MAX_STRATEGY"),
        (LIMITS, {"gross_exposure_quote": D("5800")}, "2", "MAX_GROSS"),
        (
            replace(LIMITS, leverage=D("0.5")),
            {"gross_exposure_quote": D("4900")},
            "1",
            "LEVERAGE",
        ),
        (LIMITS, {"cash_quote": D("1500")}, "4.9950", "CASH_RESERVE"),
        (replace(LIMITS, max_risk_per_trade=D("0.01")), {}, "10", "MAX_ORDER"),
        (
            replace(LIMITS, risk_per_trade=D("0.001"), max_risk_per_trade=D("0.001")),
            {},
            "2",
            "MAX_RISK",
        ),
    ],
)
def test_each_cap_cuts_to_its_own_number(
    limits: RiskLimits, seen: dict[str, Any], expected: str, by: str
) -> None:
    """CTL-1, CTL-4, OPT-23: the trace names the cap that cut last."""
    result = apply(request(50.0), limits, view(**seen))
    assert result.quantity_base == D(expected)
    cuts = [s.code for s in result.steps if s.after_base < s.before_base]
    assert [code for code in cuts if code != "LOT_SIZE"][-1] == by


def test_a_cap_a_hair_below_a_lot_is_not_rounded_up_to_it() -> None:
    """OPT-23: 1.05 coins at 9.5 cost the last digit of a decimal more than the ceiling."""
    ceiling = D("9.974999999999999999999999999")
    limits = replace(LIMITS, max_order_quote=ceiling)
    result = apply(request(50.0, price=9.5, stop_price=9.0), limits, view())
    assert result.quantity_base == D("1.0499")


def test_without_a_stop_the_whole_price_is_at_risk() -> None:
    """CTL-1: 2 % of equity buys 2 coins at 100."""
    assert apply(request(50.0, stop_price=None), LIMITS, view()).quantity_base == D("2")


@pytest.mark.parametrize(
    ("asked", "seen", "code"),
    [
        (request(float("nan")), {}, "INVALID_QUANTITY"),
        (request(float("inf")), {}, "INVALID_QUANTITY"),
        (request(0.0), {}, "INVALID_QUANTITY"),
        (request(price=float("nan")), {}, "INVALID_PRICE"),
        (request(stop_price=float("nan")), {}, "INVALID_STOP"),
        (request(stop_price=100.0), {}, "INVALID_STOP"),
        (request(stop_price=101.0), {}, "INVALID_STOP"),
        (request(side=Side.SELL, stop_price=105.0), {}, "NO_SHORTS"),
        (request(0.04), {}, "MIN_NOTIONAL"),
        (request(0.00001), {}, "MIN_QUANTITY"),
        (request(), {"equity_quote": D("NaN")}, "RISK_UNKNOWN"),
        (request(), {"exposure_by_symbol": {BTC: D("NaN")}}, "RISK_UNKNOWN"),
        (request(), {"state": TradingState.REDUCING}, "REDUCING"),
        (request(), {"state": TradingState.HALTED}, "HALTED"),
        (request(), {"day_pnl_quote": D("-400")}, "DAY_LOSS"),
        (request(), {"peak_equity_quote": D("12500")}, "MAX_DRAWDOWN"),
        (request(), {"consecutive_losses": 5}, "LOSS_STREAK"),
        (request(), {"equity_quote": D(0)}, "MAX_DRAWDOWN"),
        (request(), {"open_orders": 10}, "OPEN_ORDERS"),
        (request(), {"open_orders_by_symbol": {BTC: 3}}, "OPEN_ORDERS_SYMBOL"),
        (request(), {"open_positions": 5}, "OPEN_POSITIONS"),
        (request(), {"orders_last_hour": 30}, "ORDERS_PER_HOUR"),
        (request(), {"orders_last_day": 100}, "ORDERS_PER_DAY"),
        (request(), {"exposure_by_symbol": {BTC: D("1000")}}, "MAX_SYMBOL"),
        (request(), {"cash_quote": D("1000")}, "CASH_RESERVE"),
        (reducing(), {}, "NOT_REDUCING"),
        (reducing(side=Side.BUY), {"positions_base": HOLDING}, "NOT_REDUCING"),
        (reducing(), {"positions_base": HOLDING, "state": TradingState.HALTED}, "HALTED"),
    ],
)
def test_what_cannot_be_allowed_or_judged_is_denied(
    asked: SizeRequest, seen: dict[str, Any], code: str
) -> None:
    """CTL-4, CTL-5, CTL-6, CTL-9, D-03, OPT-15"""
    assert denied_with(apply(asked, LIMITS, view(**seen))) == code


def test_a_short_where_allowed_needs_a_stop_above() -> None:
    """CTL-4"""
    perpetual = instrument(shortable=True)
    short = request(side=Side.SELL, instrument=perpetual, stop_price=105.0)
    assert apply(short, LIMITS, view()).quantity_base == D("1")
    assert denied_with(apply(replace(short, stop_price=None), LIMITS, view())) == "NO_STOP"
    assert denied_with(apply(replace(short, stop_price=95.0), LIMITS, view())) == "INVALID_STOP"


def test_a_reducing_order_passes_where_every_entry_is_denied() -> None:
    """D-02, CTL-9: exits bypass the entry caps, also on broken books."""
    worst = view(
        equity_quote=D("NaN"),
        state=TradingState.REDUCING,
        positions_base=HOLDING,
        open_orders=99,
        orders_last_day=9999,
        consecutive_losses=99,
    )
    assert apply(reducing(1.5), LIMITS, worst).quantity_base == D("1.5")


def test_a_reducing_order_never_exceeds_the_position() -> None:
    """I-21"""
    result = apply(reducing(99.0), LIMITS, view(positions_base=HOLDING))
    assert result.quantity_base == D("2")
    odd = {("ema-trend", BTC): D("1.99995")}
    assert apply(reducing(99.0), LIMITS, view(positions_base=odd)).quantity_base == D("1.9999")


def test_three_multipliers_give_three_sizes_under_the_shipped_limits() -> None:
    """D-20: the base is half the smallest notional cap, so there is headroom both ways."""
    base = float(notional_cap_quote(LIMITS, D("10000")) / 2 / 100)
    sizes = [apply(request(base * m), LIMITS, view()).quantity_base for m in (0.5, 1.0, 2.0)]
    assert sizes == [D("2.5"), D("5"), D("10")]


money = st.decimals("-1000", "20000", places=2)


@st.composite
def views(draw: st.DrawFn) -> RiskView:
    equity = draw(st.decimals("1", "20000", places=2))
    return view(
        equity_quote=equity,
        cash_quote=draw(money),
        peak_equity_quote=equity * draw(st.sampled_from([D("1"), D("1.1"), D("1.3")])),
        gross_exposure_quote=draw(st.decimals("0", "15000", places=2)),
        exposure_by_symbol={BTC: draw(st.decimals("0", "2000", places=2))},
        exposure_by_strategy={"ema-trend": draw(st.decimals("0", "4000", places=2))},
        positions_base={("ema-trend", BTC): draw(st.decimals("-3", "3", places=5))},
    )


@settings(max_examples=300, deadline=None)
@given(
    views(),
    st.floats(0.0001, 50.0),
    st.floats(0.01, 100_000.0),
    st.floats(0.0001, 0.9),
    st.sampled_from([None, D("50"), D("777.77")]),
    st.sampled_from([0.1, 1.0, 2.0, 1e6]),
)
def test_no_multiplier_lifts_a_size_above_any_cap(
    seen: RiskView,
    base: float,
    price: float,
    stop_part: float,
    ceiling: Decimal | None,
    multiplier: float,
) -> None:
    """OPT-23, I-10: recomputed here from the definitions, in exact decimals."""
    limits = replace(LIMITS, max_order_quote=ceiling)
    asked = request(base * multiplier, price=price, stop_price=price * (1 - stop_part))
    result = apply(asked, limits, seen)
    quantity = result.quantity_base
    exact_price, equity = D(repr(price)), seen.equity_quote
    notional = quantity * exact_price
    assert (quantity > 0) == (result.denied is None)
    assert quantity <= D(repr(asked.quantity_base))
    assert quantity % instrument().lot_size == 0
    if quantity == 0:
        return
    assert notional <= limits.max_position_size * equity
    assert notional + seen.exposure_by_symbol[BTC] <= limits.max_position_size * equity
    strategy_room = limits.max_strategy_exposure * equity
    assert notional + seen.exposure_by_strategy["ema-trend"] <= strategy_room
    assert notional + seen.gross_exposure_quote <= limits.max_gross_exposure * equity
    assert notional + seen.gross_exposure_quote <= limits.leverage * equity
    assert ceiling is None or notional <= ceiling
    assert seen.cash_quote - notional * D("1.001") >= limits.cash_reserve * equity
    stop = D(repr(asked.stop_price))
    assert quantity * (exact_price - stop) <= limits.max_risk_per_trade * equity
    assert notional >= instrument().min_notional_quote
    assert breakers(seen, limits) is None


@settings(max_examples=200, deadline=None)
@given(views(), st.floats(0.0001, 1e6), st.sampled_from(TradingState))
def test_reducing_orders_stay_within_the_position(
    seen: RiskView, quantity: float, state: TradingState
) -> None:
    """I-21, D-28: and pass in every state but HALTED, dust aside."""
    held = seen.positions_base[("ema-trend", BTC)]
    side = Side.SELL if held > 0 else Side.BUY
    asked = request(quantity, side=side, stop_price=None, reduces=True)
    result = apply(asked, LIMITS, replace(seen, state=state))
    assert result.quantity_base <= min(abs(held), D(repr(quantity)))
    sellable = instrument().quantity(min(abs(held), D(repr(quantity)))) * 100
    if state is not TradingState.HALTED and sellable >= 5:
        assert result.quantity_base * 100 == sellable
    if state is TradingState.HALTED:
        assert result.quantity_base == 0


@pytest.mark.parametrize(
    ("seen", "state", "code"),
    [
        ({"day_pnl_quote": D("-309.28")}, TradingState.REDUCING, "DAY_LOSS"),
        ({"week_pnl_quote": D("-638.30")}, TradingState.REDUCING, "WEEK_LOSS"),
        ({"peak_equity_quote": D("12500")}, TradingState.HALTED, "MAX_DRAWDOWN"),
        ({"consecutive_losses": 5}, TradingState.REDUCING, "LOSS_STREAK"),
        ({"cash_quote": D("NaN")}, TradingState.REDUCING, "RISK_UNKNOWN"),
        ({"equity_quote": D("-1")}, TradingState.HALTED, "MAX_DRAWDOWN"),
    ],
)
def test_a_reached_loss_limit_names_its_state_and_numbers(
    seen: dict[str, Any], state: TradingState, code: str
) -> None:
    """CTL-9, CTL-10, D-27"""
    breach = breakers(view(**seen), LIMITS)
    assert breach is not None
    assert (breach.state, breach.code) == (state, code)


def test_just_below_every_loss_limit_there_is_no_breach() -> None:
    """D-27"""
    near = view(day_pnl_quote=D("-309.27"), peak_equity_quote=D("12499.99"), consecutive_losses=4)
    assert breakers(near, LIMITS) is None


def test_the_drawdown_halt_comes_before_milder_breaches() -> None:
    """D-27"""
    bad = view(peak_equity_quote=D("20000"), day_pnl_quote=D("-5000"), consecutive_losses=9)
    breach = breakers(bad, LIMITS)
    assert breach is not None
    assert breach.state is TradingState.HALTED


def test_equity_below_its_minimum_stops_entries() -> None:
    """CTL-9"""
    limits = replace(LIMITS, min_equity_quote=D("10001"))
    breach = breakers(view(), limits)
    assert breach is not None
    assert breach.code == "MIN_EQUITY"
    assert denied_with(apply(request(), limits, view())) == "MIN_EQUITY"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_position_size": 1.5}, ["max_position_size", "1.5", "(0, 1]"]),
        ({"max_position_size": "nan"}, ["max_position_size", "NaN"]),
        ({"max_day_loss": 0}, ["max_day_loss", "0", "(0, 1]"]),
        ({"max_day_loss": "three"}, ["max_day_loss", "three"]),
        ({"leverage": True}, ["leverage", "True"]),
        ({"loss_streak": 0}, ["loss_streak", "0", ">= 1"]),
        ({"max_open_orders": 2.5}, ["max_open_orders", "2.5"]),
        ({"max_order_quote": -5}, ["max_order_quote", "-5"]),
        ({"risk_per_trade": 0.03}, ["risk_per_trade", "0.03", "0.02"]),
        ({"max_positon_size": 0.1}, ["unknown", "max_positon_size"]),
    ],
)
def test_a_wrong_limit_is_refused_with_its_name_value_and_range(
    values: dict[str, object], words: list[str]
) -> None:
    """CTL-22, OPT-41"""
    with pytest.raises(LimitsError) as error:
        RiskLimits.parse(values)
    assert all(word in str(error.value) for word in words)


def test_limits_are_read_from_configuration_without_binary_noise() -> None:
    """D-16"""
    limits = RiskLimits.parse({"max_position_size": 0.1, "max_open_orders": 4})
    assert (limits.max_position_size, limits.max_open_orders) == (D("0.1"), 4)
    assert RiskLimits.parse({}) == LIMITS


def test_the_throttle_counts_in_sliding_windows_of_event_time() -> None:
    """CTL-6"""
    throttle = OrderThrottle()
    for ts_ms in (0, 10, HOUR_MS, 2 * HOUR_MS):
        throttle.note(ts_ms)
    assert throttle.counts(2 * HOUR_MS) == (1, 4)
    assert throttle.counts(3 * HOUR_MS - 1) == (1, 4)
    assert throttle.counts(3 * HOUR_MS) == (0, 4)
    assert throttle.counts(24 * HOUR_MS) == (0, 3)
    assert throttle.counts(30 * HOUR_MS) == (0, 0)


GROUPED = replace(
    LIMITS, correlated_groups=(("majors", ("BTC", "ETH")), ("others", ("BTC", "XRP")))
)


def test_symbols_that_fall_together_are_capped_together() -> None:
    """CTL-4: 30 % of equity for the group, whatever its members have each; the denial says so."""
    held = view(
        gross_exposure_quote=D("2900"),
        exposure_by_symbol={"ETH/USDT": D("2400"), "ETH/BTC": D("500"), "SOL/USDT": D("400")},
    )
    wide = replace(GROUPED, max_position_size=D("0.5"), max_strategy_exposure=D("0.5"))
    cut = apply(request(50.0, stop_price=99.9), wide, held)
    assert cut.quantity_base == 1
    assert [s.code for s in cut.steps if s.after_base < s.before_base][-1] == "MAX_GROUP_MAJORS"
    assert apply(request(50.0, stop_price=99.9), replace(wide, correlated_groups=()), held) != cut
    full = replace(held, exposure_by_symbol={"ETH/USDT": D("3000")})
    denied = apply(request(), GROUPED, full).denied
    assert denied is not None
    assert (denied.code, denied.value, denied.limit) == ("MAX_GROUP_MAJORS", 1.0, 0.0)


def test_groups_are_read_in_the_order_of_their_names_and_refused_where_they_are_none() -> None:
    """F-087: the same groups stored as JSON give the same limits."""
    given = {"correlated_groups": {"b": ["SOL"], "a": ["BTC", "ETH"]}}
    parsed = RiskLimits.parse(given)
    assert parsed.correlated_groups == (("a", ("BTC", "ETH")), ("b", ("SOL",)))
    for wrong in (["BTC"], {"a": "BTC"}, {"a": [1]}):
        with pytest.raises(LimitsError, match="correlated_groups"):
            RiskLimits.parse({"correlated_groups": wrong})
