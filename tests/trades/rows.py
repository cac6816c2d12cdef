"""Rows for tests of reads: a run with bars, decisions, an order, a fill, a lot and trades."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from market.models import Candle, Instrument
from strategies.models import Strategy
from trades.models import (
    Analysis,
    Decision,
    EquityPoint,
    Fill,
    Lot,
    Order,
    Trade,
    TradingRun,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SYMBOL = "BTC/USDT"


def make_run(**given):
    fields = {
        "code": uuid.uuid4(),
        "mode": "practice",
        "venue": "practice-synthetic",
        "account": "main",
        "symbols": [SYMBOL],
        "timeframe_ms": 60_000,
        "quote": "USDT",
        "starting_cash_quote": Decimal(10_000),
        "config": {},
        "config_digest": "d" * 64,
        "code_version": "test",
        "started_at": START,
    }
    return TradingRun.objects.create(**fields | given)


def make_strategy(code="ema-trend", **given):
    fields = {"name": code, "status_changed_at": START, "created_at": START}
    return Strategy.objects.create(code=code, **fields | given)


def record(number, status="passed", *reasons):
    return {
        "number": number,
        "name": "phase",
        "status": status,
        "duration_us": 12.5,
        "input_digest": "a",
        "output_digest": "b",
        "output": {},
        "reasons": [{"code": c, "text": t, "value": None, "limit": None} for c, t in reasons],
    }


def make_decision(run, minute=0, **given):
    at = START + minute * MINUTE
    analysis, _ = Analysis.objects.get_or_create(
        run=run,
        symbol=given.get("symbol", SYMBOL),
        bar_close_at=at,
        defaults={
            "price": 100.0,
            "regime": "TRENDING",
            "created_at": at,
            "payload": {
                "records": [record(n) for n in (1, 2, 3, 4, 5, 6, 9, 10)],
                "opinions": [{"source": "ema-trend", "probability_up": 0.6}],
            },
        },
    )
    fields = {
        "code": uuid.uuid4(),
        "strategy": "ema-trend",
        "symbol": SYMBOL,
        "bar_close_at": at,
        "action": "HOLD",
        "confidence": 0.5,
        "quantity_base": Decimal(0),
        "price": 100.0,
        "reason_code": "NO_PROPOSAL",
        "reason": "nobody proposed",
        "payload": {"records": [record(7), record(8)]},
        "created_at": at,
    }
    return Decision.objects.create(run=run, analysis=analysis, **fields | given)


def make_order(run, decision=None, **given):
    at = decision.bar_close_at if decision else START
    fields = {
        "client_order_id": uuid.uuid4().hex,
        "strategy": "ema-trend",
        "symbol": SYMBOL,
        "side": "BUY",
        "purpose": "entry",
        "order_type": "market",
        "quantity_base": Decimal("0.5"),
        "reference_price": Decimal(100),
        "status": "OPEN",
        "decided_at": at,
        "created_at": at,
        "updated_at": at,
    }
    return Order.objects.create(run=run, decision=decision, **fields | given)


def make_fill(order, **given):
    fields = {
        "trade_id": uuid.uuid4().hex[:12],
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side,
        "price": Decimal(100),
        "quantity_base": order.quantity_base,
        "fee": Decimal("0.05"),
        "fee_asset": "USDT",
        "executed_at": order.decided_at,
        "applied_at": order.decided_at,
    }
    return Fill.objects.create(run=order.run, order=order, **fields | given)


def make_lot(run, **given):
    fields = {
        "lot_id": uuid.uuid4().hex,
        "strategy": "ema-trend",
        "symbol": SYMBOL,
        "side": "BUY",
        "quantity_base": Decimal("0.5"),
        "entry_price": Decimal(100),
        "entry_fee_quote": Decimal("0.05"),
        "risk_per_unit_quote": Decimal(2),
        "opened_at": START,
        "entry_order_id": "e1",
    }
    return Lot.objects.create(run=run, **fields | given)


def make_trade(run, pnl, minute=0, **given):
    fields = {
        "trade_id": uuid.uuid4().hex,
        "strategy": "ema-trend",
        "symbol": SYMBOL,
        "side": "BUY",
        "quantity_base": Decimal(1),
        "entry_price": Decimal(100),
        "exit_price": Decimal(100) + Decimal(pnl),
        "fees_quote": Decimal(0),
        "pnl_quote": Decimal(pnl),
        "r_multiple": float(pnl),
        "exit_reason": "TARGET",
        "opened_at": START + minute * MINUTE,
        "closed_at": START + (minute + 1) * MINUTE,
        "entry_order_id": "e1",
        "exit_order_id": "x1",
    }
    return Trade.objects.create(run=run, **fields | given)


def make_equity(run, minute=0, equity=10_000, **given):
    fields = {
        "equity_quote": Decimal(equity),
        "cash_quote": Decimal(equity),
        "exposure_quote": Decimal(0),
        "peak_equity_quote": Decimal(max(equity, 10_000)),
        "drawdown_fraction": max(0.0, 1 - equity / 10_000),
        "day_pnl_quote": Decimal(equity - 10_000),
    }
    at = START + minute * MINUTE
    return EquityPoint.objects.create(run=run, at=at, **fields | given)


def make_candle(close=110.0, minute=0, symbol=SYMBOL, venue="practice-synthetic"):
    base, quote = symbol.split("/")
    instrument, _ = Instrument.objects.get_or_create(
        venue=venue,
        symbol=symbol,
        defaults={
            "base": base,
            "quote": quote,
            "tick_size": Decimal("0.01"),
            "lot_size": Decimal("0.001"),
            "min_notional_quote": Decimal(5),
            "min_quantity_base": Decimal("0.001"),
            "maker_fee_fraction": Decimal("0.001"),
            "taker_fee_fraction": Decimal("0.001"),
            "is_simulated": True,
            "updated_at": START,
        },
    )
    return Candle.objects.create(
        instrument=instrument,
        timeframe_ms=60_000,
        opened_at=START + minute * MINUTE,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=1.0,
    )


def make_everything():
    """One of each, linked: a decision that was traded and one that was not."""
    run = make_run()
    make_strategy()
    traded = make_decision(run, action="BUY", quantity_base=Decimal("0.5"), reason_code="ENTRY")
    make_decision(run, minute=1, blocking_phase=7, reason_code="CAP", reason="cap was 0.1")
    order = make_order(run, traded, status="FILLED")
    make_fill(order)
    make_lot(run)
    make_trade(run, 5)
    make_equity(run)
    make_candle()
    return run
