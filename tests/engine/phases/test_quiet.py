"""Quiet bars in replay are answered early and alike: D-25, I-26."""

from __future__ import annotations

from engine.executors import SerialExecutor
from engine.failsafe import FailSafe, FailSafePolicy
from engine.phases.config import PipelineConfig
from engine.phases.pipeline import Pipeline
from engine.phases.quiet import ReplayPipeline
from engine.phases.recorder import CountingRecorder
from engine.policy import BasePolicy
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import Decision
from strategies.core.registry import rule_sources
from tests.engine.phases import scene


def build(kind: type[Pipeline], **settings: object) -> Pipeline:
    fail_safe = FailSafe(scene.Incidents().incident, lambda: 0.0)
    return kind(
        config=PipelineConfig(**settings),  # type: ignore[arg-type]
        rules=rule_sources(),
        learned=(),
        scoreboard=Scoreboard(),
        policy=FailSafePolicy(BasePolicy(), fail_safe),
        executor=SerialExecutor(fail_safe),
        recorder=CountingRecorder(),
        fail_safe=fail_safe,
        monotonic=lambda: 0.0,
    )


def decide(pipeline: Pipeline, of: Snapshot) -> tuple[list[Decision], bool]:
    """What a session does with one bar; and whether the bar was quiet."""
    quiet = pipeline.quiet(of, {})
    if quiet is not None:
        return [quiet], True
    found = pipeline.analyse(of)
    asked = pipeline.proposals(of, found, {})
    made = [pipeline.decide(p, of, found, scene.context()) for p in asked]
    made = made or [pipeline.hold(of, found)]
    pipeline.apply_learning(pipeline.after(of, found, made))
    return made, False


def test_quiet_bars_give_the_decisions_and_the_learning_of_the_whole_walk() -> None:
    """The shipped rules over a thousand bars; entries, denials and holds among them."""
    store = ColumnStore(scene.bars(1_600, volatility=0.002))
    whole, early = build(Pipeline), build(ReplayPipeline)
    n_quiet, kinds = 0, set()
    for row in range(300, 1_600):
        of = scene.snapshot(row, store=store)
        expected, never = decide(whole, of)
        found, quiet = decide(early, of)
        assert not never
        n_quiet += quiet
        kinds |= {decision.action.value for decision in expected}
        assert [summary(d) for d in found] == [summary(d) for d in expected], row
    assert early.state() == whole.state()
    assert kinds == {"BUY", "HOLD"}
    assert n_quiet > 200


def summary(decision: Decision) -> tuple[object, ...]:
    return (
        decision.strategy,
        decision.bar_close_ms,
        decision.action,
        decision.quantity_base,
        decision.reason_code,
        decision.confidence,
        decision.blocking_phase,
        decision.intent,
        decision.valid_until_ms,
    )
