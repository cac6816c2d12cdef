"""The rules by which a model may speak: error rates on simulated trials, and every move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from strategies.core.errors import StrategyError
from strategies.core.evolution import (
    EvolutionRules,
    ModelStage,
    Pairs,
    Table,
    compare,
    judge_candidate,
    judge_probation,
    judge_trial,
    log_loss,
    overlap_of,
)

RULES = EvolutionRules()
OVERLAP = 4


def trial(
    seed: int, n: int = 400, *, skill: float = 0.0, overlap: int = OVERLAP, swap: bool = False
) -> Pairs:
    """A champion without skill, a challenger whose lean is right ``0.5 + skill`` of the time.

    Outcomes and leans are signs of moving sums, so neighbouring rows share their shocks.
    """
    rng = np.random.default_rng(seed)
    kernel = np.ones(overlap)
    up = np.convolve(rng.normal(size=n + overlap - 1), kernel, "valid") > 0.0
    noise = np.convolve(rng.normal(size=n + overlap - 1), kernel, "valid") > 0.0
    right = np.where(rng.random(n) < 2.0 * skill, up, noise)
    ours = np.where(right, 0.56, 0.44)
    theirs = np.where(
        np.convolve(rng.normal(size=n + overlap - 1), kernel, "valid") > 0, 0.56, 0.44
    )
    pair = (theirs, ours) if not swap else (ours, theirs)
    return Pairs(np.arange(n) * 60_000, *pair, up.astype(np.int64))


def test_equal_models_are_called_different_as_rarely_as_the_test_says() -> None:
    """ORC-16: overlapping horizons do not make evidence out of nothing."""
    found = [compare(trial(seed), OVERLAP).p_better < 0.05 for seed in range(600)]
    assert np.mean(found) <= 0.08
    long = [trial(seed, overlap=24) for seed in range(300)]
    naive, honest = (np.mean([compare(t, k).p_better < 0.05 for t in long]) for k in (1, 24))
    assert naive > honest, "without the overlap the error is too small"


def test_looking_three_times_promotes_an_equal_model_no_more_often_than_alpha() -> None:
    """ORC-16: sequentially honest."""
    table = Table(challenger="new")
    promoted = 0
    for seed in range(400):
        moves = judge_trial(table, trial(seed + 5_000), OVERLAP, RULES)
        promoted += any(move.to_stage is ModelStage.CHAMPION for move in moves)
    assert promoted / 400 <= RULES.alpha + 0.02


def test_a_better_model_is_found_mostly() -> None:
    """ORC-16"""
    found = [compare(trial(seed, skill=0.15), OVERLAP).p_better < 0.05 for seed in range(100)]
    assert np.mean(found) > 0.8


def test_rows_of_one_moment_count_as_one() -> None:
    """ORC-16: five symbols that move together are not five times the evidence."""
    one = trial(3, skill=0.1)
    five = Pairs(
        *(np.repeat(column, 5) for column in (one.at_ms, one.champion, one.challenger)),
        np.repeat(one.outcome_up, 5),
    )
    ours, theirs = compare(five, OVERLAP), compare(one, OVERLAP)
    assert (ours.gain, ours.error) == pytest.approx((theirs.gain, theirs.error))


def test_few_moments_and_equal_answers_prove_nothing() -> None:
    short = compare(trial(1, 19), OVERLAP)
    assert (short.p_better, short.p_worse) == (1.0, 1.0)
    same = trial(1)
    equal = compare(replace(same, challenger=same.champion), OVERLAP)
    assert (equal.gain, equal.p_better, equal.p_worse) == (0.0, 1.0, 1.0)


def test_log_loss_is_that_of_the_textbook_and_bounded() -> None:
    losses = log_loss(np.array([0.8, 0.8, 1.0]), np.array([1, 0, 0]))
    assert losses == pytest.approx([-np.log(0.8), -np.log(0.2), -np.log(1e-3)])


def test_a_candidate_sits_only_where_it_is_better_on_enough_unseen_rows() -> None:
    """ORC-16: p and the gain are kept with the move either way."""
    better = judge_candidate(Table(), "new", trial(1, skill=0.2), OVERLAP, RULES)
    assert better.to_stage is ModelStage.CHALLENGER
    assert better.evidence["n"] == 400 and float(str(better.evidence["p_better"])) < 0.05
    equal = judge_candidate(Table(), "new", trial(2), OVERLAP, RULES)
    assert equal.to_stage is ModelStage.DISCARDED
    assert equal.reason.startswith("not better out of sample: log loss ")
    few = judge_candidate(Table(), "new", trial(1, 150, skill=0.4), OVERLAP, RULES)
    assert few.to_stage is ModelStage.DISCARDED
    assert few.reason == "150 rows that neither saw, needed were 200"


@pytest.mark.parametrize("table", [Table(challenger="other"), Table("now", guard="")])
def test_a_candidate_waits_for_the_trial_that_goes_on(table: Table) -> None:
    """ORC-16: dedupe: one trial a source."""
    move = judge_candidate(table, "new", trial(1, skill=0.3), OVERLAP, RULES)
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("no seat is free")


def test_a_challenger_is_promoted_only_if_better_in_the_shadow_too() -> None:
    """ORC-16: the old champion stays as guard."""
    table = Table("old", challenger="new")
    moves = judge_trial(table, trial(1, skill=0.3), OVERLAP, RULES)
    assert [(m.version, m.to_stage) for m in moves] == [
        ("old", ModelStage.GUARD),
        ("new", ModelStage.CHAMPION),
    ]
    assert table.after(moves) == Table("new", None, "old")


def test_a_challenger_no_better_is_discarded_after_the_last_look() -> None:
    """ORC-16: with the numbers."""
    table = Table("old", challenger="new")
    (move,) = judge_trial(table, trial(4), OVERLAP, RULES)
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("not better after 400 settled bars")
    assert table.after([move]) == Table("old")


def test_a_challenger_that_is_worse_need_not_be_tried_to_the_end() -> None:
    (move,) = judge_trial(
        Table("old", challenger="new"), trial(1, 100, skill=0.45, swap=True), OVERLAP, RULES
    )
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("worse in the shadow") and move.evidence["n"] == 100


def test_a_trial_answers_the_same_however_late_it_is_asked() -> None:
    """ORC-16: between looks there is nothing to peek at."""
    table, whole = Table("old", challenger="new"), trial(1, skill=0.3)
    assert judge_trial(table, whole.first(99), OVERLAP, RULES) == ()
    at_look = judge_trial(table, whole.first(100), OVERLAP, RULES)
    if at_look:
        assert judge_trial(table, whole, OVERLAP, RULES) == at_look
    undecided = trial(4)
    assert judge_trial(table, undecided.first(250), OVERLAP, RULES) == ()
    assert judge_trial(Table("old"), whole, OVERLAP, RULES) == ()


def test_a_champion_that_is_worse_than_its_guard_is_rolled_back() -> None:
    """ORC-16"""
    table = Table("new", guard="old")
    moves = judge_probation(table, trial(1, skill=0.3), OVERLAP, RULES)
    assert [(m.version, m.to_stage) for m in moves] == [
        ("new", ModelStage.DISCARDED),
        ("old", ModelStage.CHAMPION),
    ]
    assert all(m.reason.startswith("rolled back") for m in moves)
    assert table.after(moves) == Table("old")


def test_a_champion_that_holds_is_confirmed_and_the_guard_leaves() -> None:
    """ORC-16"""
    table = Table("new", guard="")
    (move,) = judge_probation(table, trial(1, skill=0.3, swap=True), OVERLAP, RULES)
    assert (move.version, move.to_stage) == ("", ModelStage.RETIRED)
    assert table.after([move]) == Table("new")
    assert judge_probation(table, trial(1, 99), OVERLAP, RULES) == ()
    assert judge_probation(Table("new"), trial(1), OVERLAP, RULES) == ()


def test_a_table_is_never_left_without_a_champion() -> None:
    move = judge_trial(Table("old", challenger="new"), trial(1, skill=0.3), OVERLAP, RULES)[0]
    with pytest.raises(StrategyError, match="must keep a champion"):
        Table("old").after([move])


def test_a_candidate_is_worth_training_once_enough_is_new() -> None:
    """ORC-16: cool-down by evidence: 2,000 bars, and a quarter more than last time."""
    assert RULES.is_worth_training(10, None)
    assert not RULES.is_worth_training(5_999, 4_000)
    assert RULES.is_worth_training(6_000, 4_000)
    assert not RULES.is_worth_training(24_999, 20_000)
    assert RULES.is_worth_training(25_000, 20_000)


@pytest.mark.parametrize("change", [{"alpha": 0.0}, {"looks": ()}, {"looks": (200, 100)}])
def test_rules_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(StrategyError, match="must"):
        replace(RULES, **change)  # type: ignore[arg-type]


def test_overlap_counts_the_moments_that_share_a_horizon() -> None:
    at_ms = np.repeat(np.arange(10) * 6 * 60_000, 2)
    assert overlap_of(at_ms, 12 * 60_000) == 2
    assert overlap_of(at_ms[:2], 12 * 60_000) == 1


def leaning(seed: int) -> Pairs:
    """A champion that is surely wrong too often, and one that errs as it does, half as loudly."""
    pairs = trial(seed)
    return replace(pairs, challenger=0.5 + (pairs.champion - 0.5) * 0.5)


def test_a_candidate_better_than_a_bad_champion_but_worse_than_a_coin_does_not_sit() -> None:
    """ORC-16: less wrong than the champion is not right."""
    pairs = leaning(2)
    found = compare(pairs, OVERLAP)
    assert found.is_better(RULES.alpha), "it beats the champion"
    assert found.challenger_loss is not None and found.challenger_loss > np.log(2.0)
    move = judge_candidate(Table("old"), "new", pairs, OVERLAP, RULES)
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("no better than always saying 0.5 (log loss 0.69")
    assert move.evidence["constant_loss"] == pytest.approx(np.log(2.0))


def test_a_challenger_worse_than_a_coin_is_not_promoted_over_a_bad_champion() -> None:
    """ORC-16: its trial goes on to the last look and ends."""
    rules = replace(RULES, alpha=0.4)
    table, pairs = Table("old", challenger="new"), leaning(2)
    (move,) = judge_trial(table, pairs, OVERLAP, rules)
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("no better than always saying 0.5")


def test_a_candidate_that_only_knows_the_share_of_ups_is_no_better_than_saying_it() -> None:
    """ORC-16: beating 0.5 in a market that rose is not skill."""
    up = (np.random.default_rng(3).random(400) < 0.62).astype(np.int64)
    drift = Pairs(np.arange(400) * 60_000, np.full(400, 0.5), np.full(400, 0.6), up)
    drift.challenger[::7] += 0.01
    move = judge_candidate(Table(), "new", drift, OVERLAP, RULES, 0.61)
    assert compare(drift, OVERLAP).is_better(RULES.alpha)
    assert move.to_stage is ModelStage.DISCARDED
    assert move.reason.startswith("no better than always saying the base rate")


def test_a_step_says_against_whom_and_on_which_rows() -> None:
    """ORC-16: the figures of training are of other rows, a reader must not confuse them."""
    move = judge_candidate(Table(), "new", trial(1, skill=0.2), OVERLAP, RULES)
    assert "of the untrained champion, which says 0.5, better by" in move.reason
    assert "on 400 newest rows kept out of both trainings" in move.reason
    seated = judge_trial(Table("old", "new"), trial(1, skill=0.3), OVERLAP, RULES)[0]
    assert "of the champion, better by" in seated.reason
    assert "bars settled since it was seated" in seated.reason
