"""Phase records: ORC-06, ORC-19."""

from __future__ import annotations

from engine.phases.recorder import CountingRecorder, FullRecorder, digest
from engine.types.decisions import JsonValue, PhaseStatus, Reason


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    """ORC-06"""
    assert digest({"a": 1, "b": [2.5]}) == digest({"b": [2.5], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest(None)) == 16


def chain_of(given: JsonValue, first_output: JsonValue) -> list[tuple[str, str]]:
    chain = FullRecorder(Clock()).begin(lambda: given)
    chain.add(1, PhaseStatus.PASSED, lambda: {"v": first_output})
    chain.add(2, PhaseStatus.PASSED, lambda: {"v": 2})
    chain.add(4, PhaseStatus.PASSED, lambda: {"v": 4})
    return [(r.input_digest, r.output_digest) for r in chain.records()]


def test_phases_one_to_three_take_the_event_and_later_ones_all_that_came_before() -> None:
    """ORC-06, ORC-56: a changed output changes the input of what follows, and only that."""
    (first, _), (second, _), (fourth, _) = chain_of("event", 1)
    (other_first, _), (other_second, _), (other_fourth, _) = chain_of("event", 99)
    assert (first, second) == (other_first, other_second)
    assert first == second
    assert fourth != other_fourth
    assert chain_of("another event", 1)[0][0] != first


def test_durations_are_measured_apart_for_timed_calls_and_in_a_row_for_the_rest() -> None:
    """ORC-06"""
    clock = Clock()
    chain = FullRecorder(clock).begin(lambda: None)

    def slow() -> int:
        clock.now_s += 0.25
        return 7

    assert chain.timed(1, slow)() == 7
    clock.now_s += 5.0
    chain.add(1, PhaseStatus.PASSED, dict)
    chain.mark()
    clock.now_s += 0.5
    chain.add(4, PhaseStatus.PASSED, dict)
    clock.now_s += 0.125
    chain.add(5, PhaseStatus.PASSED, dict)
    assert [r.duration_us for r in chain.records()] == [250_000.0, 500_000.0, 125_000.0]


def test_counts_are_kept_by_phase_and_status_over_all_chains() -> None:
    """ORC-19"""
    for recorder in (FullRecorder(Clock()), CountingRecorder()):
        for _ in range(3):
            recorder.begin(dict).add(7, PhaseStatus.BLOCKED, dict)
        recorder.begin(dict).add(7, PhaseStatus.PASSED, dict)
        assert recorder.counts == {(7, "blocked"): 3, (7, "passed"): 1}


def test_counting_builds_no_output_and_keeps_errors_only() -> None:
    def never() -> dict[str, JsonValue]:
        raise AssertionError("replay must not pay for outputs")

    chain = CountingRecorder().begin(never)
    chain.add(4, PhaseStatus.PASSED, never)
    assert chain.records() == ()
    assert chain.detail(lambda: (1, 2)) == ()
    reason = Reason("PHASE_ERROR", "broken")
    chain.add(5, PhaseStatus.ERROR, never, (reason,))
    assert [(r.number, r.name, r.reasons) for r in chain.records()] == [
        (5, "cross_validation", (reason,))
    ]
