"""One update of the weights: idempotent, bounded, explained, per regime, restart-safe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from engine.types.ledger import Trade
from optimization.core.bounds import Bound, WeightLimits
from optimization.core.errors import EvidenceError, WeightingError
from optimization.core.evidence import StrategyEvidence
from optimization.core.performance import Decomposition
from optimization.core.weighting import (
    CompositePolicy,
    ExponentiatedGradientPolicy,
    WeightBook,
    WeightChange,
    WeightPolicy,
    book_from_state,
    enrolled,
    opening_book,
    update_weights,
)
from tests.optimization.core.trades import HOUR_MS, closed, every

LIMITS = WeightLimits()
BASE = {"ema-trend": 1.0, "breakout": 1.0}
DAY_H = 24


@dataclass(frozen=True)
class Fixed:
    """Wishes for the same weight whatever happens."""

    wish: float
    code: str = "fixed"

    def propose(
        self, current: Mapping[str, float], evidence: Mapping[str, StrategyEvidence]
    ) -> dict[str, float]:
        return dict.fromkeys(current, self.wish)


def book_of(*trades: Trade) -> Decomposition:
    found = Decomposition()
    for trade in trades:
        found.add(trade)
    return found


def update(
    book: WeightBook,
    performance: Decomposition,
    policy: WeightPolicy | None = None,
    regimes: Mapping[str, Sequence[str]] | None = None,
    hour: float = 10_000,
) -> tuple[WeightBook, tuple[WeightChange, ...]]:
    return update_weights(
        book,
        performance,
        policy or CompositePolicy(),
        regimes=regimes or {},
        now_ms=round(hour * HOUR_MS),
        limits=LIMITS,
    )


def test_an_update_without_a_new_trade_changes_nothing() -> None:
    """OPT-34: a predecessor took break-even to 2.0 in twelve updates without a trade (AW-16)."""
    performance = book_of(*every([2.0, -1.0] * 15))
    book, changes = update(opening_book(BASE, LIMITS), performance)
    assert [change.in_effect for change in changes] == [False, True]
    for hour in range(10_001, 10_100, 7):
        again, more = update(book, performance, hour=hour)
        assert again is book
        assert more == ()


def test_the_same_trades_give_the_same_book() -> None:
    """OPT-34: an update is a function of its data."""
    trades = every([2.0, -1.0, 0.5] * 12)
    first = update(opening_book(BASE, LIMITS), book_of(*trades))
    again = update(opening_book(BASE, LIMITS), book_of(*trades))
    assert first == again


def test_a_change_says_what_why_on_what_evidence_and_what_held_it_back() -> None:
    """OPT-35, D-17"""
    performance = book_of(*every([2.0, 2.0, -1.0] * 15))
    book, changes = update(opening_book(BASE, LIMITS), performance, hour=50)
    change = changes[-1]
    assert (change.strategy, change.regime, change.in_effect) == ("ema-trend", None, True)
    assert (change.old, change.new) == (1.0, book.weights()["ema-trend"])
    assert change.bound is Bound.STEP
    assert changes[0].target > 1.15
    assert change.target == changes[0].new, "in effect follows what is stored"
    assert change.evidence["expectancy_r"] == pytest.approx(1.0)
    assert change.evidence["closed_trades"] == 45
    assert change.limits == LIMITS
    assert (change.at_ms, change.as_of) == (50 * HOUR_MS, "trade-45")
    assert "expectancy R 1.000" in change.reason
    assert "held back by the step limit" in changes[0].reason


def test_the_weight_in_effect_takes_the_same_bounds_as_the_stored_one() -> None:
    """OPT-74: one update, one step, although two weights move."""
    _, changes = update(opening_book(BASE, LIMITS), book_of(*every([1.0] * 40)), Fixed(2.0))
    assert [(c.old, c.new) for c in changes] == [(1.0, 1.15)] * 2
    assert [c.bound for c in changes] == [Bound.STEP, Bound.STEP]


def test_a_strategy_without_new_trades_stands_still() -> None:
    """D-17: breakout has none, so only ema-trend moves."""
    book, changes = update(opening_book(BASE, LIMITS), book_of(*every([1.0] * 40)), Fixed(2.0))
    assert {change.strategy for change in changes} == {"ema-trend"}
    assert book.weights()["breakout"] == 1.0


def test_a_future_trade_is_refused() -> None:
    """OPT-89"""
    with pytest.raises(EvidenceError, match="evidence must be closed by"):
        update(opening_book(BASE, LIMITS), book_of(*every([1.0] * 40)), hour=39)


def test_a_policy_that_wishes_for_no_number_is_refused() -> None:
    with pytest.raises(WeightingError, match="must be finite, was nan"):
        update(opening_book(BASE, LIMITS), book_of(*every([1.0] * 40)), Fixed(math.nan))


def regime_history() -> tuple[WeightBook, Decomposition, int]:
    """Forty days: ema-trend gains in TRENDING and loses in RANGING, in blocks of ten trades."""
    performance, book, number = Decomposition(), opening_book(BASE, LIMITS), 0
    for block in range(16):
        regime = "TRENDING" if block % 2 == 0 else "RANGING"
        for k in range(10):
            number += 6
            result = (1.5, -0.5)[k % 2] if regime == "TRENDING" else (0.5, -1.2)[k % 2]
            performance.add(closed(number, result, regime=regime))
            if k % 5 == 4:
                book, _ = update(book, performance, regimes={"ema-trend": [regime]}, hour=number)
    return book, performance, number


def test_each_regime_has_its_own_weight_and_the_pair_differs() -> None:
    """OPT-39: a predecessor never passed a regime, so none was written (AW-22)."""
    book, _, _ = regime_history()
    stored = book.regime_weights()
    assert stored["ema-trend", "TRENDING"] > 1.15
    assert stored["ema-trend", "RANGING"] < 0.9
    assert ("breakout", "TRENDING") not in stored
    assert book.stored_for("breakout", "TRENDING") == book.stored_for("breakout", None)


def test_when_a_regime_returns_the_weight_walks_back_in_bounded_steps() -> None:
    """D-30: towards the stored weight, at most 15 % an update, never in one jump."""
    book, performance, number = regime_history()
    assert book.weights()["ema-trend"] < 1.0, "the last block was RANGING"
    path = [book.weights()["ema-trend"]]
    for block in range(24):
        for k in range(5):
            number += 6
            performance.add(closed(number, (1.5, -0.5)[(block + k) % 2], regime="TRENDING"))
        regimes = {"ema-trend": ["TRENDING"]}
        book, _ = update(book, performance, regimes=regimes, hour=number)
        path.append(book.weights()["ema-trend"])
    assert path[1] > path[0]
    assert path[-1] == pytest.approx(book.regime_weights()["ema-trend", "TRENDING"])
    steps = [abs(new - old) / old for old, new in pairwise(path)]
    assert max(steps) <= 0.15


def test_symbols_in_two_regimes_wish_for_the_mean() -> None:
    """OPT-39: the regime is passed per symbol."""
    book, _, _ = regime_history()
    up, down = (book.stored_for("ema-trend", name) for name in ("TRENDING", "RANGING"))
    assert up == book.regime_weights()["ema-trend", "TRENDING"] > 1.0 > down
    assert book.wished("ema-trend", ["TRENDING"]) == up
    assert book.wished("ema-trend", ["TRENDING", "RANGING"]) == pytest.approx((up + down) / 2)
    assert book.wished("ema-trend", []) == book.stored_for("ema-trend", None)


def test_a_regime_weight_begins_at_the_strategy_s_own_and_waits_for_new_trades() -> None:
    """D-17: the twenty trades that opened it were seen already."""
    performance = book_of(*every([1.0] * 25))
    book, changes = update(opening_book(BASE, LIMITS), performance, Fixed(2.0))
    assert book.regime_weights()["ema-trend", "TRENDING"] == 1.0
    assert all(change.regime is None for change in changes)


def test_the_book_survives_a_restart_to_the_last_bit() -> None:
    """OPT-34: JSON and back, then the next update, is the same as without a restart."""
    book, performance, number = regime_history()
    again = book_from_state(json.loads(json.dumps(book.state())))
    assert again == book
    for k in range(1, 8):
        performance.add(closed(number + k, 1.0))
    assert update(again, performance, hour=number + 9) == update(book, performance, hour=number + 9)
    with pytest.raises(WeightingError, match="book version must be 1, was 3"):
        book_from_state({"version": 3})


def test_base_weights_begin_inside_the_range_and_newcomers_join_at_theirs() -> None:
    """OPT-75"""
    book = opening_book({"a": 0.01, "b": 7.0}, LIMITS)
    assert book.weights() == {"a": 0.1, "b": 2.0}
    joined = enrolled(book, {"a": 1.0, "c": 0.5}, LIMITS)
    assert joined.weights() == {"a": 0.1, "b": 2.0, "c": 0.5}
    assert enrolled(joined, {"c": 1.7}, LIMITS) == joined


def test_hedge_is_paid_for_each_trade_once() -> None:
    """OPT-34: a reward counts since the last move, so a rerun pays nothing twice."""
    trades = every([1.0] * 6) + every([-1.0] * 6, first=7, strategy="breakout")
    performance = book_of(*trades)
    policy = ExponentiatedGradientPolicy(eta=0.1)
    book, _ = update(opening_book(BASE, LIMITS), performance, policy)
    first = book.weights()["ema-trend"]
    performance.add(closed(500, 1.0))
    book, changes = update(book, performance, policy, hour=10_001)
    assert changes == ()
    assert book.weights()["ema-trend"] == first > 1.0


def test_a_weight_in_effect_follows_one_regime_or_says_none() -> None:
    """D-30, OPT-39: what held the stored weight back is told of the one that follows it."""
    book, _, _ = regime_history()
    assert book.followed("ema-trend", ["TRENDING"]) == "TRENDING"
    assert book.followed("ema-trend", ["TRENDING", "TRENDING"]) == "TRENDING"
    assert book.followed("ema-trend", ["TRENDING", "RANGING"]) is None, "it follows their mean"
    assert book.followed("ema-trend", ["TRENDING", "QUIET"]) is None
    assert book.followed("ema-trend", ["QUIET"]) is None, "no weight of its own yet"


@pytest.mark.parametrize(("trades", "opened"), [(19, False), (20, True)])
def test_a_regime_has_a_weight_of_its_own_from_its_twentieth_trade(
    trades: int, opened: bool
) -> None:
    """OPT-39"""
    book, changes = update(opening_book(BASE, LIMITS), book_of(*every([1.0] * trades)))
    assert (("ema-trend", "TRENDING") in book.stored) is opened
    assert "trades in all regimes" in changes[0].reason
