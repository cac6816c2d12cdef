"""The hard limits: applied last, after every multiplier, and never lifted by one.

Pure. What cannot be evaluated is denied. Orders that reduce a position skip the entry caps but
never exceed the position; only HALTED stops them.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal

from engine.breakers import BREAKERS, breakers, loss_fraction
from engine.ports import TradingState
from engine.risk import (
    Breach,
    CapResult,
    LimitsError,
    OrderThrottle,
    RiskLimits,
    RiskView,
    SizeRequest,
)
from engine.types.decisions import CapStep, GateAnswer, Reason
from engine.types.ledger import ZERO
from engine.types.opinions import Side

__all__ = [
    "Breach",
    "CapResult",
    "LimitsError",
    "OrderThrottle",
    "RiskLimits",
    "RiskView",
    "SizeRequest",
    "apply",
    "breakers",
    "notional_cap_quote",
    "survey",
]

# A quotient rounded up by its last digit could lift a quantity above its cap.
_DOWN = Context(prec=28, rounding=ROUND_FLOOR)


def notional_cap_quote(limits: RiskLimits, equity_quote: Decimal) -> Decimal:
    """The smallest notional cap of one order, in quote; base sizing takes half of it (D-20)."""
    by_equity = max(limits.max_position_size * equity_quote, ZERO)
    if limits.max_order_quote is None:
        return by_equity
    return min(by_equity, limits.max_order_quote)


def apply(request: SizeRequest, limits: RiskLimits, view: RiskView) -> CapResult:
    """Cut a request to what every limit allows, or deny it with the numbers.

    The result is on the lot grid and never larger than the request. Source: OPT-23, D-01, CTL-1,
    2, 4, 5, 6, 7, 9.
    """
    denied = _unusable(request) or _halted(view)
    if denied is not None:
        return CapResult(ZERO, (), denied)
    if request.reduces:
        return _reduce(request, view)
    for gate in _ENTRY_GATES:
        denied = gate(request, limits, view)
        if denied is not None:
            return CapResult(ZERO, (), denied)
    return _cap(request, limits, view)


def _exact(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))


def _unusable(request: SizeRequest) -> Reason | None:
    for name, value in (("quantity", request.quantity_base), ("price", request.price)):
        exact = _exact(value)
        if not exact.is_finite() or exact <= 0:
            return Reason(f"INVALID_{name.upper()}", f"{name} must be positive, was {value}")
    return None


def _halted(view: RiskView) -> Reason | None:
    if view.state is not TradingState.HALTED:
        return None
    return Reason("HALTED", "trading is halted, only cancels are allowed; state was HALTED")


def _reduce(request: SizeRequest, view: RiskView) -> CapResult:
    held = view.positions_base.get((request.strategy, request.symbol), ZERO)
    if not held.is_finite() or held * request.side.sign >= 0:
        text = f"nothing to reduce by a {request.side}, position was {held}"
        return CapResult(ZERO, (), Reason("NOT_REDUCING", text))
    wanted = _exact(request.quantity_base)
    step = _step("POSITION", wanted, abs(held))
    return _on_grid(request, min(wanted, abs(held)), (step,))


def _not_finite(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    if view.is_finite:
        return None
    return Reason("RISK_UNKNOWN", "a number of the account was not finite, limits cannot be judged")


def _reducing(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    if view.state is TradingState.ACTIVE:
        return None
    return Reason("REDUCING", f"only exits and cancels are allowed, state was {view.state}")


def _breached(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    breach = breakers(view, limits)
    if breach is None:
        return None
    return Reason(breach.code, breach.text, breach.value, breach.limit)


def _short(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    if request.side is Side.BUY or request.instrument.shortable:
        return None
    return Reason("NO_SHORTS", f"{request.symbol} cannot be sold short, side was SELL")


def _stop(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    """A stop, where given, is a price on the losing side; a short always needs one."""
    if request.stop_price is None:
        if request.side is Side.BUY:
            return None
        return Reason("NO_STOP", "a short without a stop has no largest loss, stop was None")
    stop, price = _exact(request.stop_price), _exact(request.price)
    if stop.is_finite() and stop > 0 and request.side.sign * (price - stop) > 0:
        return None
    text = f"stop of a {request.side} at {price} must be on its losing side, was {stop}"
    return Reason("INVALID_STOP", text)


def _counted(
    request: SizeRequest, limits: RiskLimits, view: RiskView
) -> tuple[tuple[str, int, int], ...]:
    """What an order would bring each count to, and the most it may be."""
    on_symbol = view.open_orders_by_symbol.get(request.symbol, 0)
    held = view.positions_base.get((request.strategy, request.symbol), ZERO)
    opening = 1 if held == 0 else 0
    return (
        ("OPEN_ORDERS", view.open_orders + 1, limits.max_open_orders),
        ("OPEN_ORDERS_SYMBOL", on_symbol + 1, limits.max_open_orders_per_symbol),
        ("OPEN_POSITIONS", view.open_positions + opening, limits.max_open_positions),
        ("ORDERS_PER_HOUR", view.orders_last_hour + 1, limits.max_orders_per_hour),
        ("ORDERS_PER_DAY", view.orders_last_day + 1, limits.max_orders_per_day),
        ("REPEATED_ENTRIES", view.entries_15m + 1, limits.max_entries_per_15m),
        ("REPEATED_ENTRIES_DAY", view.entries_day + 1, limits.max_entries_per_day),
    )


def _counts(request: SizeRequest, limits: RiskLimits, view: RiskView) -> Reason | None:
    for code, now, most in _counted(request, limits, view):
        if now > most:
            text = f"{_words(code)} would be {now}, limit was {most}"
            return Reason(code, text, float(now), float(most))
    return None


def _words(code: str) -> str:
    return code.lower().replace("_", " ")


_Gate = Callable[[SizeRequest, RiskLimits, RiskView], Reason | None]
_ENTRY_GATES: tuple[_Gate, ...] = (
    _not_finite,
    _reducing,
    _breached,
    _short,
    _stop,
    _counts,
)


def _cap(request: SizeRequest, limits: RiskLimits, view: RiskView) -> CapResult:
    quantity = _exact(request.quantity_base)
    steps: list[CapStep] = []
    for code, most in _caps(request, limits, view):
        step = _step(code, quantity, most)
        steps.append(step)
        quantity = min(quantity, most)
        if quantity <= 0:
            text = f"no room left under {code}, wanted {request.quantity_base} {step.text}"
            reason = Reason(code, text, float(request.quantity_base), float(most))
            return CapResult(ZERO, tuple(steps), reason)
    return _on_grid(request, quantity, tuple(steps))


def _caps(
    request: SizeRequest, limits: RiskLimits, view: RiskView
) -> tuple[tuple[str, Decimal], ...]:
    """Every cap as the most base units it allows (negative = already exceeded), in order."""
    equity, price = view.equity_quote, _exact(request.price)
    on_symbol = view.exposure_by_symbol.get(request.symbol, ZERO)
    of_strategy = view.exposure_by_strategy.get(request.strategy, ZERO)
    gross = view.gross_exposure_quote
    rooms: list[tuple[str, Decimal]] = [
        ("MAX_ORDER", limits.max_position_size * equity),
        ("MAX_SYMBOL", limits.max_position_size * equity - on_symbol),
        ("MAX_STRATEGY", limits.max_strategy_exposure * equity - of_strategy),
        *_group_rooms(request, limits, view),
        ("MAX_GROSS", limits.max_gross_exposure * equity - gross),
        ("LEVERAGE", limits.leverage * equity - gross),
    ]
    if limits.max_order_quote is not None:
        rooms.insert(1, ("MAX_ORDER_QUOTE", limits.max_order_quote))
    caps = [(code, _DOWN.divide(room, price)) for code, room in rooms]
    if request.side is Side.BUY:
        with_fee = price * (1 + max(request.instrument.taker_fee_fraction, ZERO))
        spendable = view.cash_quote - limits.cash_reserve * equity
        caps.append(("CASH_RESERVE", _DOWN.divide(spendable, with_fee)))
    # Without a stop the whole price is at risk.
    stop = _exact(request.stop_price) if request.stop_price is not None else ZERO
    at_risk = abs(price - stop)
    caps.append(("MAX_RISK", _DOWN.divide(limits.max_risk_per_trade * equity, at_risk)))
    return (*caps, *request.rooms)


def _group_rooms(
    request: SizeRequest, limits: RiskLimits, view: RiskView
) -> list[tuple[str, Decimal]]:
    """Return the room in quote that is left to each correlated group the symbol is in (CTL-4)."""
    most = limits.max_group_exposure * view.equity_quote
    return [
        (f"MAX_GROUP_{name.upper()}", most - _exposure_of(bases, view))
        for name, bases in limits.correlated_groups
        if request.instrument.base in bases
    ]


def _exposure_of(bases: tuple[str, ...], view: RiskView) -> Decimal:
    held = view.exposure_by_symbol.items()
    return sum((amount for symbol, amount in held if symbol.partition("/")[0] in bases), ZERO)


def _step(code: str, before: Decimal, most: Decimal) -> CapStep:
    after = max(min(before, most), ZERO)
    return CapStep(code, float(before), float(after), f"at most {float(most):.8g}")


def _on_grid(request: SizeRequest, quantity: Decimal, steps: tuple[CapStep, ...]) -> CapResult:
    """Round down to the lot and deny what no venue would take."""
    instrument = request.instrument
    rounded = instrument.quantity(quantity)
    steps = (*steps, _step("LOT_SIZE", quantity, rounded))
    least = instrument.min_quantity_base
    if rounded <= 0 or rounded < least:
        text = f"quantity {rounded} too small, minimum was {max(least, instrument.lot_size)}"
        return CapResult(ZERO, steps, Reason("MIN_QUANTITY", text, float(rounded), float(least)))
    notional, floor = rounded * _exact(request.price), instrument.min_notional_quote
    if notional < floor:
        text = f"notional {notional:.2f} too small, minimum was {floor}"
        return CapResult(ZERO, steps, Reason("MIN_NOTIONAL", text, float(notional), float(floor)))
    return CapResult(rounded, steps)


# -- every limit's answer, for the record ----------------------------------------------------------


def survey(request: SizeRequest, limits: RiskLimits, view: RiskView) -> tuple[GateAnswer, ...]:
    """Return what every limit says of an entry, in the order of ``apply``, which decides.

    Caps come with the room that is left in base units; one that cuts and does not deny passes.
    """
    unusable = _unusable(request)
    if unusable is not None:
        return (GateAnswer("size", False, unusable.value, unusable.limit, None, *_why(unusable)),)
    answers = [_plain_answer("books are known", _not_finite(request, limits, view))]
    if not view.is_finite:
        return tuple(answers)
    answers.append(_plain_answer("state of the account", _reducing(request, limits, view)))
    answers += _losses(view, limits)
    answers.append(_plain_answer("may be sold short", _short(request, limits, view)))
    answers.append(_plain_answer("stop is a stop", _stop(request, limits, view)))
    for code, now, most in _counted(request, limits, view):
        text = f"{_words(code)} would be {now}, limit was {most}"
        answers.append(_at_most(_words(code), code, text, float(now), float(most)))
    return (*answers, *_rooms(request, limits, view))


def _losses(view: RiskView, limits: RiskLimits) -> list[GateAnswer]:
    peak, equity = view.peak_equity_quote, view.equity_quote
    drawdown = float((peak - equity) / peak) if peak > 0 else float(equity < 0)
    day_loss, week_loss = (
        float(loss_fraction(equity, pnl)) for pnl in (view.day_pnl_quote, view.week_pnl_quote)
    )
    least, streak = float(limits.min_equity_quote), float(view.consecutive_losses)
    told = [judge(view, limits) for judge in BREAKERS]
    measured = (
        ("drawdown", drawdown, float(limits.max_drawdown), -1.0),
        ("equity", float(equity), least, 1.0),
        ("losses in a row", streak, float(limits.loss_streak), -1.0),
        ("loss of the day", day_loss, float(limits.max_day_loss), -1.0),
        ("loss of the week", week_loss, float(limits.max_week_loss), -1.0),
    )
    return [
        GateAnswer(
            name,
            breach is None,
            value,
            limit,
            sign * (value - limit),
            *(("", "") if breach is None else (breach.code, breach.text)),
        )
        for (name, value, limit, sign), breach in zip(measured, told, strict=True)
    ]


def _rooms(request: SizeRequest, limits: RiskLimits, view: RiskView) -> list[GateAnswer]:
    wanted = float(request.quantity_base)
    answers: list[GateAnswer] = []
    left = _exact(request.quantity_base)
    for code, most in _caps(request, limits, view):
        room = float(most)
        if most > 0:
            answers.append(GateAnswer(f"room {_words(code)}", True, wanted, room, room))
            left = min(left, most)
        else:
            text = f"no room left under {code}, wanted {wanted:.8g} at most {room:.8g}"
            answers.append(
                GateAnswer(f"room {_words(code)}", False, wanted, room, room, code, text)
            )
    fitting = _on_grid(request, left, ())
    instrument = request.instrument
    notional = float(instrument.quantity(left) * _exact(request.price))
    floor = float(instrument.min_notional_quote)
    why = ("", "") if fitting.denied is None else _why(fitting.denied)
    passed = fitting.denied is None
    return [
        *answers,
        GateAnswer("smallest order", passed, notional, floor, notional - floor, *why),
    ]


def _plain_answer(name: str, denied: Reason | None) -> GateAnswer:
    if denied is None:
        return GateAnswer(name, True)
    return GateAnswer(name, False, denied.value, denied.limit, None, *_why(denied))


def _at_most(name: str, code: str, text: str, value: float, limit: float) -> GateAnswer:
    if value <= limit:
        return GateAnswer(name, True, value, limit, limit - value)
    return GateAnswer(name, False, value, limit, limit - value, code, text)


def _why(reason: Reason) -> tuple[str, str]:
    return reason.code, reason.text
