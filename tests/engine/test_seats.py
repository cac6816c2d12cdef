"""Who sits at the table: votes stay in place, models move between seats with what they learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from engine.ports import SourceInput
from engine.seats import Seated, SourcePanel, champions
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.learned import Seat
from engine.types.opinions import REGIMES, Regime


@dataclass
class Counting:
    """Remembers how many outcomes it learned, and refuses a state that is not a count."""

    code: str = "boosting"
    reads: SourceInput = SourceInput.FEATURES
    learned: int = 0
    favourable_regimes: frozenset[Regime] = field(default=frozenset(REGIMES))

    def predict(self, features: FloatColumn) -> float:
        return 0.5

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        self.learned += 1

    def state(self) -> dict[str, JsonValue]:
        return {"learned": self.learned}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        learned = state.get("learned")
        if type(learned) is not int:
            raise ValueError(f"learned must be a count, was {learned!r}")
        self.learned = learned


def panel(*seated: Seated) -> SourcePanel:
    return SourcePanel(seated or (Seated(Counting()), Seated(Counting("other"))))


def test_only_champions_vote_and_shadows_come_after_them() -> None:
    """ORC-16"""
    table = panel(
        Seated(Counting("base-rate"), Seat.CONTROL),
        Seated(Counting(), Seat.GUARD, "old"),
        Seated(Counting(), Seat.CHAMPION, "now"),
        Seated(Counting(), Seat.CHALLENGER, "new"),
    )
    assert [s.name for s in table.voters] == ["boosting"]
    assert [s.name for s in table.everyone] == [
        "boosting",
        "boosting@new",
        "boosting@old",
        "base-rate",
    ]


def test_a_promotion_keeps_what_each_model_learned_and_says_who_is_called_what() -> None:
    """ORC-16: the same objects on other seats."""
    table = panel(Seated(Counting()), Seated(Counting(), Seat.CHALLENGER, "new"))
    for seated, learned in zip(table.everyone, (7, 3), strict=True):
        seated.source.restore({"learned": learned})
    names = table.reseat(
        [Seated(Counting(), Seat.CHAMPION, "new"), Seated(Counting(), Seat.GUARD, "")]
    )
    assert names == {"boosting@new": "boosting", "boosting": "boosting@base"}
    assert [s.source.state() for s in table.everyone] == [{"learned": 3}, {"learned": 7}]


def test_who_votes_and_in_what_order_never_changes_in_a_session() -> None:
    """D-18"""
    table = panel()
    for wrong in ([Counting("other"), Counting()], [Counting()]):
        with pytest.raises(ValueError, match="votes must be those of boosting, other"):
            table.reseat(champions(wrong))
    assert [s.name for s in table.voters] == ["boosting", "other"]


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="must be unique"):
        panel(Seated(Counting()), Seated(Counting()))


def test_states_survive_a_restart_by_name_and_model() -> None:
    """I-26: what was learned about another model is not taken over."""
    table = panel(Seated(Counting(), version="one"), Seated(Counting("other")))
    for seated in table.everyone:
        seated.source.restore({"learned": 5})
    stored = json.loads(json.dumps(table.state()))
    again = panel(Seated(Counting(), version="two"), Seated(Counting("other")))
    told: list[str] = []
    again.restore(stored, lambda name, error: told.append(name))
    assert [s.source.state() for s in again.everyone] == [{"learned": 0}, {"learned": 5}]
    assert told == []


def test_a_state_from_before_models_had_versions_is_taken_up() -> None:
    table = panel()
    table.restore({"boosting": {"learned": 4}}, lambda name, error: pytest.fail(str(error)))
    assert table.voters[0].source.state() == {"learned": 4}


def test_who_cannot_take_its_state_starts_anew_and_is_told_of() -> None:
    """ORC-58: never a crash."""
    table = panel()
    told: list[str] = []
    bad: dict[str, JsonValue] = {
        "boosting": {"version": "", "state": {"learned": "many"}},
        "other": "nothing",
    }
    table.restore(bad, lambda name, error: told.append(f"{name}: {error}"))
    assert [s.source.state() for s in table.everyone] == [{"learned": 0}] * 2
    assert told == [
        "boosting: learned must be a count, was 'many'",
        "other: state of other must be a mapping, was 'nothing'",
    ]


def test_only_readers_of_an_input_start_anew_when_it_changes() -> None:
    table = panel(Seated(Counting()), Seated(Counting("flow", SourceInput.ORDER_FLOW)))
    for seated in table.everyone:
        seated.source.restore({"learned": 5})
    assert table.start_anew(SourceInput.ORDER_FLOW) == ("flow",)
    assert [s.source.state() for s in table.everyone] == [{"learned": 5}, {"learned": 0}]


def test_a_promotion_after_the_last_stored_state_is_found_by_version() -> None:
    """I-26: the process died between taking the seat and writing it down."""
    before = panel(Seated(Counting()), Seated(Counting(), Seat.CHALLENGER, "new"))
    stored = json.loads(json.dumps(before.state()))
    after = panel(Seated(Counting(), version="new"), Seated(Counting(), Seat.GUARD, ""))
    names, strangers = after.moved_since(stored)
    assert names == {"boosting@new": "boosting", "boosting": "boosting@base"}
    assert strangers == []
    third = panel(Seated(Counting(), version="third"))
    assert third.moved_since(stored) == ({}, ["boosting"])
