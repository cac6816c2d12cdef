"""The loss limits of an account: which is reached now, and what state it asks for."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from engine.ports import TradingState
from engine.risk import DAY_MS, Breach, RiskLimits, RiskView
from engine.standing import WeekPnl
from engine.types.ledger import ZERO, EquityPoint


class Standings(Protocol):
    """What is judged of an account."""

    week: WeekPnl

    def standing(self, point: EquityPoint) -> RiskView: ...


class BreakerWatch:
    """Looks at each equity point of an account, and judges it anew only where a loss is new.

    Every breaker measures how far equity lies below something that stands still between two
    deposits of one UTC day: the peak, the start of the day and of the week, a minimum. What was
    within the limits at one equity is so at every higher one of the same day and peak.
    """

    def __init__(self, account: Standings) -> None:
        self._account = account
        self._seen: tuple[Decimal, Decimal, Decimal] | None = None
        # peak, day's start, day and limits that equity was judged against, and the lowest judged
        self._against: tuple[Decimal, Decimal, int] | None = None
        self._limits: RiskLimits | None = None
        self._lowest = ZERO

    def breach(self, point: EquityPoint, limits: RiskLimits) -> Breach | None:
        """Return the most severe limit that is reached, None where none is or nothing moved since
        the last look. What is in breach is judged again at each point."""
        equity = point.equity_quote
        seen = (equity, point.peak_equity_quote, point.day_pnl_quote)
        if seen == self._seen:
            return None
        against = (point.peak_equity_quote, equity - point.day_pnl_quote, point.ts_ms // DAY_MS)
        is_known = limits is self._limits and against == self._against
        if is_known and equity >= self._lowest:
            self._seen = seen
            self._account.week.note(point)
            return None
        breach = breakers(self._account.standing(point), limits)
        if breach is not None:
            self._seen = self._against = None
            return breach
        self._seen, self._against, self._limits, self._lowest = seen, against, limits, equity
        return None


def breakers(view: RiskView, limits: RiskLimits) -> Breach | None:
    """The most severe loss limit that is reached now, or None. Source: D-27, CTL-9, CTL-10.

    A view with a number that is none asks for REDUCING: new risk on unknown books is never safe,
    and exits must stay possible.
    """
    if not view.is_finite:
        text = "a number of the account was not finite"
        return Breach(TradingState.REDUCING, "RISK_UNKNOWN", text, 0.0, 0.0)
    found = (judge(view, limits) for judge in BREAKERS)
    return next((breach for breach in found if breach is not None), None)


def drawdown(view: RiskView, limits: RiskLimits) -> Breach | None:
    peak, equity = view.peak_equity_quote, view.equity_quote
    fraction = (peak - equity) / peak if peak > 0 else Decimal(equity < 0)
    if fraction < limits.max_drawdown:
        return None
    text = f"drawdown {fraction:.4f} reached its limit, limit was {limits.max_drawdown}"
    value, limit = float(fraction), float(limits.max_drawdown)
    return Breach(TradingState.HALTED, "MAX_DRAWDOWN", text, value, limit)


def low_equity(view: RiskView, limits: RiskLimits) -> Breach | None:
    equity, least = view.equity_quote, limits.min_equity_quote
    if equity > 0 and equity >= least:
        return None
    text = f"equity {equity:.2f} below its minimum, minimum was {least}"
    return Breach(TradingState.REDUCING, "MIN_EQUITY", text, float(equity), float(least))


def streak(view: RiskView, limits: RiskLimits) -> Breach | None:
    losses = view.consecutive_losses
    if losses < limits.loss_streak:
        return None
    text = f"{losses} losing trades in a row, limit was {limits.loss_streak}"
    return Breach(
        TradingState.REDUCING, "LOSS_STREAK", text, float(losses), float(limits.loss_streak)
    )


def day_loss(view: RiskView, limits: RiskLimits) -> Breach | None:
    loss, most = loss_fraction(view.equity_quote, view.day_pnl_quote), limits.max_day_loss
    if loss < most:
        return None
    text = f"day loss {loss:.4f} reached its limit, limit was {most}"
    return Breach(TradingState.REDUCING, "DAY_LOSS", text, float(loss), float(most))


def week_loss(view: RiskView, limits: RiskLimits) -> Breach | None:
    loss, most = loss_fraction(view.equity_quote, view.week_pnl_quote), limits.max_week_loss
    if loss < most:
        return None
    text = f"week loss {loss:.4f} reached its limit, limit was {most}"
    return Breach(TradingState.REDUCING, "WEEK_LOSS", text, float(loss), float(most))


BREAKERS = (drawdown, low_equity, streak, day_loss, week_loss)


def loss_fraction(equity: Decimal, pnl: Decimal) -> Decimal:
    """Return what was lost of the equity that ``pnl`` began with; 0 where that was nothing."""
    start = equity - pnl
    return -pnl / start if start > 0 else ZERO
