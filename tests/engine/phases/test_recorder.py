"""What each phase leaves behind: full records when live, counts in replay."""

from __future__ import annotations

from math import nan

from engine.phases.recorder import CountingRecorder, FullRecorder, digest
from engine.types.decisions import PHASES, PhaseStatus, Reason
from tests.engine.phases.scene import Clock

WHY = (Reason("WHY", "because it was 3, allowed was 2", 3.0, 2.0),)


def test_a_full_record_has_duration_digests_output_and_reasons() -> None:
    """ORC-06"""
    clock = Clock()
    chain = FullRecorder(clock).begin(lambda: {"given": 1})

    def work() -> int:
        clock.now_s += 0.25
        return 7

    assert chain.timed(1, work)() == 7
    chain.add(1, PhaseStatus.PASSED, lambda: {"made": 2}, WHY)
    (record,) = chain.records()
    assert (record.number, record.name, record.status) == (1, PHASES[0], PhaseStatus.PASSED)
    assert record.duration_us == 250_000.0
    assert record.output_digest == digest({"made": 2})
    assert record.output == {"made": 2}
    assert record.reasons == WHY


def test_a_call_that_raises_is_measured_too() -> None:
    """ORC-19"""
    clock = Clock()
    chain = FullRecorder(clock).begin(dict)

    def work() -> None:
        clock.now_s += 1.0
        raise ValueError("no")

    try:
        chain.timed(4, work)()
    except ValueError:
        chain.add(4, PhaseStatus.ERROR, dict)
    assert chain.records()[0].duration_us == 1e6


def test_side_by_side_phases_share_their_input_and_later_ones_take_all_before() -> None:
    """ORC-06, ORC-56: the input digest of phase 4 changes with the output of any of 1-3."""

    def inputs(outputs: tuple[int, int, int]) -> list[str]:
        chain = FullRecorder(Clock()).begin(lambda: "event")
        for number, made in enumerate(outputs, start=1):
            chain.add(number, PhaseStatus.PASSED, lambda made=made: {"made": made})  # type: ignore[misc]
        chain.add(4, PhaseStatus.PASSED, dict)
        return [record.input_digest for record in chain.records()]

    first, second, third, fourth = inputs((1, 2, 3))
    assert first == second == third != fourth
    others = [inputs(changed)[3] for changed in ((9, 2, 3), (1, 9, 3), (1, 2, 9))]
    assert len({fourth, *others}) == 4


def test_a_digest_is_that_of_the_content_and_not_of_its_order() -> None:
    """ORC-06: sixteen hex characters; a number that is none is still content."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    assert len(digest({"x": nan})) == 16 and int(digest(nan), 16) >= 0


def test_both_recorders_count_the_same() -> None:
    """ORC-19"""
    full, counting = FullRecorder(Clock()), CountingRecorder()
    for recorder in (full, counting):
        for status in (PhaseStatus.PASSED, PhaseStatus.PASSED, PhaseStatus.BLOCKED):
            recorder.begin(lambda: None).add(7, status, dict)
    assert full.counts == counting.counts == {(7, "passed"): 2, (7, "blocked"): 1}


def test_replay_builds_neither_outputs_nor_details_and_keeps_errors_only() -> None:
    """ORC-17: what decisions of the bar depend on is kept."""

    def never() -> dict[str, None]:
        raise AssertionError("built")

    chain = CountingRecorder().begin(never)
    chain.add(1, PhaseStatus.PASSED, never)  # type: ignore[arg-type]
    assert chain.detail(lambda: (1,)) == ()
    assert chain.records() == ()
    chain.add(2, PhaseStatus.ERROR, never, WHY)  # type: ignore[arg-type]
    (record,) = chain.records()
    assert (record.number, record.status, record.reasons) == (2, PhaseStatus.ERROR, WHY)
    assert FullRecorder(Clock()).begin(dict).detail(lambda: (1,)) == (1,)


def test_a_phase_that_follows_is_measured_from_where_the_one_before_ended() -> None:
    """ORC-06: its own time only, neither that of others nor that of recording."""
    clock = Clock()
    chain = FullRecorder(clock).begin(lambda: None)
    clock.now_s = 5.0
    chain.mark()
    clock.now_s = 5.5
    chain.add(4, PhaseStatus.PASSED, dict)
    clock.now_s = 5.625
    chain.add(5, PhaseStatus.PASSED, dict)
    assert [record.duration_us for record in chain.records()] == [500_000.0, 125_000.0]


def test_minus_zero_is_digested_as_zero() -> None:
    """ORC-06: a database that drops the sign of a zero gives the digest that was stored."""
    assert digest({"a": -0.0, "b": [1.0, -0.0]}) == digest({"a": 0.0, "b": [1.0, 0.0]})
    assert digest([-0.0]) == digest([0.0]) == digest([-0.0])
    assert digest([-0.05]) != digest([0.05]) and digest(-0.0) == digest(0.0)
