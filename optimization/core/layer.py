"""The layer as the pipeline sees it: one object that owns the parts and asks each in turn.

``AdaptivePolicy`` reads a ``LayerState`` and never changes it: what is learned from a closed trade
waits for the next update, so the same state and the same signal give the same answer. Put it
behind ``engine.failsafe.FailSafePolicy``; it does not guard itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.ports import Assessment
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from engine.types.opinions import MarketView, Missing, Proposal, Regime
from optimization.core.actions import ActionKind, Tell, tell_nobody
from optimization.core.config import LayerSettings
from optimization.core.outcome import QualityInputs
from optimization.core.quality.formula import formula_score
from optimization.core.quality.inputs import alignment, confluence_share, history_score
from optimization.core.quality.learned import learned_score
from optimization.core.sizing import multiplier
from optimization.core.state import LayerState

# Return the newest state where it is not the one of this version (None = none read yet), and
# None where it is: asked once an event, so the question must be cheap.
StateReader = Callable[[int | None], LayerState | None]


@dataclass(frozen=True, slots=True)
class Score:
    """A signal's quality on both scales; ``value`` is the one that counts."""

    value: float
    scorer: str
    formula: float | None
    learned: float | None


class QualityPart(Protocol):
    """Scores a signal; ``filters`` is False where every signal passes."""

    @property
    def filters(self) -> bool: ...

    def score(self, inputs: QualityInputs, state: LayerState) -> Score: ...


class Scorer:
    """The formula, or the model where it has earned its place; both are always recorded."""

    filters = True

    def __init__(self, settings: LayerSettings) -> None:
        self._settings = settings

    def score(self, inputs: QualityInputs, state: LayerState) -> Score:
        quality = self._settings.quality
        by_formula = formula_score(inputs, quality)
        model = state.learned
        if not quality.learned_enabled or model.outcomes < quality.learned_min_outcomes:
            return Score(by_formula, "formula", by_formula, None)
        by_model = learned_score(model, inputs, self._settings.quality_threshold, quality)
        if model.champion:
            return Score(by_model, "learned", by_formula, by_model)
        return Score(by_formula, "formula", by_formula, by_model)


class Confidence:
    """The null part: every signal passes with its own confidence as quality (OPT-04)."""

    filters = False

    def score(self, inputs: QualityInputs, state: LayerState) -> Score:
        return Score(inputs.confidence, "confidence", None, None)


class WeightPart(Protocol):
    def weights(self, state: LayerState) -> Mapping[str, float]: ...


class AdaptiveWeights:
    """The weights in effect; the base weight where a strategy has none yet."""

    def __init__(self, base_weights: Mapping[str, float]) -> None:
        self._base_weights = dict(base_weights)

    def weights(self, state: LayerState) -> Mapping[str, float]:
        return {**self._base_weights, **state.weights()}


class BaseWeights:
    """The null part: weights stay as configured (OPT-04)."""

    def __init__(self, base_weights: Mapping[str, float]) -> None:
        self._base_weights = dict(base_weights)

    def weights(self, state: LayerState) -> Mapping[str, float]:
        return self._base_weights


class AdaptivePolicy:
    """Implements ``engine.ports.OptimizationPolicy`` from a state somebody else keeps.

    Args:
        settings: the toggles put a null part in place of a real one.
        base_weights: of the configuration, by strategy code.
        favourable: the regimes each strategy was made for; one not named is neutral everywhere.
        read: gives the newest state; see ``StateReader``.
        tell: hears every action (OPT-68); a listener that raises counts as the layer's failure.
    """

    def __init__(
        self,
        settings: LayerSettings,
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        read: StateReader,
        tell: Tell = tell_nobody,
    ) -> None:
        self._settings = settings
        self._favourable = dict(favourable)
        self._quality: QualityPart = Confidence()
        self._weighting: WeightPart = BaseWeights(base_weights)
        if settings.enable_quality_filtering:
            self._quality = Scorer(settings)
        if settings.enable_adaptive_weighting:
            self._weighting = AdaptiveWeights(base_weights)
        self._read = read
        self._tell = tell
        self._version: int | None = None
        self._now_ms = 0
        self._state = LayerState()
        self._weights = self._weighting.weights(self._state)

    @property
    def state(self) -> LayerState:
        """The state its answers rest on."""
        return self._state

    def refresh(self, now_ms: int) -> None:
        """Take over a newer state, if there is one; called once an event, before it is booked."""
        self._now_ms = now_ms
        newer = self._read(self._version)
        if newer is not None:
            self._state, self._version = newer, newer.version
            self._weights = self._weighting.weights(newer)

    def weights(self, regime: Regime) -> Mapping[str, float]:
        """Return the weights in effect; they walk to the regime's stored ones update by update."""
        return self._weights

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        """Score an entry; below the threshold it is refused, at the threshold it passes."""
        inputs = self.inputs(proposal, market, confluence)
        score = self._quality.score(inputs, self._state)
        threshold = self._settings.quality_threshold
        accepted = score.value >= threshold or not self._quality.filters
        detail = _detail(score, inputs, threshold, self._state)
        code, text = _verdict(accepted, score, threshold, self._quality.filters)
        fields = {
            "signal": proposal.signal_id,
            "strategy": proposal.strategy,
            "symbol": proposal.symbol,
            "side": proposal.side.value,
        }
        self._tell(ActionKind.SCORING, {**fields, "outcome": "evaluating"})
        outcome: JsonValue = "approved" if accepted else "filtered"
        scored: dict[str, JsonValue] = {"outcome": outcome, "quality": score.value}
        self._tell(ActionKind.SCORING, {**fields, **scored, "threshold": threshold})
        return Assessment(accepted, score.value, code, text, proposal.signal_id, detail)

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        """Return the multiplier before any clipping; phase 7 keeps it in [0.1, 2] (D-01).

        1 where the signal could not be scored: nothing is known that a size could follow (D-03).

        Raises:
            ValueError: the assessment is of another signal (OPT-16).
        """
        if assessment.quality is None:
            return 1.0
        if assessment.signal_id != proposal.signal_id:
            raise ValueError(
                f"assessment must be of signal {proposal.signal_id}, was {assessment.signal_id}"
            )
        found = multiplier(
            weight=self._weights.get(proposal.strategy, 1.0),
            quality=assessment.quality,
            alignment=alignment(market, self._favourable.get(proposal.strategy, frozenset())),
            quality_threshold=self._settings.quality_threshold,
            settings=self._settings.sizing,
        )
        self._tell(
            ActionKind.SIZING,
            {
                "signal": proposal.signal_id,
                "strategy": proposal.strategy,
                "symbol": proposal.symbol,
                "multiplier": found.clipped,
                "raw": found.raw,
                "weight": found.weight,
                "quality_factor": found.quality_factor,
                "alignment_factor": found.alignment_factor,
            },
        )
        return found.raw

    def record_outcome(self, trade: Trade) -> None:
        """Tell of a closed trade; the next update reads it from where trades are kept."""
        self._tell(
            ActionKind.RECORDING,
            {
                "strategy": trade.strategy,
                "symbol": trade.symbol,
                "pnl_quote": float(trade.pnl_quote),
                "r": trade.r_multiple,
                "regime": trade.entry_regime,
                "trade": trade.trade_id,
            },
        )

    def inputs(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> QualityInputs:
        """Return what a signal is scored on.

        Raises:
            ValueError: the confidence is not in [0, 1].
        """
        if not 0.0 <= proposal.confidence <= 1.0:
            raise ValueError(f"confidence must be in [0, 1], was {proposal.confidence}")
        known = self._state.strategies.get(proposal.strategy)
        regime = "" if isinstance(market, Missing) else market.regime.value
        results = () if known is None else known.history.get(regime, ())
        return QualityInputs(
            confidence=proposal.confidence,
            confluence=confluence_share(confluence),
            alignment=alignment(market, self._favourable.get(proposal.strategy, frozenset())),
            history=history_score(results, self._now_ms, self._settings.quality),
        )


def _detail(
    score: Score, inputs: QualityInputs, threshold: float, state: LayerState
) -> dict[str, JsonValue]:
    """Return what is stored with the decision; ``inputs`` come back with its outcome."""
    return {
        "scorer": score.scorer,
        "formula": score.formula,
        "learned": score.learned,
        "threshold": threshold,
        "inputs": inputs.as_json(),
        "state_version": state.version,
        "as_of": state.as_of_trade_id,
    }


def _verdict(accepted: bool, score: Score, threshold: float, filters: bool) -> tuple[str, str]:
    if not filters:
        return "UNFILTERED", f"quality filter off, confidence was {score.value:.3f}"
    if accepted:
        text = f"quality was {score.value:.3f}, lowest allowed was {threshold:g}"
        return "QUALITY_PASSED", text
    return "LOW_QUALITY", f"quality was {score.value:.3f}, lowest allowed was {threshold:g}"
