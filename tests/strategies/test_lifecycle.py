"""Models in the database: every step with its event and audit, no step twice, nothing tampered."""

from __future__ import annotations

import json

import pytest

from accounts.models import AuditEvent
from engine.types.learned import Seat
from strategies.core.errors import StrategyError
from strategies.core.evolution import ModelStage, Move, Table
from strategies.errors import StrategyRefused
from strategies.lifecycle import (
    model_keep,
    model_of,
    moves_apply,
    seated_sources,
    seats_signature,
    table_of,
    trials_judge,
    untrained_ensure,
)
from strategies.models import PredictorEvent, PredictorModel, Stage
from tests.strategies.models import CODE, SCOPE, make_model, make_settled, trained

pytestmark = pytest.mark.django_db
GOOD, KNOWS_NOTHING, BAD = (0.7, 0.35), (0.5, 0.5), (0.3, 0.6)


def move(version: str, from_stage: ModelStage, to_stage: ModelStage) -> Move:
    return Move(version, from_stage, to_stage, "because", {"n": 1})


def challenger() -> PredictorModel:
    row = make_model()
    untrained_ensure(code=CODE, scope=SCOPE)
    step = move(row.version, ModelStage.CANDIDATE, ModelStage.CHALLENGER)
    moves_apply(code=CODE, scope=SCOPE, moves=[step], actor="test")
    row.refresh_from_db()
    return row


def seats(**given):
    told = []
    found = seated_sources(
        scope=SCOPE, codes=[CODE], told=lambda where, error: told.append(str(error)), **given
    )
    return {s.name: s.seat for s in found if s.seat is not Seat.CONTROL}, told


def test_a_model_survives_the_database_to_the_last_bit():
    """ORC-85: lineage and digest; the same model twice is one row."""
    row = make_model()
    assert make_model().pk == row.pk
    again = model_of(PredictorModel.objects.get(pk=row.pk))
    assert again.digest() == trained().digest() == row.digest
    assert again.lineage.family == CODE and again.lineage.n_rows > 0
    assert PredictorEvent.objects.filter(model=row).count() == 1


@pytest.mark.parametrize("broken", ["changed", "cut", "lineage"])
def test_a_tampered_model_does_not_sit_and_the_untrained_source_votes(broken):
    """ORC-85: the digest is verified on every load; one line says what is wrong."""
    row = challenger()
    PredictorModel.objects.filter(stage=Stage.CHAMPION).update(stage=Stage.RETIRED)
    if broken == "changed":
        payload = json.loads(row.payload)
        payload["features"][0] = "another"
        row.payload = json.dumps(payload)
    elif broken == "cut":
        row.payload = row.payload[:-5]
    else:
        row.lineage = {**row.lineage, "n_rows": 99_999_999}
    row.stage = Stage.CHAMPION
    row.save()
    with pytest.raises(StrategyError, match="stored model"):
        model_of(row)
    found, told = seats()
    assert found == {CODE: Seat.CHAMPION}
    assert len(told) == 1 and "stored model" in told[0]


def test_a_model_of_other_features_does_not_sit():
    """ORC-58: said, never a crash."""
    challenger()
    found, told = seats(features_version="next")
    assert found == {CODE: Seat.CHAMPION}
    assert "they are next" in told[0]


def test_a_first_start_seats_everybody_untrained_with_the_controls():
    found = seated_sources(scope=SCOPE, codes=[CODE, "online-linear"], told=pytest.fail)
    assert [(s.name, s.seat.value) for s in found] == [
        ("online-linear", "champion"),
        (CODE, "champion"),
        ("base-rate", "control"),
        ("last-return", "control"),
    ]


def test_a_challenger_better_in_the_shadow_is_promoted_with_event_and_audit():
    """ORC-16: from, to, numbers and actor; the untrained champion becomes its guard."""
    row = challenger()
    before = seats_signature(SCOPE)
    shadow = f"{CODE}@{row.version}"
    make_settled({CODE: KNOWS_NOTHING, shadow: GOOD}, 99)
    assert trials_judge() == []
    make_settled({CODE: KNOWS_NOTHING, shadow: GOOD}, 1)
    assert len(trials_judge()) == 2
    assert table_of(code=CODE, scope=SCOPE) == Table(row.version, None, "")
    assert seats()[0] == {CODE: Seat.CHAMPION, f"{CODE}@base": Seat.GUARD}
    assert seats_signature(SCOPE) != before
    event = PredictorEvent.objects.filter(model=row).first()
    assert (event.from_stage, event.to_stage, event.actor) == ("CHALLENGER", "CHAMPION", "system")
    assert event.evidence["n"] == 100 and event.evidence["p_better"] < 0.05 / 3
    audit = AuditEvent.objects.filter(action="predictor.move").order_by("-seq").first()
    assert audit.after["stage"] == "CHAMPION" and audit.after["evidence"] == event.evidence
    assert trials_judge() == [], "asked again: nothing new, nothing done"


def test_a_champion_worse_than_its_guard_is_rolled_back():
    """ORC-16: only bars settled since the promotion count."""
    row = challenger()
    make_settled({CODE: KNOWS_NOTHING, f"{CODE}@{row.version}": GOOD})
    trials_judge()
    make_settled({CODE: BAD, f"{CODE}@base": KNOWS_NOTHING})
    moves = trials_judge()
    assert [m.to_stage.value for m in moves] == ["DISCARDED", "CHAMPION"]
    assert table_of(code=CODE, scope=SCOPE) == Table()
    assert seats()[0] == {CODE: Seat.CHAMPION}


def test_a_probation_passed_retires_the_guard():
    """ORC-16"""
    row = challenger()
    make_settled({CODE: KNOWS_NOTHING, f"{CODE}@{row.version}": GOOD})
    trials_judge()
    make_settled({CODE: GOOD, f"{CODE}@base": KNOWS_NOTHING}, 400)
    assert [m.to_stage.value for m in trials_judge()] == ["RETIRED"]
    assert table_of(code=CODE, scope=SCOPE) == Table(row.version)


def test_bars_settled_before_the_seat_was_taken_are_no_evidence():
    """ORC-16"""
    version = make_model().version
    make_settled({CODE: KNOWS_NOTHING, f"{CODE}@{version}": GOOD})
    challenger()
    assert trials_judge() == []


def test_a_move_from_where_a_model_is_not_is_refused_whole():
    """ORC-16: somebody was faster: neither half of a promotion is made."""
    row = challenger()
    moves = [
        move("", ModelStage.CHAMPION, ModelStage.GUARD),
        move(row.version, ModelStage.CANDIDATE, ModelStage.CHAMPION),
    ]
    events = PredictorEvent.objects.count()
    with pytest.raises(StrategyRefused, match="changed by somebody else"):
        moves_apply(code=CODE, scope=SCOPE, moves=moves, actor="test")
    assert table_of(code=CODE, scope=SCOPE) == Table("", row.version)
    assert PredictorEvent.objects.count() == events


def test_practice_models_never_speak_for_another_venue():
    challenger()
    found = seated_sources(scope="binance 60s", codes=[CODE], told=pytest.fail)
    assert [s.version for s in found if s.seat is not Seat.CONTROL] == [""]


def test_a_model_of_the_same_numbers_in_two_markets_is_two_rows():
    row = make_model()
    other = model_keep(model=trained(), scope="binance 60s", actor="test")
    assert other.pk != row.pk and other.digest == row.digest


@pytest.mark.parametrize("payload", ["[" * 100_000, "[]", "null", '{"format": 1}', "\x01"])
def test_whatever_stands_in_a_models_row_a_session_starts(payload):
    """ORC-85: text nested deeper than Python reads is no StrategyError, and stops nobody."""
    row = challenger()
    PredictorModel.objects.filter(stage=Stage.CHAMPION).update(stage=Stage.RETIRED)
    row.payload, row.stage = payload, Stage.CHAMPION
    row.save()
    found, told = seats()
    assert found == {CODE: Seat.CHAMPION}
    assert len(told) == 1
