"""An improvement is measured, beyond noise, and costs nothing else."""

import random

import pytest

from resources.core.verdicts import Verdict, compare, judge

KEY, OTHER = "host.cpu", "work:decision.p95"


def around(mean, spread, n=12, seed=1):
    draw = random.Random(seed)
    return [draw.gauss(mean, spread) for _ in range(n)]


def test_improvement_is_the_relative_change_of_the_means():
    """ORC-52"""
    told = compare(KEY, [0.8, 0.9, 0.85, 0.85], [0.4, 0.45, 0.45, 0.4])
    assert told.improvement == pytest.approx((0.85 - 0.425) / 0.85)
    assert compare(KEY, [0.8] * 4, [0.4] * 4).improvement == pytest.approx(0.5)
    assert compare(KEY, [0.8] * 4, [0.2] * 4).improvement == pytest.approx(0.75)


def test_of_what_should_be_plenty_more_is_the_improvement():
    """ORC-52"""
    told = compare("host.memory_available", [1e9] * 4, [1.5e9] * 4)
    assert told.improvement == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("before", "after"),
    [([], [0.5] * 5), ([0.5] * 5, []), ([0.5, 0.5], [0.4] * 5), ([0.0] * 5, [0.0] * 5)],
)
def test_what_cannot_be_measured_has_no_improvement(before, after):
    """ORC-52: null, never a constant."""
    judgement = judge(KEY, {KEY: before}, {KEY: after})
    assert judgement.verdict is Verdict.UNMEASURED
    assert judgement.target.improvement is None


def test_noise_is_no_success():
    """ORC-54"""
    verdicts = {
        judge(
            KEY,
            {KEY: around(0.9, 0.05, seed=2 * seed)},
            {KEY: around(0.9, 0.05, seed=2 * seed + 1)},
        ).verdict
        for seed in range(4)
    }
    assert Verdict.SUCCESS not in verdicts
    gained = judge(KEY, {KEY: around(0.9, 0.05)}, {KEY: around(0.5, 0.05, seed=2)})
    assert gained.verdict is Verdict.SUCCESS


def test_what_was_getting_better_by_itself_is_no_success():
    """ORC-54: a falling line goes on falling."""
    line = [0.95 - 0.01 * step for step in range(24)]
    judgement = judge(KEY, {KEY: line[:12]}, {KEY: line[12:]})
    assert judgement.target.improvement > 0.1
    assert judgement.verdict is Verdict.NO_EFFECT


def test_a_better_target_at_the_cost_of_another_is_no_success():
    """ORC-54"""
    before = {KEY: [0.9] * 6, OTHER: [100.0, 101.0, 99.0, 100.0, 100.0, 100.0]}
    after = {KEY: [0.5] * 6, OTHER: [130.0, 131.0, 129.0, 130.0, 130.0, 130.0]}
    judgement = judge(KEY, before, after)
    assert judgement.verdict is Verdict.REGRESSED
    assert [c.key for c in judgement.regressions] == [OTHER]
    assert judge(KEY, before, after | {OTHER: before[OTHER]}).verdict is Verdict.SUCCESS


def test_a_worse_target_is_told_as_worse():
    assert judge(KEY, {KEY: [0.5] * 6}, {KEY: [0.9] * 6}).verdict is Verdict.WORSE
