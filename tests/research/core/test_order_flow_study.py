"""The regressions on markets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from research.core.order_books import BookTape, from_quotes
from research.core.order_flow_study import (
    HORIZONS_S,
    Trades,
    adjusted,
    first_component,
    predictive_r_squared,
    quote_test,
    r_squared,
    study,
)

START_MS = 1_700_000_003_250


def market(seed: int, seconds: int, *, noise: float, ahead: float = 0.0) -> tuple[BookTape, Trades]:
    """Ten quotes a second, prices that never leave the level, sizes that tell the flow.

    The bid moves with what was added to it in the same quote, and by ``ahead`` with what was
    added one second before.
    """
    rng = np.random.default_rng(seed)
    n = seconds * 10
    added = rng.normal(0.0, 1.0, n)
    before = np.concatenate((np.zeros(10), added[:-10]))
    moves = added + ahead * before + noise * rng.normal(0.0, 1.0, n)
    size = 1_000.0 + np.cumsum(added) - np.arange(n) * added.mean()
    middle = 1e6 + np.cumsum(moves)
    ts_ms = START_MS + 100 * np.arange(n, dtype=np.int64)
    whole = from_quotes(ts_ms, middle - 0.5, size, middle + 0.5, np.full(n, 500.0))
    flow = np.concatenate(([0.0], added[1:]))[:, None]
    tape = BookTape(
        whole.ts_ms, whole.bid_price, whole.bid_qty, whole.ask_price, whole.ask_qty, flow, n
    )
    sign = np.sign(rng.normal(0.0, 1.0, n) + 0.5 * added)
    return tape, Trades(ts_ms, middle, np.ones(n), sign)


@pytest.mark.parametrize(("noise", "expected"), [(0.0, 1.0), (1.0, 0.5), (2.0, 0.2)])
def test_r2_is_the_share_of_the_variance_that_flow_makes(noise: float, expected: float) -> None:
    """D-53: at every interval length, where flow and noise are independent."""
    found = study(*market(1, 3_600, noise=noise))
    for horizon in found.horizons:
        assert horizon.ofi_r2 == pytest.approx(expected, abs=0.08)
    assert [horizon.horizon_s for horizon in found.horizons] == list(HORIZONS_S)
    assert found.trade_imbalance_r2 is not None and found.ofi_r2 is not None
    assert found.trade_imbalance_r2 < found.ofi_r2


def test_intervals_lie_on_the_clock_and_none_is_left_out() -> None:
    """D-53: 60 s from 3.25 s past a ten touch seven intervals of 10 s, the last one partly."""
    found = study(*market(2, 60, noise=1.0))
    assert START_MS % 10_000 == 3_250
    assert found.n == 7
    assert found.fit == "one fit"


def test_a_long_sample_is_fitted_half_hour_by_half_hour() -> None:
    """D-53: each half hour has a slope of its own, as in the paper."""
    tape, trades = market(3, 7_200, noise=0.0)
    assert study(tape, trades).fit == "mean of 4 half-hour fits"
    calm = np.where(np.arange(len(tape.ts_ms)) < 36_000, 1.0, 5.0)[:, None]
    slopes = BookTape(
        tape.ts_ms, tape.bid_price, tape.bid_qty, tape.ask_price, tape.ask_qty,
        tape.flow * calm, tape.n_events,
    )  # fmt: skip
    assert study(slopes, trades).ofi_r2 == pytest.approx(1.0, abs=0.01)


def test_what_follows_is_told_from_what_is_explained() -> None:
    """ORC-09: a market that flow moves at once and not afterwards foretells nothing."""
    found = study(*market(4, 3_600, noise=0.5))
    assert found.ofi_r2 == pytest.approx(0.8, abs=0.05)
    second = found.horizons[0]
    assert second.predictive_r2 is not None and second.predictive_chance_r2 is not None
    assert second.predictive_r2 < second.predictive_chance_r2
    assert found.predictive[0].startswith(("nothing:", "not more than chance:"))


def test_flow_that_moves_the_price_a_second_later_is_found() -> None:
    """ORC-09: out of sample, on the half that was not fitted."""
    found = study(*market(5, 3_600, noise=0.5, ahead=1.0))
    second = found.horizons[0]
    assert second.predictive_r2 is not None and second.predictive_r2 > 0.2
    assert found.predictive[0].startswith("something:")


def test_r_squared_agrees_with_the_correlation_and_knows_what_it_cannot_tell() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=50), rng.normal(size=50)
    assert r_squared(x[:, None], x + y) == pytest.approx(np.corrcoef(x, x + y)[0, 1] ** 2)
    assert r_squared(x[:, None], np.ones(50)) is None
    assert r_squared(np.ones((50, 1)), y) is None
    assert r_squared(x[:2, None], y[:2]) is None


def test_more_columns_are_not_a_better_fit_by_themselves() -> None:
    """ORC-09: ten columns of noise raise R2; adjusted, they do not."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(40):
        raw = r_squared(rng.normal(size=(60, 10)), rng.normal(size=60))
        assert raw is not None
        found.append((raw, adjusted(raw, 60, 10)))
    assert np.mean([raw for raw, _ in found]) > 0.1
    assert abs(np.mean([less for _, less in found])) < 0.05  # type: ignore[misc]
    assert adjusted(0.5, 11, 10) is None


def test_predicting_is_judged_on_rows_that_were_not_fitted() -> None:
    """ORC-09: a slope that turns round in the second half is worse than knowing nothing."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=400)
    y = np.concatenate(([0.0], np.where(np.arange(399) < 199, x[:-1], -x[:-1])))
    r2, judged = predictive_r_squared(x[:, None], y)
    assert judged == 200
    assert r2 is not None and r2 < -1.0
    assert predictive_r_squared(x[:4, None], y[:4])[0] is None


def test_the_first_component_is_what_the_levels_share() -> None:
    """ORC-09: two levels that move together, one that does not."""
    rng = np.random.default_rng(9)
    shared = rng.normal(size=500)
    x = np.column_stack((shared, shared, 0.1 * rng.normal(size=500)))
    weights = first_component(-x)
    assert np.abs(weights).sum() == pytest.approx(1.0)
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.02)


def test_the_taker_is_told_by_the_quote_before_the_trade() -> None:
    """D-53: a quote of the same millisecond may be the trade's own trace."""
    one = np.ones(3)
    bid = np.array([99.0, 101.0, 101.0])
    tape = from_quotes(np.array([10, 20, 30]), bid, one, bid + 2.0, one)
    ts_ms, price = np.array([5, 15, 20, 25, 35]), np.array([100.0, 100.5, 101.0, 101.0, 102.0])
    assert quote_test(tape, ts_ms, price).tolist() == [0.0, 1.0, 1.0, -1.0, 0.0]
