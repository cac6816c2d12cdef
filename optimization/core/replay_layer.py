"""The layer of a replay: the same policy and the same update, on event time and in memory.

What rows and a clock do in a running platform happens here between two events: closed trades are
kept, an update runs once a period of event time, and its edges become the statuses that the
replay's stated operator enforces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.ports import Assessment, StrategyStatus
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from engine.types.opinions import MarketView, Missing, Proposal, Regime
from optimization.core.actions import ActionKind, Tell, tell_nobody
from optimization.core.alerts import Alert
from optimization.core.config import LayerSettings
from optimization.core.health.machine import Edge
from optimization.core.layer import AdaptivePolicy
from optimization.core.outcome import Observed, Outcome, QualityInputs, Standing
from optimization.core.state import LayerState
from optimization.core.update import Changes, alert_fields, is_due, next_state

SetStatus = Callable[[str, StrategyStatus], None]
_Scored = tuple[int, float | None, QualityInputs]


@dataclass(slots=True)
class Tally:
    """What the layer did, counted; ``total_multiplier`` sums what phase 7 was given, clipped."""

    assessed: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    sized: int = 0
    total_multiplier: float = 0.0
    updates: int = 0
    weight_changes: int = 0
    shadow_trades: int = 0


class ReplayLayer:
    """Implements ``engine.ports.OptimizationPolicy`` with its own updates.

    Args:
        set_status: makes an edge true where the gatekeeper looks.
        statuses: every strategy's status at the start, by code.
        settings, base_weights, favourable, tell: see ``AdaptivePolicy``.
    """

    def __init__(
        self,
        settings: LayerSettings,
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        statuses: Mapping[str, StrategyStatus],
        set_status: SetStatus,
        tell: Tell = tell_nobody,
    ) -> None:
        self._settings = settings
        self._base_weights = dict(base_weights)
        self._standings = {code: Standing(status, 0) for code, status in statuses.items()}
        self._set_status = set_status
        self._tell = tell
        self._state = LayerState()
        self._waiting: list[Outcome] = []
        self._sequence = 0
        self._scored: dict[tuple[str, str], list[_Scored]] = {}
        self._regimes: dict[str, str] = {}
        self._alerts: frozenset[Alert] = frozenset()
        self.tally = Tally()
        self.edges: list[Edge] = []
        self.policy = AdaptivePolicy(
            settings,
            base_weights=base_weights,
            favourable=favourable,
            read=self._read,
            tell=self._heard,
        )

    @property
    def state(self) -> LayerState:
        return self._state

    # -- the five methods ----------------------------------------------------------------------

    def weights(self, regime: Regime) -> Mapping[str, float]:
        return self.policy.weights(regime)

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        if isinstance(market, MarketView):
            self._regimes[proposal.symbol] = market.regime.value
        assessment = self.policy.assess(proposal, market, confluence)
        self.tally.assessed += 1
        if assessment.accepted:
            inputs = QualityInputs.from_json(assessment.detail["inputs"])
            scored = self._scored.setdefault((proposal.strategy, proposal.symbol), [])
            scored.append((proposal.bar_close_ms, assessment.quality, inputs))
        else:
            self.tally.filtered[assessment.reason_code] += 1
        return assessment

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        return self.policy.size_multiplier(proposal, assessment, market)

    def record_outcome(self, trade: Trade) -> None:
        self.policy.record_outcome(trade)
        quality, inputs = self._entry(trade)
        self._sequence += 1
        self._waiting.append(Outcome(self._sequence, trade, False, quality, inputs))

    def refresh(self, now_ms: int) -> None:
        """Run the update that is due, make its edges true, then let the policy read."""
        if self._state.updated_at_ms is None:
            # a replay knows its first moment here: the statuses it begins with hold since then
            begun = {c: Standing(s.status, now_ms) for c, s in self._standings.items()}
            self._standings = begun
        if is_due(self._state, now_ms, self._settings):
            self._update(now_ms)
        self.policy.refresh(now_ms)

    # -- what a replay adds --------------------------------------------------------------------

    def record_shadow(self, trade: Trade) -> None:
        """Take a virtual trade of a suspended strategy (D-07)."""
        self._sequence += 1
        self.tally.shadow_trades += 1
        self._waiting.append(Outcome(self._sequence, trade, shadow=True))

    def suspended(self) -> frozenset[str]:
        """Return the strategies whose signals only a shadow book may follow."""
        found = (c for c, s in self._standings.items() if s.status is StrategyStatus.SUSPENDED)
        return frozenset(found)

    def summary(self) -> dict[str, JsonValue]:
        """Return the ``layer`` part of a replay's result."""
        tally, sized = self.tally, self.tally.sized
        return {
            "assessed": tally.assessed,
            "filtered": dict(sorted(tally.filtered.items())),
            "mean_multiplier": tally.total_multiplier / sized if sized else None,
            "updates": tally.updates,
            "weight_changes": tally.weight_changes,
            "shadow_trades": tally.shadow_trades,
            "edges": [
                {
                    "strategy": edge.strategy,
                    "from": edge.from_status.value,
                    "to": edge.to_status.value,
                    "at_ms": edge.at_ms,
                    "reason_code": edge.reason_code,
                }
                for edge in self.edges
            ],
            "final_weights": dict(self._state.weights()),
            "final_statuses": {c: s.status.value for c, s in self._standings.items()},
            "scorer": "learned" if self._state.learned.champion else "formula",
            "as_of": self._state.as_of_trade_id,
        }

    def _update(self, now_ms: int) -> None:
        observed = Observed(self._waiting, self._standings, self._base_weights, self._regimes)
        state, changes = next_state(self._state, observed, now_ms, self._settings)
        self._state = state
        self._waiting = [o for o in self._waiting if o.sequence > state.as_of_sequence]
        self.tally.updates += 1
        self.tally.weight_changes += sum(change.in_effect for change in changes.weights)
        for edge in changes.edges:
            self._set_status(edge.strategy, edge.to_status)
            self._standings[edge.strategy] = Standing(edge.to_status, now_ms)
        self.edges.extend(changes.edges)
        self._tell_of(changes)

    def _tell_of(self, changes: Changes) -> None:
        for kind, fields in changes.actions():
            self._tell(kind, fields)
        now = frozenset(changes.alerts)
        for cleared, alerts in ((True, self._alerts - now), (False, now - self._alerts)):
            for alert in sorted(alerts, key=lambda one: one.code):
                self._tell(ActionKind.ALERT, alert_fields(alert, cleared=cleared))
        self._alerts = now

    def _heard(self, kind: ActionKind, fields: Mapping[str, JsonValue]) -> None:
        if kind is ActionKind.SIZING:
            found = fields["multiplier"]
            if isinstance(found, float):
                self.tally.sized += 1
                self.tally.total_multiplier += found
        self._tell(kind, fields)

    def _read(self, known_version: int | None) -> LayerState | None:
        return None if known_version == self._state.version else self._state

    def _entry(self, trade: Trade) -> tuple[float | None, QualityInputs | None]:
        """Return the score of the signal that opened a trade: the last accepted before it.

        A market order fills on the event after its decision, so no later signal can be its own;
        those before it that never filled are forgotten.
        """
        scored = self._scored.get((trade.strategy, trade.symbol), [])
        earlier = [index for index, one in enumerate(scored) if one[0] <= trade.opened_at_ms]
        if not earlier:
            return None, None
        del scored[: earlier[-1]]
        _, quality, inputs = scored[0]
        return quality, inputs
