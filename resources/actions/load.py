"""Processors: research first, decisions last (ORC-35 to -37, ORC-45)."""

from __future__ import annotations

from resources.actions.base import Bounds, Context, Outcome, Parameters, Plain, number
from resources.errors import ActionFailed
from resources.tunables import (
    BOUNDS,
    PRUNE_BATCH,
    SAMPLE_EVERY_S,
    THRIFT,
    tunable_reset,
    tunable_set,
    tunable_value,
)

RESEARCH = "research"
GENERAL = "general"
ACTOR = "optimizer"
POOL = Bounds(1.0, 4.0, "processes")


class ShedResearch(Plain):
    """Training and trials wait in their queue meanwhile; nothing of them is lost."""

    code = "shed-research"
    about = "lets training and trials of models wait"
    is_reversible = True

    def parameters(self, context: Context) -> Parameters | None:
        workers = context.workers.consumes(RESEARCH)
        return {"queue": RESEARCH, "workers": [*workers]} if workers else None

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        names = _names(parameters)
        for worker in names:
            context.workers.consume(worker, RESEARCH, is_on=False)
        return Outcome(
            before={"consumers": float(len(names))},
            after={"consumers": 0.0},
            side_effects=("no model is trained or judged until this is undone",),
        )

    def revert(self, context: Context, parameters: Parameters) -> str:
        # a worker that started anew meanwhile consumes it by itself
        missing = set(_names(parameters)) - set(context.workers.consumes(RESEARCH))
        alive = sorted(missing & set(context.workers.pools(GENERAL)))
        for worker in alive:
            context.workers.consume(worker, RESEARCH, is_on=True)
        return f"{len(alive)} workers take {RESEARCH} again"


class _Resize(Plain):
    by = 0
    is_reversible = True
    bounds = {"processes": POOL}

    def parameters(self, context: Context) -> Parameters | None:
        sizes = context.workers.pools(GENERAL)
        wanted = {
            worker: size for worker, size in sizes.items() if POOL.clamp(size + self.by) != size
        }
        return {"workers": [*sorted(wanted)], "by": self.by} if wanted else None

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        before = context.workers.pools(GENERAL)
        for worker in _names(parameters):
            context.workers.resize(worker, self.by)
        after = context.workers.pools(GENERAL)
        if after == before:
            # a worker lists a new process a moment after it has said yes
            after = context.workers.pools(GENERAL)
        return Outcome(before=_sizes(before), after=_sizes(after))

    def revert(self, context: Context, parameters: Parameters) -> str:
        alive = [w for w in _names(parameters) if w in context.workers.pools(GENERAL)]
        for worker in alive:
            context.workers.resize(worker, -self.by)
        return f"pools: {_sizes(context.workers.pools(GENERAL))}"


class ShrinkPool(_Resize):
    code = "shrink-pool"
    about = "takes one process from the pool of the general worker"
    by = -1


class GrowPool(_Resize):
    code = "grow-pool"
    about = "adds one process to the pool of the general worker while processors are idle"
    by = 1


class CheaperDecisions(Plain):
    """Declared levels: 1 asks voting models only, 2 the first half of them. Each decision says
    which were not asked (FEWER_MODELS)."""

    code = "cheaper-decisions"
    about = "asks fewer models for each decision"
    is_reversible = True
    touches_trading = True
    bounds = {"level": BOUNDS[THRIFT]}

    def parameters(self, context: Context) -> Parameters | None:
        level = tunable_value(THRIFT, 0.0)
        wanted = self.bounds["level"].clamp(level + 1.0)
        return {"from": level, "level": wanted} if wanted != level else None

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        now = tunable_set(THRIFT, number(parameters, "level"), by=ACTOR)
        return Outcome(
            before={"level": number(parameters, "from")},
            after={"level": now},
            side_effects=("decisions carry FEWER_MODELS with the models that were not asked",),
        )

    def revert(self, context: Context, parameters: Parameters) -> str:
        tunable_set(THRIFT, number(parameters, "from"), by=ACTOR)
        return f"level {number(parameters, 'from'):g} again"


class LengthenSampling(Plain):
    """Only the sampler's pace. Ticks, leases, heartbeats and reconciling keep theirs."""

    code = "lengthen-sampling"
    about = "measures less often"
    is_reversible = True
    bounds = {"every_s": BOUNDS[SAMPLE_EVERY_S]}

    def parameters(self, context: Context) -> Parameters | None:
        every_s = tunable_value(SAMPLE_EVERY_S, context.config.sample_every_s)
        wanted = self.bounds["every_s"].clamp(every_s * 2.0)
        return {"from": every_s, "every_s": wanted} if wanted != every_s else None

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        now = tunable_set(SAMPLE_EVERY_S, number(parameters, "every_s"), by=ACTOR)
        return Outcome(before={"every_s": number(parameters, "from")}, after={"every_s": now})

    def revert(self, context: Context, parameters: Parameters) -> str:
        tunable_reset(SAMPLE_EVERY_S)
        return f"every {context.config.sample_every_s:g} s again"


class SmallerBatches(Plain):
    code = "smaller-batches"
    about = "deletes old samples in smaller transactions, so that nobody waits long for one"
    is_reversible = True
    bounds = {"rows": BOUNDS[PRUNE_BATCH]}
    standard = 1_000.0

    def parameters(self, context: Context) -> Parameters | None:
        rows = tunable_value(PRUNE_BATCH, self.standard)
        wanted = self.bounds["rows"].clamp(rows / 2.0)
        return {"from": rows, "rows": wanted} if wanted != rows else None

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        now = tunable_set(PRUNE_BATCH, number(parameters, "rows"), by=ACTOR)
        return Outcome(before={"rows": number(parameters, "from")}, after={"rows": now})

    def revert(self, context: Context, parameters: Parameters) -> str:
        tunable_set(PRUNE_BATCH, number(parameters, "from"), by=ACTOR)
        return f"{number(parameters, 'from'):g} rows again"


def _names(parameters: Parameters) -> list[str]:
    names = parameters.get("workers")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ActionFailed(f"workers was {names!r}, allowed: a list of names")
    return [str(name) for name in names]


def _sizes(sizes: dict[str, int]) -> dict[str, float]:
    return {"processes": float(sum(sizes.values())), "workers": float(len(sizes))}
