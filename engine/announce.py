"""What the screens hear of an event, after its commit; nothing here may stop trading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.digest import plain
from engine.failsafe import fall_back
from engine.ports import Publisher, Reporter
from engine.types.bars import Bar, MarketEvent
from engine.types.decisions import Decision, EvolutionTrigger, JsonValue, Reason
from engine.types.learned import Trial
from engine.types.ledger import EquityPoint, Trade
from engine.types.orders import (
    Fill,
    OrderIntent,
    OrderState,
    OrderStatus,
    Rejection,
    SubmitResult,
)
from engine.types.requests import Adjustment


@dataclass(frozen=True, slots=True)
class Finding(Reason):
    """What a person must hear of anew for each ``subject``, though another of its kind was told."""

    subject: str = ""


@dataclass(slots=True)
class EventOutcome:
    """Everything one event caused, in the order it happened."""

    event: MarketEvent
    rejected: str = ""
    fills: list[tuple[Fill, OrderIntent]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    decisions: Sequence[Decision] = ()
    # orders to end, each with the reason, before any is sent
    cancels: list[tuple[OrderIntent, str]] = field(default_factory=list)
    # orders that no decision asked for, in the order they are to be sent
    intents: list[OrderIntent] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    submitted: list[tuple[OrderIntent, SubmitResult]] = field(default_factory=list)
    equity: EquityPoint | None = None
    alerts: list[Reason] = field(default_factory=list)
    triggers: Sequence[EvolutionTrigger] = ()
    trials: Sequence[Trial] = ()


class Announcer(Protocol):
    def announce(self, outcome: EventOutcome) -> None:
        """Tell the screens; never raises."""


class SilentAnnouncer:
    """Replay's announcer: nobody watches."""

    def announce(self, outcome: EventOutcome) -> None:
        return None


class PublishingAnnouncer:
    """Turns an outcome into one message a thing, by topic of the stream (D-35)."""

    def __init__(self, publisher: Publisher, run_code: str, reporter: Reporter) -> None:
        self._publisher = publisher
        self._run_code = run_code
        self._reporter = reporter

    def announce(self, outcome: EventOutcome) -> None:
        report = self._reporter.incident
        fall_back(lambda: self._publish(outcome), None, where="publisher", report=report)

    def _publish(self, outcome: EventOutcome) -> None:
        for topic, data in _messages(outcome):
            self._publisher.publish(topic, {"run": self._run_code, **data})


def _messages(outcome: EventOutcome) -> list[tuple[str, dict[str, JsonValue]]]:
    messages: list[tuple[str, dict[str, JsonValue]]] = []
    if outcome.event.bar is not None and not outcome.rejected:
        messages.append(("bars", _bar(outcome.event.symbol, outcome.event.bar)))
    messages.extend(("fills", _fill(fill, intent)) for fill, intent in outcome.fills)
    messages.extend(("trades", _trade(trade)) for trade in outcome.trades)
    messages.extend(("decisions", _decision(decision)) for decision in outcome.decisions)
    messages.extend(("orders", _order(intent, result)) for intent, result in outcome.submitted)
    if outcome.equity is not None:
        messages.append(("equity", _equity(outcome.equity)))
    return messages


def _bar(symbol: str, bar: Bar) -> dict[str, JsonValue]:
    return {
        "symbol": symbol,
        "ts_ms": bar.ts_ms,
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
    }


def _decision(decision: Decision) -> dict[str, JsonValue]:
    return {
        "at_ms": decision.bar_close_ms,
        "strategy": decision.strategy,
        "symbol": decision.symbol,
        "action": decision.action.value,
        "confidence": decision.confidence,
        "quantity": plain(decision.quantity_base),
        "price": decision.price,
        "reason_code": decision.reason_code,
        "reason": "; ".join(reason.text for reason in decision.reasons),
        "blocking_phase": decision.blocking_phase,
    }


def _fill(fill: Fill, intent: OrderIntent) -> dict[str, JsonValue]:
    return {
        "trade_id": fill.trade_id,
        "strategy": intent.strategy,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "purpose": intent.purpose.value,
        "quantity": plain(fill.quantity_base),
        "price": plain(fill.price),
        "at_ms": fill.ts_ms,
    }


def _trade(trade: Trade) -> dict[str, JsonValue]:
    return {
        "trade_id": trade.trade_id,
        "strategy": trade.strategy,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "quantity": plain(trade.quantity_base),
        "entry_price": plain(trade.entry_price),
        "exit_price": plain(trade.exit_price),
        "pnl_quote": plain(trade.pnl_quote),
        "r_multiple": trade.r_multiple,
        "closed_at_ms": trade.closed_at_ms,
        "exit_reason": trade.exit_reason,
    }


def _order(intent: OrderIntent, result: SubmitResult) -> dict[str, JsonValue]:
    status, detail = "UNKNOWN", ""
    if isinstance(result, OrderState):
        status = result.status.value
    elif isinstance(result, Rejection):
        refused = OrderStatus.REJECTED if result.by_venue else OrderStatus.DENIED
        status, detail = refused.value, f"{result.code}: {result.message}"
    else:
        detail = result.reason
    return {
        "client_order_id": intent.client_order_id,
        "strategy": intent.strategy,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "purpose": intent.purpose.value,
        "quantity": plain(intent.quantity_base),
        "price": plain(intent.reference_price),
        "status": status,
        "detail": detail,
    }


def _equity(point: EquityPoint) -> dict[str, JsonValue]:
    return {
        "at_ms": point.ts_ms,
        "equity": plain(point.equity_quote),
        "cash": plain(point.cash_quote),
        "exposure": plain(point.exposure_quote),
        "drawdown_fraction": point.drawdown_fraction,
        "day_pnl": plain(point.day_pnl_quote),
    }
