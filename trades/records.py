"""Rows to values and back: the only file that knows both shapes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.conf import settings

from engine.types.decisions import Analysis, Decision, PhaseRecord
from engine.types.ledger import Lot, Trade
from engine.types.opinions import (
    Consensus,
    FeatureView,
    MarketView,
    Missing,
    OrderFlowView,
    Side,
)
from engine.types.orders import Cause, Fill, OrderIntent, OrderType, Purpose
from trades import models
from trades.payloads import Legend, legend_in, opinions_in, pack_analysis, pack_decision


def moment(ts_ms: int) -> datetime:
    """Return aware UTC time of integer milliseconds."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC)


def milliseconds(at: datetime) -> int:
    """Return integer UTC milliseconds of an aware time."""
    return round(at.timestamp() * 1000)


def decision_code(run: models.TradingRun, decision: Decision) -> uuid.UUID:
    """Return the decision's id: derived, so a repeat names the same row."""
    return uuid.uuid5(run.code, f"{decision.symbol}|{decision.bar_close_ms}|{decision.strategy}")


def analysis_payload(analysis: Analysis, learning: Sequence[PhaseRecord]) -> dict[str, Any]:
    """Return the whole JSON document of one analysis; ``learning``: records of phases 9-10."""
    return {
        "records": [_plain(record) for record in (*analysis.records, *learning)],
        "market": _plain(analysis.market),
        "order_flow": _order_flow(analysis.order_flow),
        "sources": [_plain(source) for source in analysis.sources],
        "opinions": [_plain(opinion) for opinion in analysis.opinions],
        "validation": _plain(analysis.validation),
        "consensus": _plain(analysis.consensus),
        "conditions": [_plain(change) for change in analysis.conditions],
        "panel": _plain(analysis.panel),
    }


def decision_payload(decision: Decision) -> dict[str, Any]:
    """Return the whole JSON document of one decision: phases 7-8, sizing, proposal, inputs."""
    return {
        "records": [_plain(record) for record in decision.records],
        "reasons": [_plain(reason) for reason in decision.reasons],
        "sizing": _plain(decision.sizing),
        "proposal": _plain(decision.proposal),
        "policy": _plain(decision.policy),
        "inputs": _plain(decision.inputs),
        "valid_until_ms": decision.valid_until_ms,
    }


def analysis_row(
    run: models.TradingRun, analysis: Analysis, learning: Sequence[PhaseRecord], now: datetime
) -> tuple[models.Analysis, Legend | None]:
    """Return the row, and the legend of its feature values, which must be kept once."""
    market, consensus = analysis.market, analysis.consensus
    whole = analysis_payload(analysis, learning)
    row = models.Analysis(
        run=run,
        symbol=analysis.symbol,
        bar_close_at=moment(analysis.bar_close_ms),
        price=analysis.price,
        regime=market.regime.value if isinstance(market, MarketView) else "",
        probability_up=consensus.probability_up if isinstance(consensus, Consensus) else None,
        payload=pack_analysis(whole),
        created_at=now,
    )
    return row, legend_in(whole)


def decision_row(
    run: models.TradingRun, analysis: models.Analysis, decision: Decision, now: datetime
) -> models.Decision:
    payload = pack_decision(decision_payload(decision), opinions_in(analysis.payload))
    return models.Decision(
        code=decision_code(run, decision),
        run=run,
        analysis=analysis,
        strategy=decision.strategy,
        symbol=decision.symbol,
        bar_close_at=moment(decision.bar_close_ms),
        action=decision.action.value,
        confidence=decision.confidence,
        quantity_base=decision.quantity_base,
        price=decision.price,
        stop_price=decision.stop_price,
        target_price=decision.target_price,
        reason_code=decision.reason_code,
        reason="; ".join(reason.text for reason in decision.reasons),
        blocking_phase=decision.blocking_phase,
        payload={**payload, "code": settings.CODE_VERSION, "config": run.config_digest[:16]},
        created_at=now,
    )


def order_row(
    run: models.TradingRun, decision: models.Decision | None, intent: OrderIntent, now: datetime
) -> models.Order:
    """Return the row of an intent; ``decision`` is None for one that no decision asked for."""
    return models.Order(
        run=run,
        decision=decision,
        client_order_id=intent.client_order_id,
        strategy=intent.strategy,
        symbol=intent.symbol,
        side=intent.side.value,
        purpose=intent.purpose.value,
        order_type=intent.order_type.value,
        quantity_base=intent.quantity_base,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price,
        target_price=intent.target_price,
        reference_price=intent.reference_price,
        regime=intent.regime,
        leg=intent.leg,
        cause=intent.cause.value,
        reason_code=intent.reason_code,
        actor=intent.actor,
        status="INTENT",
        filled_base=Decimal(0),
        decided_at=moment(intent.decided_at_ms),
        created_at=now,
        updated_at=now,
    )


def order_intent(row: models.Order) -> OrderIntent:
    """Return the intent that ``order_row`` wrote."""
    return OrderIntent(
        client_order_id=row.client_order_id,
        strategy=row.strategy,
        symbol=row.symbol,
        side=Side(row.side),
        purpose=Purpose(row.purpose),
        order_type=OrderType(row.order_type),
        quantity_base=row.quantity_base,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        target_price=row.target_price,
        reference_price=row.reference_price,
        decided_at_ms=milliseconds(row.decided_at),
        regime=row.regime,
        leg=row.leg,
        reason_code=row.reason_code,
        cause=Cause(row.cause),
        actor=row.actor,
    )


def fill_row(run: models.TradingRun, order: models.Order, fill: Fill, now: datetime) -> models.Fill:
    return models.Fill(
        run=run,
        order=order,
        trade_id=fill.trade_id,
        strategy=order.strategy,
        symbol=fill.symbol,
        side=fill.side.value,
        price=fill.price,
        quantity_base=fill.quantity_base,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        is_maker=fill.is_maker,
        executed_at=moment(fill.ts_ms),
        applied_at=now,
    )


def fill_value(row: models.Fill) -> Fill:
    """Return the fill that ``fill_row`` wrote."""
    return Fill(
        trade_id=row.trade_id,
        client_order_id=row.order.client_order_id,
        symbol=row.symbol,
        side=Side(row.side),
        price=row.price,
        quantity_base=row.quantity_base,
        fee=row.fee,
        fee_asset=row.fee_asset,
        ts_ms=milliseconds(row.executed_at),
        is_maker=row.is_maker,
    )


def lot_fields(lot: Lot) -> dict[str, Any]:
    """Return the column values of a lot, keyed for ``update_or_create``."""
    return {
        "strategy": lot.strategy,
        "symbol": lot.symbol,
        "side": lot.side.value,
        "quantity_base": lot.quantity_base,
        "is_open": lot.quantity_base > 0,
        "entry_price": lot.entry_price,
        "entry_fee_quote": lot.entry_fee_quote,
        "risk_per_unit_quote": lot.risk_per_unit_quote,
        "stop_price": lot.stop_price,
        "target_price": lot.target_price,
        "regime": lot.regime,
        "opened_at": moment(lot.opened_at_ms),
        "entry_order_id": lot.entry_order_id,
    }


def lot_value(row: models.Lot) -> Lot:
    """Return the lot that ``lot_fields`` wrote."""
    return Lot(
        lot_id=row.lot_id,
        strategy=row.strategy,
        symbol=row.symbol,
        side=Side(row.side),
        quantity_base=row.quantity_base,
        entry_price=row.entry_price,
        entry_fee_quote=row.entry_fee_quote,
        risk_per_unit_quote=row.risk_per_unit_quote,
        stop_price=row.stop_price,
        target_price=row.target_price,
        regime=row.regime,
        opened_at_ms=milliseconds(row.opened_at),
        entry_order_id=row.entry_order_id,
    )


def trade_row(run: models.TradingRun, trade: Trade) -> models.Trade:
    return models.Trade(run=run, **_trade_fields(trade))


def side_trade_row(run: models.TradingRun, book: str, trade: Trade) -> models.SideTrade:
    return models.SideTrade(run=run, book=book, **_trade_fields(trade))


def _trade_fields(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "strategy": trade.strategy,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "quantity_base": trade.quantity_base,
        "entry_price": trade.entry_price,
        "exit_price": trade.exit_price,
        "fees_quote": trade.fees_quote,
        "pnl_quote": trade.pnl_quote,
        "r_multiple": trade.r_multiple,
        "entry_regime": trade.entry_regime,
        "exit_regime": trade.exit_regime,
        "exit_reason": trade.exit_reason,
        "opened_at": moment(trade.opened_at_ms),
        "closed_at": moment(trade.closed_at_ms),
        "entry_order_id": trade.entry_order_id,
        "exit_order_id": trade.exit_order_id,
    }


def trade_value(row: models.Trade | models.SideTrade) -> Trade:
    """Return the trade that ``trade_row`` or ``side_trade_row`` wrote."""
    return Trade(
        trade_id=row.trade_id,
        strategy=row.strategy,
        symbol=row.symbol,
        side=Side(row.side),
        quantity_base=row.quantity_base,
        entry_price=row.entry_price,
        exit_price=row.exit_price,
        fees_quote=row.fees_quote,
        pnl_quote=row.pnl_quote,
        r_multiple=row.r_multiple,
        opened_at_ms=milliseconds(row.opened_at),
        closed_at_ms=milliseconds(row.closed_at),
        entry_regime=row.entry_regime,
        exit_regime=row.exit_regime,
        exit_reason=row.exit_reason,
        entry_order_id=row.entry_order_id,
        exit_order_id=row.exit_order_id,
    )


def _features(features: FeatureView | Missing) -> Any:
    if isinstance(features, Missing):
        return _plain(features)
    return {
        "version": features.version,
        "ready": features.ready,
        "notes": list(features.notes),
        "values": {
            name: round(float(value), 6)
            for name, value in zip(features.names, features.values, strict=True)
        },
    }


def _order_flow(flow: OrderFlowView | Missing) -> Any:
    if isinstance(flow, Missing):
        return _plain(flow)
    # inputs hold an array, which has no JSON of its own
    plain = _plain(replace(flow, inputs=Missing("told apart")))
    return {**plain, "inputs": _features(flow.inputs)}


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)
