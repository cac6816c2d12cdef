"""A trained predictor as a value: where it comes from, how good it was, and its numbers.

Nothing here is code: a model is plain JSON values, so loading one can never run anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from engine.types.decisions import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What made a model. Times are UTC ms of the first bar's open and the last label's bar close.

    ``parent`` is the digest of the champion it was to replace, empty where there was none.
    """

    family: str
    symbols: tuple[str, ...]
    timeframe_ms: int
    horizon_bars: int
    features_version: str
    code_version: str
    trained_from_ms: int
    trained_to_ms: int
    n_rows: int
    seed: int
    parameters: Mapping[str, float]
    parent: str = ""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """``payload`` holds numbers, lists and names only; ``metrics`` are out of sample."""

    lineage: Lineage
    metrics: Mapping[str, JsonValue]
    payload: Mapping[str, JsonValue]

    def digest(self) -> str:
        """Return the SHA-256 of lineage and payload: equal digests predict the same."""
        value = {"lineage": asdict(self.lineage), "payload": self.payload}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
