"""What an update looks at, read from rows: closed trades, standings, weights, regimes.

A closed trade is a row of the journal's transaction, so recording an outcome costs the order path
nothing and loses nothing: whatever was not learned yet is still there at the next update (OPT-30,
OPT-31).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

from engine.ledger_state import DUST
from engine.ports import StrategyStatus
from optimization.books import shadow_trades_of, trades_of, venue_time
from optimization.core.errors import StateError
from optimization.core.outcome import Observed, Outcome, QualityInputs, Standing
from strategies.models import HealthChange, Strategy
from trades.models import Order, SessionState, SideTrade, Trade, TradingRun
from trades.records import milliseconds, trade_value

LAYER_ACTOR = "optimization"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last rows an update has taken in: of the own book, and of the shadow book."""

    trade: int = 0
    side_trade: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an update is given. ``rows`` are where each outcome came from, in the same order."""

    observed: Observed
    rows: tuple[Trade | SideTrade, ...]
    start: Cursor

    def cursor(self, taken: int) -> Cursor:
        """Return where the next update goes on, after this one took in the first ``taken``."""
        seen = self.rows[:taken]
        own = [row.pk for row in seen if isinstance(row, Trade)]
        side = [row.pk for row in seen if isinstance(row, SideTrade)]
        return Cursor(max(own, default=self.start.trade), max(side, default=self.start.side_trade))


def evidence(run: TradingRun, start: Cursor, as_of_sequence: int) -> Evidence:
    """Return everything new since ``start``: outcomes in order of closing, numbered on from
    ``as_of_sequence``, with where the strategies stand."""
    strategies = list(Strategy.objects.all())
    # swept dust is nobody's result, and a policy that hears of trades does not hear of it either
    own = trades_of(run).filter(pk__gt=start.trade).exclude(exit_reason=DUST)
    side = shadow_trades_of(run).filter(pk__gt=start.side_trade).exclude(exit_reason=DUST)
    # a merge keeps each book's own order, so that what was taken in is a prefix of both
    rows: list[Trade | SideTrade] = list(merge(own, side, key=lambda row: row.closed_at))
    return Evidence(
        Observed(
            outcomes=tuple(_outcomes(rows, as_of_sequence)),
            standings=_standings(run, strategies),
            base_weights={row.code: row.base_weight for row in strategies},
            regimes=_regimes(run),
        ),
        tuple(rows),
        start,
    )


def _outcomes(rows: Sequence[Trade | SideTrade], as_of_sequence: int) -> Iterator[Outcome]:
    for first in range(0, len(rows), _CHUNK):
        chunk = rows[first : first + _CHUNK]
        policies = _policies(chunk)
        for number, row in enumerate(chunk, as_of_sequence + first + 1):
            policy = policies.get(row.entry_order_id, {})
            quality = policy.get("quality")
            yield Outcome(
                sequence=number,
                trade=trade_value(row),
                shadow=isinstance(row, SideTrade),
                quality=float(quality) if isinstance(quality, int | float) else None,
                inputs=_inputs((policy.get("detail") or {}).get("inputs")),
            )


def _policies(trades: Sequence[Trade | SideTrade]) -> dict[str, Mapping[str, Any]]:
    """Return what the policy said of each entry, by its client order id."""
    wanted = {trade.entry_order_id for trade in trades if isinstance(trade, Trade)}
    rows = Order.objects.filter(client_order_id__in=wanted).values_list(
        "client_order_id", "decision__payload__policy"
    )
    return {order_id: policy for order_id, policy in rows if isinstance(policy, dict)}


def _inputs(document: object) -> QualityInputs | None:
    """Return the inputs a decision was scored on; None where it was not scored."""
    if document is None:
        return None
    try:
        return QualityInputs.from_json(document)
    except StateError:
        # a decision of an older scorer: its trade counts, its inputs teach nothing
        return None


def _standings(run: TradingRun, strategies: list[Strategy]) -> dict[str, Standing]:
    by_layer = _moved_by_the_layer()
    return {
        row.code: Standing(
            status=StrategyStatus(row.status),
            since_ms=milliseconds(venue_time(run, row.status_changed_at)),
            override_until_ms=(
                milliseconds(row.override_until_at) if row.override_until_at else None
            ),
            by_person=not by_layer.get(row.pk, True),
        )
        for row in strategies
    }


def _moved_by_the_layer() -> dict[int, bool]:
    """Return of each strategy that ever moved whether the layer moved it last.

    A name alone proves nothing, for a person may be called the same: the layer's edges also carry
    the venue time they were judged at.
    """
    edges = HealthChange.objects.order_by("at", "id").values_list("strategy_id", "actor", "metrics")
    return {key: actor == LAYER_ACTOR and "venue_at_ms" in found for key, actor, found in edges}


def _regimes(run: TradingRun) -> dict[str, str]:
    payload = SessionState.objects.filter(run=run).values_list("payload", flat=True).first()
    regimes = payload.get("regimes", {}) if isinstance(payload, dict) else {}
    return {str(symbol): str(regime) for symbol, regime in regimes.items()}
