"""The periodic update: a function of the trades, idempotent, with reasons."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ports import StrategyStatus
from optimization.core.actions import ActionKind
from optimization.core.config import LayerSettings
from optimization.core.errors import StateError
from optimization.core.outcome import Outcome, QualityInputs, Standing
from optimization.core.quality.learned import LearnedState
from optimization.core.state import LayerState
from optimization.core.update import Changes, is_due, next_due_ms, next_state, period_of
from tests.optimization.core.outcomes import HOUR_MS, START_MS, observed, outcomes

ACTIVE, DEGRADED = StrategyStatus.ACTIVE, StrategyStatus.DEGRADED
SUSPENDED, RETIRED = StrategyStatus.SUSPENDED, StrategyStatus.RETIRED
SETTINGS = LayerSettings(enabled=True)
NOW = START_MS + HOUR_MS
INPUTS = QualityInputs(0.5, 0.5, 0.5, 0.5)
WINS, LOSSES = [1.0, 0.5, -0.4] * 12, [-1.0, 0.5] * 15


def after(
    rs: list[float], state: LayerState | None = None, of: LayerSettings = SETTINGS
) -> LayerState:
    return next_state(state or LayerState(), observed(outcomes(rs)), NOW, of)[0]


# -- when ------------------------------------------------------------------------------------------


def test_an_update_is_due_once_a_period_of_venue_time_and_missed_ones_are_caught_up_once() -> None:
    """OPT-32: 3,600 s unless configured otherwise."""
    state = LayerState()
    hour = period_of(START_MS, SETTINGS) * HOUR_MS
    assert is_due(state, hour, SETTINGS)
    done, _ = next_state(state, observed(), hour + 5, SETTINGS)
    assert not is_due(done, hour + HOUR_MS - 1, SETTINGS)
    assert is_due(done, hour + HOUR_MS, SETTINGS)
    assert next_due_ms(done, hour + 6, SETTINGS) == hour + HOUR_MS
    late, _ = next_state(done, observed(), hour + 10 * HOUR_MS, SETTINGS)
    assert not is_due(late, hour + 10 * HOUR_MS + 1, SETTINGS)
    assert next_due_ms(late, hour + 11 * HOUR_MS, SETTINGS) == hour + 11 * HOUR_MS
    minute = replace(SETTINGS, update_interval_seconds=60.0)
    assert is_due(done, hour + 60_005, minute) and not is_due(done, hour + 59_000, minute)


# -- idempotent, keyed by the last trade -----------------------------------------------------------


def test_the_same_update_twice_changes_nothing() -> None:
    """OPT-34: no new trade, no new weight; the version stands, only the time moves."""
    first, changes = next_state(LayerState(), observed(outcomes(WINS)), NOW, SETTINGS)
    assert changes.taken == len(WINS) and changes.weights
    assert (first.as_of_sequence, first.as_of_trade_id) == (len(WINS), f"t{len(WINS)}")
    for at_ms, given_again in ((NOW, outcomes(WINS)), (NOW + 5 * HOUR_MS, [])):
        second, again = next_state(first, observed(given_again), at_ms, SETTINGS)
        assert (again.taken, again.weights, again.edges) == (0, (), ())
        assert again.actions() == []
        assert replace(second, updated_at_ms=first.updated_at_ms) == first
        assert second.version == first.version


def test_the_state_is_that_of_all_trades_whatever_the_batches() -> None:
    """OPT-34, OPT-89: health, history and what was learned do not depend on when one looked."""
    every = outcomes(WINS, inputs=INPUTS)
    of = replace(SETTINGS, enable_adaptive_weighting=False)
    whole, _ = next_state(LayerState(), observed(every), NOW, of)
    parts = LayerState()
    for end in (1, 7, 30, len(every)):
        parts, _ = next_state(parts, observed(every[:end]), NOW, of)
    assert replace(parts, version=whole.version) == whole
    assert parts.performance.state() == whole.performance.state()


def test_a_trade_of_the_future_waits_and_so_does_what_comes_after_it() -> None:
    """OPT-89: as of now; the order of taking in is that of the sequence."""
    given_all = outcomes([1.0] * 10, every_ms=HOUR_MS)
    state, changes = next_state(LayerState(), observed(given_all), START_MS + 4 * HOUR_MS, SETTINGS)
    assert (changes.taken, state.as_of_sequence) == (4, 4)
    out_of_order = [replace(given_all[8], sequence=1), replace(given_all[0], sequence=2)]
    state, changes = next_state(
        LayerState(), observed(out_of_order), START_MS + 2 * HOUR_MS, SETTINGS
    )
    assert changes.taken == 0


# -- weights ---------------------------------------------------------------------------------------


def test_a_winner_gains_and_a_loser_loses_weight_within_the_step_with_reasons() -> None:
    """OPT-74, OPT-19, D-09: old, new, why, on what evidence, and what held it back."""
    mixed: list[Outcome] = []
    for index in range(30):
        mixed += outcomes([1.0], first=2 * index + 1, from_ms=START_MS + index, strategy="one")
        mixed += outcomes([-0.3], first=2 * index + 2, from_ms=START_MS + index, strategy="two")
    state, changes = next_state(
        LayerState(), observed(mixed, weights={"one": 1.0, "two": 1.0}), NOW, SETTINGS
    )
    weights = state.weights()
    assert 1.0 < weights["one"] <= 1.15 and 0.85 <= weights["two"] < 1.0
    told = dict(changes.actions())[ActionKind.WEIGHTS]["changed"]
    assert isinstance(told, dict) and set(told) == {"one", "two"}
    for change in changes.weights:
        assert change.reason and change.evidence and change.as_of == "t60"


def test_only_changed_weights_are_told() -> None:
    """D-09, OPT-38: nothing changed, nothing said."""
    _, changes = next_state(LayerState(), observed(outcomes([1.0] * 4)), NOW, SETTINGS)
    assert changes.weights == () and changes.actions() == []


def test_with_weighting_off_weights_stay_the_base_ones_and_evidence_goes_on() -> None:
    """OPT-04"""
    off = replace(SETTINGS, enable_adaptive_weighting=False)
    state = after(WINS, of=off)
    assert state.weights() == {"one": 1.0}
    assert state.performance.trades == len(WINS)


def test_a_new_strategy_begins_with_its_base_weight() -> None:
    """OPT-03"""
    state = after(WINS)
    grown, _ = next_state(state, observed(weights={"one": 1.0, "two": 0.7}), NOW, SETTINGS)
    assert grown.weights()["two"] == 0.7 and grown.weights()["one"] == state.weights()["one"]


def test_another_window_takes_hold_of_a_fresh_decomposition_only() -> None:
    """OPT-33: what was gathered is not thrown away because a setting changed."""
    longer = LayerSettings.from_values({"weighting": {"window_trades": 80}})
    assert after(WINS, of=longer).performance.window_trades == 80
    known = after(WINS)
    later, _ = next_state(known, observed(), NOW + HOUR_MS, longer)
    assert (later.performance.trades, later.performance.window_trades) == (len(WINS), 50)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e9, -1e9, 1e308])
def test_a_broken_row_holds_its_strategys_weight_and_nobody_elses(bad: float) -> None:
    """F-081: skipped for the period with its reason; the next one moves on sound evidence."""
    broken = outcomes([*WINS[:18], 0.0, *WINS[18:]])
    broken[18] = replace(broken[18], trade=replace(broken[18].trade, r_multiple=bad))
    others = outcomes(WINS, first=100, strategy="two")
    base = {"one": 1.0, "two": 1.0}
    state, changes = next_state(
        LayerState(), observed([*broken, *others], weights=base), NOW, SETTINGS
    )
    assert state.weights()["one"] == 1.0 and state.weights()["two"] > 1.0
    assert state.book.stored_for("one", None) == 1.0 < state.book.stored_for("two", None)
    assert {change.strategy for change in changes.weights} == {"two"}
    assert list(changes.refused) == ["one"] and str(bad) in changes.refused["one"]
    assert changes.taken == len(broken) + len(others)
    assert changes.edges == ()
    json.dumps(state.to_json(), allow_nan=False)
    more = outcomes(WINS, first=200, from_ms=NOW)
    state, changes = next_state(state, observed(more, weights=base), NOW + HOUR_MS, SETTINGS)
    assert changes.refused == {} and 1.0 < state.weights()["one"] <= 1.15


def test_no_trades_leave_every_weight_and_status_as_they_are() -> None:
    """F-081, F-082: nothing is known, so nothing is divided by it."""
    state, changes = next_state(LayerState(), observed(weights={"one": 0.7}), NOW, SETTINGS)
    assert (state.weights(), changes.weights, changes.edges) == ({"one": 0.7}, (), ())


def test_a_regime_that_flips_every_update_moves_a_weight_by_bounded_steps() -> None:
    """F-080, I-12, D-17, D-30: 15 % an update, 30 % in any 24 h, whatever the regime says."""
    state, sequence, moves = LayerState(), 1, []
    for hour in range(60):
        regime, r = (("TRENDING", 2.0), ("RANGING", -2.0))[hour % 2]
        fresh = outcomes(
            [r] * 8,
            first=sequence,
            from_ms=NOW + hour * HOUR_MS,
            every_ms=1_000,
            entry_regime=regime,
        )
        sequence += len(fresh)
        now_ms = NOW + (hour + 1) * HOUR_MS
        given_now = observed(fresh, regimes={"BTC/USDT": regime})
        before = state.weights().get("one", 1.0)
        state, _ = next_state(state, given_now, now_ms, SETTINGS)
        moves.append((now_ms, before, state.weights()["one"]))
    assert len({regime for _, regime in state.book.stored}) == 3, "a weight for each regime"
    turns = sum(new != old for _, old, new in moves)
    assert turns > 3, "a weight that stood still would prove nothing"
    for at_ms, old, new in moves:
        assert 0.1 <= new <= 2.0
        assert abs(new - old) <= 0.15 * old + 1e-12
        day = [m for m in moves if at_ms - 24 * HOUR_MS <= m[0] <= at_ms]
        lowest = min(m[1] for m in day)
        assert sum(abs(m[2] - m[1]) for m in day) <= 0.3 * lowest + 1e-9


# -- health ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_adverse", [True, False], ids=["adverse", "every hour"])
def test_results_that_alternate_flap_no_status(is_adverse: bool) -> None:
    """F-084, OPT-35: each edge waits out the dwell of the status it leaves; only the alarm of the
    sequential test, which cuts risk, comes sooner. One return a day is the most there can be.

    Adverse results lose whenever the strategy is active and win whenever it is not.
    """
    standings = {"one": Standing(ACTIVE, 0)}
    state, edges, sequence = LayerState(), [], 1
    for hour in range(24 * 10):
        at_ms = NOW + hour * HOUR_MS
        loses = standings["one"].status is ACTIVE if is_adverse else hour % 2 == 0
        rs = [-1.0] * 25 if loses else [2.0] * 25
        fresh = outcomes(rs, first=sequence, from_ms=at_ms - HOUR_MS, every_ms=1_000)
        sequence += len(fresh)
        state, changes = next_state(state, observed(fresh, standings), at_ms, SETTINGS)
        for edge in changes.edges:
            standings["one"] = Standing(edge.to_status, at_ms)
            edges.append((at_ms, edge))
    for (was_ms, earlier), (at_ms, edge) in itertools.pairwise(edges):
        assert edge.from_status is earlier.to_status
        if edge.reason_code != "SEQUENTIAL_ALARM":
            assert at_ms - was_ms >= (6 if edge.from_status is ACTIVE else 24) * HOUR_MS
    returns = [edge for _, edge in edges if edge.to_status is ACTIVE]
    assert len(returns) <= 10
    assert len(returns) > 5 or not is_adverse, "a strategy that never moved would prove nothing"


def test_a_loser_degrades_is_suspended_and_retires_by_time_alone() -> None:
    """OPT-35, OPT-36, OPT-91: no new trade is needed for edges that wait for time."""
    standings = {"one": Standing(ACTIVE, 0)}
    state, edges, at_ms = LayerState(), [], NOW
    given_now = outcomes(LOSSES)
    at_once = replace(SETTINGS, health=replace(SETTINGS.health, silent_limit_hours=72.0))
    for _ in range(120):
        state, changes = next_state(state, observed(given_now, standings), at_ms, at_once)
        for edge in changes.edges:
            standings["one"] = Standing(edge.to_status, at_ms)
            edges.append(((edge.from_status, edge.to_status), (at_ms - NOW) // HOUR_MS))
        at_ms += HOUR_MS
    assert edges == [
        ((ACTIVE, DEGRADED), 0),
        ((DEGRADED, SUSPENDED), 24),
        ((SUSPENDED, RETIRED), 96),
    ]
    assert state.statuses() == {"one": RETIRED}


def test_with_retirement_off_no_status_changes() -> None:
    """OPT-04: and what the rows say is followed all the same."""
    off = replace(SETTINGS, enable_retirement_management=False)
    state, changes = next_state(LayerState(), observed(outcomes(LOSSES)), NOW, off)
    assert changes.edges == () and state.statuses() == {"one": ACTIVE}
    by_hand = {"one": Standing(SUSPENDED, NOW, by_person=True)}
    state, changes = next_state(state, observed([], by_hand), NOW + HOUR_MS, off)
    assert state.statuses() == {"one": SUSPENDED}
    assert [alert.code for alert in changes.alerts] == ["NO_ACTIVE", "SUSPENDED"]


def test_shadow_trades_move_no_weight_no_figure_and_no_history() -> None:
    """D-07: they are evidence of recovery and of nothing else."""
    suspended = {"one": Standing(SUSPENDED, START_MS - HOUR_MS)}
    state, changes = next_state(
        LayerState(), observed(outcomes(WINS, shadow=True), suspended), NOW, SETTINGS
    )
    assert (changes.weights, state.performance.trades) == ((), 0)
    assert state.strategies["one"].history == {}
    assert len(state.strategies["one"].health.shadow) == len(WINS)


def test_a_trade_of_an_unknown_strategy_is_counted_and_judged_by_nobody() -> None:
    """OPT-37: rows may be older than the configuration."""
    strange = outcomes(LOSSES, strategy="gone")
    state, changes = next_state(LayerState(), observed(strange), NOW, SETTINGS)
    assert changes.taken == len(LOSSES) and set(state.strategies) == {"one"}
    assert changes.edges == ()


def test_history_keeps_the_last_trades_of_each_entry_regime() -> None:
    """OPT-80, OPT-33"""
    state = after([1.0] * 60)
    kept = state.strategies["one"].history
    assert set(kept) == {"TRENDING"} and len(kept["TRENDING"]) == 50
    assert kept["TRENDING"][-1][0] == NOW


# -- what is told ----------------------------------------------------------------------------------


def test_a_version_counts_the_updates_that_changed_something() -> None:
    """OPT-34"""
    first = after(WINS)
    second, _ = next_state(
        first, observed(outcomes(LOSSES, first=len(WINS) + 1)), NOW + HOUR_MS, SETTINGS
    )
    assert (LayerState().version, first.version, second.version) == (0, 1, 2)


def test_an_update_of_nothing_has_taken_nothing() -> None:
    """OPT-38"""
    assert Changes().taken == 0 and Changes().actions() == []


def test_the_challenger_learns_from_scored_trades_of_the_own_book_alone() -> None:
    """OPT-80: not from one without R or inputs, not from a shadow, not where it is switched off."""
    scored = outcomes(WINS, inputs=INPUTS)
    assert after(WINS).learned.outcomes == 0
    learned, _ = next_state(LayerState(), observed(scored), NOW, SETTINGS)
    assert learned.learned.outcomes == len(WINS)
    off = replace(SETTINGS, quality=replace(SETTINGS.quality, learned_enabled=False))
    for given_one, of in (
        (scored, off),
        ([replace(one, shadow=True) for one in scored], SETTINGS),
        ([replace(o, trade=replace(o.trade, r_multiple=None)) for o in scored], SETTINGS),
    ):
        state, _ = next_state(LayerState(), observed(given_one), NOW, of)
        assert state.learned.outcomes == 0


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize(("is_champion", "scorer"), [(False, "learned"), (True, "formula")])
def test_a_verdict_stands_whatever_comes_after_it_in_the_batch(
    more: int, is_champion: bool, scorer: str
) -> None:
    """OPT-80, OPT-38: who scores from now on is told, with the outcomes that it rests on."""
    about_to_turn = LearnedState(outcomes=149, capitals=(21.0,) * 4, champion=is_champion)
    state = replace(LayerState(), learned=about_to_turn)
    rs = [1.0, *[-1.0] * more]
    after_it, changes = next_state(state, observed(outcomes(rs, inputs=INPUTS)), NOW, SETTINGS)
    assert after_it.learned.champion is not is_champion
    told = dict(changes.actions())[ActionKind.SCORER]
    assert (told["scorer"], told["outcomes"]) == (scorer, 150)


# -- JSON ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-3.0, 5.0), max_size=60),
    st.lists(st.floats(-3.0, 5.0), max_size=10),
)
def test_a_state_goes_to_json_and_back_to_the_last_bit(rs: list[float], more: list[float]) -> None:
    """OPT-34: and goes on as the one that never left."""
    state, _ = next_state(LayerState(), observed(outcomes(rs, inputs=INPUTS)), NOW, SETTINGS)
    again = LayerState.from_json(json.loads(json.dumps(state.to_json())))
    assert again == state and again.to_json() == state.to_json()
    extra = observed(outcomes(more, first=len(rs) + 1, inputs=INPUTS))
    ends = [next_state(one, extra, NOW + HOUR_MS, SETTINGS)[0] for one in (state, again)]
    assert ends[0] == ends[1] and ends[0].to_json() == ends[1].to_json()


@pytest.mark.parametrize("damage", [{"state_version": 0}, {"learned": None}, {"strategies": 3}])
def test_a_damaged_state_is_refused(damage: dict[str, object]) -> None:
    """F-087: never read as something it is not."""
    document = {**after(WINS).to_json(), **damage}
    with pytest.raises(StateError, match="layer state"):
        LayerState.from_json(document)


@pytest.mark.parametrize("policy", ["composite", "uniform"])
def test_a_configured_base_weight_is_where_break_even_stays(policy: str) -> None:
    """OPT-79: a strategy that a person configured at half does not drift to a whole."""
    of = replace(SETTINGS, weighting=replace(SETTINGS.weighting, policy=policy))
    state, at_ms = LayerState(), NOW
    seen = outcomes([1.0, -1.0] * 60)
    for end in range(10, len(seen) + 1, 10):
        given_now = replace(observed(seen[:end]), base_weights={"one": 0.5})
        state, _ = next_state(state, given_now, at_ms, of)
        at_ms += 25 * HOUR_MS
    assert state.weights()["one"] <= 0.5
    if policy == "uniform":
        assert state.weights()["one"] == pytest.approx(0.5)
