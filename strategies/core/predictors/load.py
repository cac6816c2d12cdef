"""From a stored model to a predictor; whatever is wrong with it is said in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read
from strategies.core.predictors.calibration import calibration_of
from strategies.core.predictors.network import network_of
from strategies.core.predictors.trained_source import LoadedModel, Scorer, TrainedSource
from strategies.core.predictors.trees import trees_of
from strategies.core.trained import TrainedModel

PAYLOAD_FORMAT = 1
Reader = Callable[[Mapping[str, JsonValue], int], Scorer]

READERS: Mapping[str, Reader] = {
    "gradient-boosting": trees_of,
    "forest": trees_of,
    "neural-network": network_of,
}


def source_of(model: TrainedModel) -> TrainedSource:
    """Return the predictor that a trained model is.

    Raises:
        StrategyError: an unknown family, or a payload that is not whole: a shape that does not
            fit, a number that is not finite, a child that is not after its parent.
    """
    family = model.lineage.family
    reader = READERS.get(family)
    if reader is None:
        raise StrategyError(f"unknown model family {family!r}, known are {', '.join(READERS)}")
    found = model.payload.get("format")
    if found != PAYLOAD_FORMAT:
        raise StrategyError(f"model format must be {PAYLOAD_FORMAT}, was {found!r}")
    names = read.names(model.payload, "features")
    loaded = LoadedModel(
        digest=model.digest(),
        names=names,
        version=model.lineage.features_version,
        scorer=reader(read.part(model.payload, "scorer"), len(names)),
        calibration=calibration_of(read.part(model.payload, "calibration")),
    )
    return TrainedSource(family, loaded)
