"""All actions: the one list to edit."""

from __future__ import annotations

from collections.abc import Mapping

from resources.actions.base import Action
from resources.actions.database import DatabaseConnections, DatabaseStatistics
from resources.actions.disk import CleanTemp, CompressLogs, TrimDiskCache
from resources.actions.load import (
    CheaperDecisions,
    GrowPool,
    LengthenSampling,
    ShedResearch,
    ShrinkPool,
    SmallerBatches,
)
from resources.actions.memory import ClearCaches, CollectGarbage, TrimBuffers
from resources.actions.recovery import FailOverToHold, Reconnect, RestartWorker, TripBreaker
from resources.core.config import OptimizerConfig
from resources.core.planner import Trait

ACTIONS: Mapping[str, Action] = {
    action.code: action
    for action in (
        CollectGarbage(),
        ClearCaches(),
        TrimBuffers(),
        ShedResearch(),
        LengthenSampling(),
        ShrinkPool(),
        GrowPool(),
        CheaperDecisions(),
        SmallerBatches(),
        CleanTemp(),
        CompressLogs(),
        TrimDiskCache(),
        Reconnect(),
        RestartWorker(),
        TripBreaker(),
        FailOverToHold(),
        DatabaseConnections(),
        DatabaseStatistics(),
    )
}


def traits(config: OptimizerConfig) -> dict[str, Trait]:
    """Return what the planner must know of each action under these settings."""
    return {
        code: Trait(
            code,
            cool_down_s=config.cool_down_s,
            touches_trading=action.touches_trading,
            once_per_incident=action.once_per_incident,
        )
        for code, action in ACTIONS.items()
    }
