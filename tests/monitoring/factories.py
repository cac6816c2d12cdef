"""Small builders of rows: a run with candles, decisions, orders, trades and equity."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils import timezone

from engine.types.decisions import PHASES
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

VENUE = "practice-test"
SYMBOLS = {"BTC/USDT": 64_000.0, "ETH/USDT": 3_150.0}
MINUTE = timedelta(minutes=1)
STRATEGIES = {
    "ema-trend": "EMA trend",
    "fair-value-gap": "Fair value gap",
    "continuation": "Continuation",
    "range-reversion": "Range reversion",
    "breakout": "Breakout",
    "ensemble": "Ensemble",
}
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


def make_user(username: str = "olga", role: str | None = "operator", **fields: Any) -> Any:
    user = get_user_model().objects.create_user(username, password=PASSWORD, **fields)
    if role:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


def make_run(**fields: Any) -> TradingRun:
    values: dict[str, Any] = {
        "code": uuid.uuid4(),
        "mode": "practice",
        "venue": VENUE,
        "account": "main",
        "symbols": list(SYMBOLS),
        "timeframe_ms": 60_000,
        "quote": "USDT",
        "starting_cash_quote": Decimal("10000"),
        "config": {
            "risk": {"max_day_loss": 0.03, "max_total_drawdown": 0.2},
        },
        "config_digest": "0" * 64,
        "code_version": "test",
        "started_at": timezone.now(),
    }
    return TradingRun.objects.create(**{**values, **fields})


def make_strategies() -> None:
    for code, name in STRATEGIES.items():
        Strategy.objects.get_or_create(
            code=code,
            defaults={"name": name, "status_changed_at": START, "created_at": START},
        )


def make_candles(symbol: str, n_bars: int, *, seed: int = 7, venue: str = VENUE) -> list[Candle]:
    """Make a seeded walk of ``n_bars`` closed minute bars from START on."""
    base, quote = symbol.split("/")
    instrument, _ = Instrument.objects.get_or_create(
        venue=venue,
        symbol=symbol,
        defaults={
            "base": base,
            "quote": quote,
            "tick_size": Decimal("0.01"),
            "lot_size": Decimal("0.00001"),
            "min_notional_quote": Decimal("5"),
            "min_quantity_base": Decimal("0.00001"),
            "maker_fee_fraction": Decimal("0.001"),
            "taker_fee_fraction": Decimal("0.001"),
            "is_simulated": True,
            "updated_at": START,
        },
    )
    rng = np.random.default_rng(seed)
    price = SYMBOLS[symbol]
    rows = []
    for i in range(n_bars):
        opened = price
        price *= math.exp(0.0009 * rng.standard_normal() + 0.0004 * math.sin(i / 34))
        wick = 0.0005 * opened * rng.random(2)
        rows.append(
            Candle(
                instrument=instrument,
                timeframe_ms=60_000,
                opened_at=START + i * MINUTE,
                open=round(opened, 2),
                high=round(max(opened, price) + wick[0], 2),
                low=round(min(opened, price) - wick[1], 2),
                close=round(price, 2),
                volume=round(float(rng.gamma(2.0, 4.0)), 3),
            )
        )
    return Candle.objects.bulk_create(rows)


def make_decision(
    run: TradingRun,
    *,
    at: datetime = START,
    strategy: str = "ema-trend",
    symbol: str = "BTC/USDT",
    action: str = "HOLD",
    reason: str = "nobody proposed",
    reason_code: str = "NO_PROPOSAL",
    blocking_phase: int | None = None,
    price: float = 64_000.0,
    confidence: float = 0.5,
    quantity: str = "0",
) -> Decision:
    analysis, _ = Analysis.objects.get_or_create(
        run=run,
        symbol=symbol,
        bar_close_at=at,
        defaults={
            "price": price,
            "regime": "TRENDING",
            "probability_up": 0.58,
            "payload": analysis_payload(),
            "created_at": timezone.now(),
        },
    )
    entered = Decimal(quantity) > 0
    return Decision.objects.create(
        code=uuid.uuid4(),
        run=run,
        analysis=analysis,
        strategy=strategy,
        symbol=symbol,
        bar_close_at=at,
        action=action,
        confidence=confidence,
        quantity_base=Decimal(quantity),
        price=price,
        stop_price=Decimal(str(round(price * 0.99, 2))) if entered else None,
        target_price=Decimal(str(round(price * 1.02, 2))) if entered else None,
        reason_code=reason_code,
        reason=reason,
        blocking_phase=blocking_phase,
        payload=decision_payload(blocking_phase, quantity, price, reason),
        created_at=timezone.now(),
    )


def analysis_payload() -> dict[str, Any]:
    says = {
        1: ("TRENDING", {"regime": "TRENDING", "volatility": "medium", "risk": "low"}),
        2: ("feature row complete", {"version": "f1", "n_features": 34, "ready": True}),
        3: ("spread 1.8 bps, impact 2.4 bps", {"spread_bps": 1.8, "impact_bps": 2.4}),
        4: ("5 of 6 sources selected", {"selected": 5, "candidates": 6}),
        5: ("agreement 0.74", {"agreement": 0.74, "outliers": ["range-reversion"]}),
        6: ("probability 0.58 with uncertainty 0.06", {"probability_up": 0.58}),
        9: ("3 opinions settled", {"settled": 3}),
        10: ("nothing to evolve", {}),
    }
    return {
        "records": [
            {
                "number": number,
                "name": PHASES[number - 1],
                "status": "skipped" if number == 10 else "passed",
                "duration_us": 40.0 + 31.0 * number,
                "reasons": [{"code": "OK", "text": text, "value": None, "limit": None}],
                "output": output,
            }
            for number, (text, output) in says.items()
        ],
        "sources": [],
        "opinions": [
            {"source": "ema-trend", "probability_up": 0.66, "latency_us": 11.0},
            {"source": "breakout", "probability_up": 0.61, "latency_us": 9.0},
            {"source": "continuation", "probability_up": 0.55, "latency_us": 9.0},
            {"source": "range-reversion", "probability_up": 0.31, "latency_us": 8.0},
            {"source": "online-linear", "probability_up": 0.57, "latency_us": 21.0},
        ],
        "consensus": {
            "probability_up": 0.58,
            "contributors": ["ema-trend", "breakout", "continuation", "online-linear"],
            "weights": [0.38, 0.27, 0.14, 0.21],
            "uncertainty": 0.06,
            "confluence_up": 4,
            "confluence_down": 0,
            "reliable": True,
        },
    }


def decision_payload(
    blocking_phase: int | None, quantity: str, price: float, reason: str
) -> dict[str, Any]:
    size = float(quantity)
    blocked = blocking_phase == 7
    sizing = {
        "base_quantity": size or 500 / price,
        "multiplier_raw": 1.32,
        "multiplier_applied": 1.32,
        "quantity_base": quantity,
        "notional_quote": str(round(size * price, 2)),
        "stop_risk_quote": str(round(size * price * 0.01, 2)),
        "steps": [
            {
                "code": "max_position_size",
                "before_base": (size or 500 / price) * 1.32,
                "after_base": size,
                "text": "notional 660 above the cap of 10 % of equity",
            }
        ],
        "quality": 0.71,
        "denied": {"code": "DENIED", "text": reason, "value": 1.0, "limit": 2.0}
        if blocked
        else None,
    }
    return {
        "records": [
            {
                "number": 7,
                "name": PHASES[6],
                "status": "blocked" if blocked else "reduced",
                "duration_us": 212.0,
                "reasons": [{"code": "CONFLUENCE", "text": reason, "value": 1.0, "limit": 2.0}],
                "output": {"stop_distance_fraction": 0.01, "readiness": "READY"},
            },
            {
                "number": 8,
                "name": PHASES[7],
                "status": "skipped" if blocked else "passed",
                "duration_us": 17.0,
                "reasons": [],
                "output": {},
            },
        ],
        "sizing": sizing if blocking_phase == 7 or size else None,
        "proposal": None,
        "policy": {},
    }


def make_order(run: TradingRun, decision: Decision, **fields: Any) -> Order:
    values: dict[str, Any] = {
        "run": run,
        "decision": decision,
        "client_order_id": uuid.uuid4().hex,
        "strategy": decision.strategy,
        "symbol": decision.symbol,
        "side": "BUY" if decision.action == "BUY" else "SELL",
        "purpose": "entry" if decision.action == "BUY" else "exit",
        "order_type": "market",
        "quantity_base": decision.quantity_base,
        "reference_price": Decimal(str(decision.price)),
        "status": "FILLED",
        "filled_base": decision.quantity_base,
        "average_price": Decimal(str(decision.price)),
        "decided_at": decision.bar_close_at,
        "created_at": timezone.now(),
        "updated_at": timezone.now(),
    }
    return Order.objects.create(**{**values, **fields})


def make_fill(run: TradingRun, order: Order) -> Fill:
    return Fill.objects.create(
        run=run,
        order=order,
        trade_id=uuid.uuid4().hex[:20],
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        price=order.average_price,
        quantity_base=order.quantity_base,
        fee=order.quantity_base * order.average_price / 1000,
        fee_asset="USDT",
        executed_at=order.decided_at,
        applied_at=timezone.now(),
    )


def make_lot(run: TradingRun, **fields: Any) -> Lot:
    values: dict[str, Any] = {
        "run": run,
        "lot_id": uuid.uuid4().hex,
        "strategy": "ema-trend",
        "symbol": "BTC/USDT",
        "side": "BUY",
        "quantity_base": Decimal("0.01"),
        "entry_price": Decimal("64000"),
        "entry_fee_quote": Decimal("0.64"),
        "risk_per_unit_quote": Decimal("640"),
        "stop_price": Decimal("63360"),
        "target_price": Decimal("65280"),
        "opened_at": START,
        "entry_order_id": uuid.uuid4().hex,
    }
    return Lot.objects.create(**{**values, **fields})


def make_trade(run: TradingRun, **fields: Any) -> Trade:
    values: dict[str, Any] = {
        "run": run,
        "trade_id": uuid.uuid4().hex,
        "strategy": "ema-trend",
        "symbol": "BTC/USDT",
        "side": "BUY",
        "quantity_base": Decimal("0.01"),
        "entry_price": Decimal("64000"),
        "exit_price": Decimal("64500"),
        "fees_quote": Decimal("1.285"),
        "pnl_quote": Decimal("3.715"),
        "r_multiple": 0.58,
        "entry_regime": "TRENDING",
        "exit_regime": "TRENDING",
        "exit_reason": "TARGET",
        "opened_at": START,
        "closed_at": START + 10 * MINUTE,
        "entry_order_id": uuid.uuid4().hex,
        "exit_order_id": uuid.uuid4().hex,
    }
    return Trade.objects.create(**{**values, **fields})


def make_equity(
    run: TradingRun, values: list[float], *, start: datetime = START, bar: timedelta = MINUTE
) -> None:
    peak, rows = 0.0, []
    for i, equity in enumerate(values):
        peak = max(peak, equity)
        rows.append(
            EquityPoint(
                run=run,
                at=start + i * bar,
                equity_quote=Decimal(str(round(equity, 4))),
                cash_quote=Decimal(str(round(equity * 0.82, 4))),
                exposure_quote=Decimal(str(round(equity * 0.18, 4))),
                peak_equity_quote=Decimal(str(round(peak, 4))),
                drawdown_fraction=1 - equity / peak,
                day_pnl_quote=Decimal(str(round(equity - values[0], 4))),
            )
        )
    EquityPoint.objects.bulk_create(rows)
