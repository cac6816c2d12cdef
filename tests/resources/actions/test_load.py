"""Load: shed, shrink, spare; and everything back as it was."""

import pytest

from resources.actions.load import (
    CheaperDecisions,
    GrowPool,
    LengthenSampling,
    ShedResearch,
    ShrinkPool,
    SmallerBatches,
)
from resources.tunables import (
    BOUNDS,
    PRUNE_BATCH,
    SAMPLE_EVERY_S,
    THRIFT,
    decision_thrift,
    tunable_set,
    tunable_value,
)
from tests.resources.fakes import FakeWorkers, context

pytestmark = pytest.mark.django_db


def test_research_waits_and_is_taken_up_again(tmp_path):
    told, action = context(tmp_path), ShedResearch()
    parameters = action.parameters(told)
    action.apply(told, parameters, 1)
    assert told.workers.research == set()
    assert action.parameters(told) is None
    assert action.revert(told, parameters) == "1 workers take research again"
    assert told.workers.research == {"general@here"}


@pytest.mark.parametrize(
    ("action", "size", "expected"),
    [(ShrinkPool(), 2, 1), (ShrinkPool(), 1, None), (GrowPool(), 3, 4), (GrowPool(), 4, None)],
)
def test_the_pool_changes_within_its_bounds_and_is_restored(tmp_path, action, size, expected):
    """ORC-35, ORC-45"""
    told = context(tmp_path, workers=FakeWorkers(size))
    parameters = action.parameters(told)
    if expected is None:
        assert parameters is None
        return
    outcome = action.apply(told, parameters, 1)
    assert told.workers.sizes == {"general@here": expected}
    assert (outcome.before["processes"], outcome.after["processes"]) == (size, expected)
    action.revert(told, parameters)
    assert told.workers.sizes == {"general@here": size}


def test_decisions_become_cheaper_by_declared_levels_and_dear_again(tmp_path):
    """ORC-36"""
    told, action = context(tmp_path), CheaperDecisions()
    first = action.parameters(told)
    action.apply(told, first, 1)
    assert decision_thrift() == 1
    second = action.parameters(told)
    action.apply(told, second, 2)
    assert decision_thrift() == 2
    assert action.parameters(told) is None
    action.revert(told, second)
    action.revert(told, first)
    assert decision_thrift() == 0


def test_sampling_slows_down_to_its_bound_and_only_sampling(tmp_path):
    """ORC-37"""
    told, action = context(tmp_path), LengthenSampling()
    first = action.parameters(told)
    action.apply(told, first, 1)
    assert tunable_value(SAMPLE_EVERY_S, 5.0) == 10.0
    action.apply(told, action.parameters(told), 2)
    assert action.parameters(told) is None
    assert tunable_value(SAMPLE_EVERY_S, 5.0) == BOUNDS[SAMPLE_EVERY_S].maximum == 20.0
    action.revert(told, first)
    assert tunable_value(SAMPLE_EVERY_S, 5.0) == 5.0


def test_batches_shrink_within_their_bounds(tmp_path):
    """ORC-44, ORC-45"""
    told, action = context(tmp_path), SmallerBatches()
    first = action.parameters(told)
    action.apply(told, first, 1)
    assert tunable_value(PRUNE_BATCH, 1_000.0) == 500.0
    action.revert(told, first)
    assert tunable_value(PRUNE_BATCH, 1_000.0) == 1_000.0


@pytest.mark.parametrize(("name", "asked", "held"), [(THRIFT, 9.0, 2.0), (PRUNE_BATCH, 1.0, 100.0)])
def test_no_tunable_leaves_its_bounds(name, asked, held):
    """ORC-44"""
    assert tunable_set(name, asked, by="optimizer") == held
    assert tunable_value(name, 0.0) == held
