"""Walk-forward, search and verdict of a sweep."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from research.core.search import Range, Trial, next_parameters, ranges_of
from research.core.sweep import (
    CHOSEN,
    DEFAULTS,
    IN_SAMPLE,
    Outcome,
    Search,
    Unit,
    summary,
    units_ready,
    winner,
)
from research.core.walk_forward import period_ms_of, period_returns, windows_of
from strategies.core.errors import StrategyError

HOUR = 3_600_000
RANGES = (Range("channel_bars", 10, 60, True), Range("stop_atr", 1.0, 4.0, False))
SETTINGS = {"folds": 3, "in_sample_share": 0.75, "purge_bars": 50}
WINDOWS = windows_of(0, 6_000 * HOUR, HOUR, **SETTINGS)


def outcome(unit: Unit, mean: float, refused: str = "", trades: int = 40) -> Outcome:
    returns = np.random.default_rng([unit.window, len(unit.kind), unit.number]).normal(
        mean, 0.01, 90
    )
    return Outcome(unit, 0.1, trades, () if refused else tuple(returns.tolist()), refused)


def test_out_of_sample_stretches_follow_each_other_and_never_touch_the_choice():
    """Every bar of the choice lies before the gap, every judged bar after it."""
    assert len(WINDOWS) == 3
    for window in WINDOWS:
        assert window.out_from_ms - window.in_to_ms == 50 * HOUR
        assert window.in_from_ms < window.in_to_ms < window.out_from_ms < window.out_to_ms
    for before, after in pairwise(WINDOWS):
        assert after.in_to_ms == before.out_to_ms
        assert after.in_to_ms - after.in_from_ms == before.in_to_ms - before.in_from_ms
    assert WINDOWS[0].in_from_ms == 0 and WINDOWS[-1].out_to_ms == 6_000 * HOUR


def test_too_little_history_is_refused_with_its_numbers():
    with pytest.raises(ValueError, match=r"900 bars in 3 folds gave 450 in sample and 100 out"):
        windows_of(0, 900 * HOUR, HOUR, **SETTINGS)


def test_periods_are_days_or_shorter_where_the_stretch_is():
    assert period_ms_of(WINDOWS) == (WINDOWS[0].out_to_ms - WINDOWS[0].out_from_ms) // 60
    long = windows_of(0, 60_000 * HOUR, HOUR, **SETTINGS)
    assert period_ms_of(long) == 24 * HOUR
    times = np.arange(1, 7, dtype=np.int64)
    equity = np.array([100.0, 100.0, 110.0, 110.0, 99.0, 99.0])
    assert period_returns(times, equity, 0, 6, 2) == pytest.approx([0.0, 0.1, -0.1])


def test_the_search_asks_the_same_after_the_same_trials_and_learns_from_them():
    tried = [Trial({"channel_bars": 20 + n, "stop_atr": 1.5}, float(n)) for n in range(4)]
    first = next_parameters(RANGES, tried, 7, 4)
    assert first == next_parameters(RANGES, tried, 7, 4)
    assert first != next_parameters(RANGES, tried[:3], 7, 3)
    assert first != next_parameters(RANGES, tried, 7, 5)
    assert first["channel_bars"] == int(first["channel_bars"])
    assert 10 <= first["channel_bars"] <= 60 and 1.0 <= first["stop_atr"] <= 4.0
    tried, best = [], []
    for _ in range(40):
        asked = next_parameters(RANGES, tried, 3, len(tried))
        tried.append(Trial(asked, -abs(asked["channel_bars"] - 33)))
        best.append(asked["channel_bars"])
    early, late = np.abs(np.array(best[:10]) - 33), np.abs(np.array(best[-10:]) - 33)
    assert late.mean() < early.mean() / 2


def test_refused_values_are_told_to_the_search_as_nothing():
    tried = [Trial({"channel_bars": 20, "stop_atr": 1.5}, None)] * 3
    assert set(next_parameters(RANGES, tried, 1, 3)) == {"channel_bars", "stop_atr"}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"moon": [1, 2]}, "unknown parameter 'moon'"),
        ({"stop_atr": [4, 1]}, "range was \\[4, 1\\], allowed: LOW below HIGH"),
        ({"channel_bars": [10.1, 10.2]}, "allowed: whole steps"),
    ],
)
def test_a_wrong_range_is_refused_with_one_line(given, line):
    with pytest.raises(StrategyError, match=line):
        ranges_of("breakout", given)
    with pytest.raises(StrategyError, match="strategy was 'moon', allowed: ema-trend"):
        ranges_of("moon", {})
    assert {r.name for r in ranges_of("breakout", {})} >= {"channel_bars", "stop_atr"}


def search(trials: int = 3, batch: int = 1) -> Search:
    return Search(WINDOWS, RANGES, {"stop_atr": 2.0}, trials=trials, seed=1, batch=batch)


def walk(
    trials: int = 3, skill: float = 0.0, refuse: int = -1, batch: int = 1, pick: int = 0
) -> list[Outcome]:
    done: list[Outcome] = []
    while units := units_ready(done, search(trials, batch)):
        unit = units[pick % len(units)]
        refused = "too wide" if unit.kind == IN_SAMPLE and unit.number == refuse else ""
        mean = skill + (0.001 * unit.number if unit.kind == IN_SAMPLE else 0.0)
        done.append(outcome(unit, mean, refused))
    return done


def test_units_come_window_by_window_with_the_winner_and_the_defaults_out_of_sample():
    done = walk(refuse=2)
    assert [o.unit.kind for o in done[:5]] == [IN_SAMPLE] * 3 + [CHOSEN, DEFAULTS]
    assert len(done) == 15
    for start in range(0, 15, 5):
        best = winner(done[start : start + 3])
        assert best.unit.number == max((0, 1), key=lambda n: done[start + n].value)
        assert done[start + 3].unit.parameters == best.unit.parameters
        assert done[start + 4].unit.parameters == {"stop_atr": 2.0}
    assert winner([]) is None


def test_whoever_resumes_asks_what_would_have_been_asked():
    """The same stored units give the same next unit, wherever the work was cut short."""
    done = walk()
    for cut in range(len(done)):
        assert units_ready(done[:cut], search())[0] == done[cut].unit


def test_the_units_of_a_sweep_do_not_depend_on_the_order_in_which_they_were_done():
    """However workers share a batch and windows out, the same units come and the same result."""
    first = walk(trials=12, batch=4)
    for pick in (1, 2, 5):
        other = walk(trials=12, batch=4, pick=pick)
        assert [o.unit for o in other] != [o.unit for o in first]
        assert {repr(o.unit) for o in other} == {repr(o.unit) for o in first}
        assert summary(other, WINDOWS, HOUR) == summary(first, WINDOWS, HOUR)


def test_a_batch_is_ready_at_once_and_the_next_only_when_all_of_it_is_known():
    units = units_ready([], search(trials=6, batch=4))
    assert [(u.window, u.number) for u in units] == [(w, n) for w in range(3) for n in range(4)]
    mine = [outcome(unit, 0.0) for unit in units if unit.window == 0]
    assert [u.number for u in units_ready(mine[:3], search(6, 4)) if u.window == 0] == [3]
    assert [u.number for u in units_ready(mine, search(6, 4)) if u.window == 0] == [4, 5]


def test_the_verdict_rests_on_the_out_of_sample_column_and_the_number_of_trials():
    noise, skill = walk(trials=6), walk(trials=6, skill=0.01)
    found = summary(noise, WINDOWS, 24 * HOUR)
    assert found["verdict"].startswith("not enough evidence")
    for row in found["windows"]:
        assert row["trials"] == 6
        assert row["out_of_sample_sharpe"] is not None and row["defaults_sharpe"] is not None
        assert row["chance_sharpe"] > 0.0
    assert found["trials"] == 18
    good = summary(skill, WINDOWS, 24 * HOUR)
    assert good["out_of_sample"]["periods"] == 270
    assert good["verdict"].startswith("holds out of sample")
    assert good["out_of_sample"]["lacks"] == ""
    assert summary([], WINDOWS, 24 * HOUR)["verdict"] == "too few trades out of sample to say"


def test_too_few_trades_or_days_out_of_sample_are_no_verdict_however_good_the_ratio():
    """The rule of the Performance page: eight trades of 30 praise nothing."""
    few = [replace(o, trades=3) for o in walk(trials=6, skill=0.01)]
    found = summary(few, WINDOWS, 24 * HOUR)
    assert found["out_of_sample"]["probability_above_0"] > 0.95, "the figures stay in the data"
    assert found["verdict"] == "too few trades out of sample to say"
    assert found["out_of_sample"]["lacks"] == "too few trades (9 of 30)"
    assert found["defaults_out_of_sample"]["lacks"] == "too few trades (9 of 30)"
    for row in found["windows"]:
        wanted = [row[f"{what}_lacks"] for what in ("in_sample", "out_of_sample", "defaults")]
        assert wanted == ["too few trades (3 of 30)"] * 3
    short = windows_of(0, 600 * HOUR, HOUR // 60, **SETTINGS)
    brief = summary(walk(trials=6, skill=0.01), short, HOUR)
    assert brief["verdict"] == "too few days out of sample to say"
    assert "of 30)" in brief["out_of_sample"]["lacks"]
