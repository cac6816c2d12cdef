"""A loss that is no new loss need not be judged again."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.account import Account
from engine.breakers import BreakerWatch, breakers
from engine.equity import DAY_MS, EquityCurve
from engine.ledger import Ledger
from engine.risk import RiskLimits
from engine.types.ledger import ZERO

START = Decimal(1_000)
LIMITS = RiskLimits(
    max_day_loss=Decimal("0.05"),
    max_week_loss=Decimal("0.08"),
    max_drawdown=Decimal("0.10"),
    min_equity_quote=Decimal(900),
)
# what moves: equity by so much, a deposit, a new day, other limits, a person's reset
MOVES = st.one_of(
    st.integers(-30, 30),
    st.sampled_from(["deposit", "day", "limits", "reset"]),
)


def account() -> Account:
    return Account(Ledger("USDT", {"USDT": START}))


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(MOVES, min_size=1, max_size=60))
def test_every_point_that_moved_is_judged_as_if_none_had_been_judged_before(
    moves: list[int | str],
) -> None:
    """CTL-9, CTL-10, D-27: the breach of each point, and the week that is remembered."""
    seen: object = None
    watched, plain = account(), account()
    watch, curve = BreakerWatch(watched), EquityCurve(START)
    equity, at_ms, limits = START, 0, LIMITS
    for move in moves:
        if move == "deposit":
            curve.contribute(equity, Decimal(50))
            equity += 50
        elif move == "day":
            at_ms += DAY_MS
        elif move == "limits":
            limits = RiskLimits() if limits is LIMITS else LIMITS
        elif move == "reset":
            curve.rebase(equity)
        else:
            equity += Decimal(move)
        point = curve.point(at_ms := at_ms + 1, equity, equity, ZERO)
        expected, moved = None, (equity, point.peak_equity_quote, point.day_pnl_quote)
        if moved != seen:
            expected = breakers(plain.standing(point), limits)
            seen = moved if expected is None else None
        assert watch.breach(point, limits) == expected
        assert watched.week.days == plain.week.days
