"""The chain of phases 7 and 8 begins with what they were given; it is kept beside the records."""

from __future__ import annotations

from collections.abc import Callable

from engine.failsafe import FailSafe, Failure
from engine.phases import tracing
from engine.phases.recorder import Chain, Recorder
from engine.types.decisions import Analysis, JsonValue
from engine.types.opinions import Proposal

Given = dict[str, JsonValue]


def begin(
    recorder: Recorder,
    fail_safe: FailSafe,
    analysis: Analysis,
    proposal: Proposal | None,
    given: Given,
    build: Callable[[], Given],
) -> Chain:
    """Begin the chain; ``given`` is filled with ``build()`` where records are kept."""

    def first() -> JsonValue:
        made = fail_safe.attempt(build, where="inputs of a decision")
        given.update({} if isinstance(made, Failure) else made)
        return tracing.proposal(analysis, proposal, given)

    return recorder.begin(first)
