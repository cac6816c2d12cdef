"""What phases 4 to 6 put down about themselves (ORC-06): one line each in the notebook."""

from __future__ import annotations

from collections.abc import Sequence

from engine.phases.asking import Answers, Notebook
from engine.phases.cross_validation import UNRELIABLE, sentence
from engine.phases.recorder import Chain
from engine.phases.source_selection import Selection
from engine.types.decisions import JsonValue, PhaseStatus, Reason
from engine.types.learned import Insight
from engine.types.opinions import Consensus, Opinion, SourceScore, Validation

_NONE: tuple[Reason, ...] = ()


def record_selection(
    notebook: Notebook,
    scores: Sequence[SourceScore],
    selection: Selection,
    opinions: Sequence[Opinion],
    answers: Answers,
) -> None:
    status, reasons = PhaseStatus.PASSED, _NONE
    if answers.shed:
        status, reasons = PhaseStatus.REDUCED, (fewer_models(answers.shed),)
    if selection.count == 0:
        text = f"no source is fit to be asked, candidates were {len(selection.scores)}"
        status, reasons = PhaseStatus.BLOCKED, (Reason("NO_SOURCE", text, 0.0, 1.0), *reasons)

    def output() -> dict[str, JsonValue]:
        return {
            "scores": {s.source: s.score for s in scores},
            "selected": [s.source for s in scores if s.selected],
            "reasons": {s.source: s.reason for s in scores},
            "opinions": {o.source: o.probability_up for o in opinions},
            "shadow": {o.source: o.probability_up for o in answers.shadow},
            "shed": list(answers.shed),
        }

    notebook.add(4, status, output, reasons)


def fewer_models(shed: Sequence[str]) -> Reason:
    """Say that sources that learn, or that those are measured by, were not asked for want of time
    (ORC-74)."""
    text = f"{len(shed)} sources not asked, over the time budget: {', '.join(shed)}"
    return Reason("FEWER_MODELS", text, float(len(shed)), 0.0)


def record_validation(
    notebook: Notebook,
    chain: Chain,
    validation: Validation,
    insights: Sequence[Insight],
    trust: tuple[tuple[str, float], ...],
) -> None:
    def output() -> dict[str, JsonValue]:
        return {
            "verdict": validation.verdict,
            "agreement": validation.agreement,
            "reliability": validation.reliability,
            "kept": [o.source for o in validation.kept],
            "outliers": list(validation.outliers),
            "insights": [f"{i.source}: {i.text}" for i in insights],
            "trust": dict(trust),
        }

    unreliable = validation.verdict == UNRELIABLE
    status = PhaseStatus.REDUCED if unreliable else PhaseStatus.PASSED
    reasons = chain.detail(lambda: _doubts(validation)) if unreliable else _NONE
    notebook.add(5, status, output, reasons)


def _doubts(validation: Validation) -> tuple[Reason, ...]:
    return (Reason("UNRELIABLE", sentence(validation), validation.reliability),)


def record_consensus(notebook: Notebook, consensus: Consensus | None) -> None:
    def output() -> dict[str, JsonValue]:
        if consensus is None:
            return {}
        return {
            "probability_up": consensus.probability_up,
            "uncertainty": consensus.uncertainty,
            "weights": dict(zip(consensus.contributors, consensus.weights, strict=True)),
            "confluence_up": consensus.confluence_up,
            "confluence_down": consensus.confluence_down,
            "reliable": consensus.reliable,
        }

    if consensus is None:
        notebook.add(6, PhaseStatus.SKIPPED, output, (NO_OPINION_REASON,))
    else:
        notebook.add(6, PhaseStatus.PASSED, output)


NO_OPINION_REASON = Reason("NO_OPINION", "nothing to combine, opinions were 0", 0.0, 1.0)
