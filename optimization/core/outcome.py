"""What an update is given: closed trades, and where each strategy stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from engine.ports import StrategyStatus
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from optimization.core.errors import StateError

# A trade that made or lost a thousand times what its stop risked is a broken row, not a trade.
LARGEST_R = 1_000.0


@dataclass(frozen=True, slots=True)
class QualityInputs:
    """The four numbers a signal is scored on, each in [0, 1], as they were when it was decided.

    ``confluence`` is the share made of the count of agreeing sources; see ``quality.inputs``.
    """

    confidence: float
    confluence: float
    alignment: float
    history: float

    def row(self) -> tuple[float, float, float, float]:
        return (self.confidence, self.confluence, self.alignment, self.history)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "confidence": self.confidence,
            "confluence": self.confluence,
            "alignment": self.alignment,
            "history": self.history,
        }

    @staticmethod
    def from_json(document: object) -> QualityInputs:
        """Read what ``as_json`` wrote (``inputs`` of a decision's policy document).

        Raises:
            StateError: a number is missing or not in [0, 1].
        """
        if not isinstance(document, Mapping):
            raise StateError(f"quality inputs must be a mapping, was {document!r}")
        values: list[float] = []
        for name in ("confidence", "confluence", "alignment", "history"):
            value = document.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise StateError(f"quality inputs: {name} must be a number, was {value!r}")
            if not 0.0 <= value <= 1.0:
                raise StateError(f"quality inputs: {name} must be in [0, 1], was {value!r}")
            values.append(float(value))
        return QualityInputs(*values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One closed trade as the layer learns from it.

    ``sequence`` grows with every trade of every book in the order they became known (a row's
    id); an update takes a trade once, whichever book it is from. ``shadow`` marks virtual trades
    of a suspended strategy (D-07). ``quality`` and ``inputs`` are those of the entry's decision,
    None where it was not scored.
    """

    sequence: int
    trade: Trade
    shadow: bool = False
    quality: float | None = None
    inputs: QualityInputs | None = None


def unsound(trade: Trade) -> str | None:
    """Return why a closed trade is no evidence, None where it is (F-081).

    One without R is sound: it had no stop to measure by.
    """
    r = trade.r_multiple
    if not (trade.pnl_quote.is_finite() and trade.fees_quote.is_finite()):
        return f"trade {trade.trade_id} must be finite, was {trade.pnl_quote}, {trade.fees_quote}"
    if r is not None and not (isfinite(r) and abs(r) <= LARGEST_R):
        return f"trade {trade.trade_id} must be within {LARGEST_R:g} R, was {r}"
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """A strategy's row: what the risk gate enforces, with or without the layer.

    ``since_ms`` is venue time of the last change of status. ``override_until_ms`` is a person's
    word that holds until then (D-46). ``by_person``: a person made the last change.
    """

    status: StrategyStatus
    since_ms: int
    override_until_ms: int | None = None
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything new an update looks at.

    ``outcomes``: closed trades after ``LayerState.as_of_sequence``, in order of ``sequence``;
    earlier ones are left out, so giving more than asked is harmless. ``standings``: every
    configured strategy by code. ``base_weights``: of the configuration, by code. ``regimes``:
    the current regime label of each symbol.
    """

    outcomes: Sequence[Outcome]
    standings: Mapping[str, Standing]
    base_weights: Mapping[str, float]
    regimes: Mapping[str, str] = field(default_factory=dict)
