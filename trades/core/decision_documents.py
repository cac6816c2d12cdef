"""Stored documents of analyses and decisions as the engine's values again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import msgspec
import numpy as np

from engine.ports import Assessment
from engine.types.decisions import Analysis, PhaseRecord, PhaseStatus, Reason
from engine.types.ledger import Trade
from engine.types.opinions import (
    Consensus,
    FeatureView,
    MarketView,
    Missing,
    Opinion,
    OrderFlowView,
    Proposal,
    Regime,
    SourceScore,
    Validation,
)

Json = Mapping[str, Any]


def analysis_of(document: Json, *, symbol: str, bar_close_ms: int, price: float) -> Analysis:
    """Return the analysis that a document tells of.

    Raises:
        msgspec.ValidationError: a part is not what was stored; the message names it.
    """
    return Analysis(
        symbol=symbol,
        bar_close_ms=bar_close_ms,
        price=price,
        market=_market(document["market"]),
        features=_features(document["features"]),
        order_flow=_order_flow(document["order_flow"]),
        sources=tuple(msgspec.convert(document["sources"], list[SourceScore])),
        opinions=tuple(msgspec.convert(document["opinions"], list[Opinion])),
        validation=msgspec.convert(document["validation"], Validation | None),
        consensus=msgspec.convert(document["consensus"], Consensus | None),
        records=tuple(record_of(record) for record in document["records"]),
    )


def record_of(document: Json) -> PhaseRecord:
    return PhaseRecord(
        number=document["number"],
        name=document["name"],
        status=PhaseStatus(document["status"]),
        duration_us=document["duration_us"],
        input_digest=document["input_digest"],
        output_digest=document["output_digest"],
        output=document["output"],
        reasons=tuple(msgspec.convert(document["reasons"], list[Reason])),
    )


def proposal_of(document: Json | None) -> Proposal | None:
    return msgspec.convert(document, Proposal | None)


def _missing(document: Json) -> Missing | None:
    return Missing(str(document["reason"])) if set(document) == {"reason"} else None


def _market(document: Json) -> MarketView | Missing:
    missing = _missing(document)
    if missing is not None:
        return missing
    feeling = document["sentiment"]
    felt = Missing(feeling["reason"]) if isinstance(feeling, dict) else feeling
    return replace(msgspec.convert({**document, "sentiment": 0.0}, MarketView), sentiment=felt)


def _features(document: Json) -> FeatureView | Missing:
    missing = _missing(document)
    if missing is not None:
        return missing
    values = document["values"]
    row = np.array(list(values.values()), dtype=np.float64)
    return FeatureView(document["version"], tuple(values), row, document["ready"])


def _order_flow(document: Json) -> OrderFlowView | Missing:
    missing = _missing(document)
    if missing is not None:
        return missing
    # what predictors of order flow read is no input of phases 7 and 8; views may grow
    known = {part.name for part in fields(OrderFlowView)} - {"inputs"}
    told = {key: value for key, value in document.items() if key in known}
    return OrderFlowView(**told, inputs=Missing("no input of phases 7 and 8"))


class RecordedPolicy:
    """Implements ``OptimizationPolicy`` with what the layer answered then.

    Where it was not asked then it accepts with the multiplier 1, as a layer that is off.
    """

    def __init__(self, said: Json, multiplier: float) -> None:
        self._said = said
        self._multiplier = multiplier

    def weights(self, regime: Regime) -> Mapping[str, float]:
        return {}

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        said = self._said
        if not said:
            return Assessment(True, None, "NOT_ASKED", "the layer was not asked then")
        return Assessment(
            bool(said["accepted"]), said["quality"], said["reason_code"], said["reason"]
        )

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        return self._multiplier

    def record_outcome(self, trade: Trade) -> None:
        return None

    def refresh(self, now_ms: int) -> None:
        return None
