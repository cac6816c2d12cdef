"""A run that has traded for some hours, for looking at real pages."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from django.utils import timezone

from monitoring.models import Alert, Heartbeat
from strategies.models import Strategy
from tests.monitoring import factories as make
from trades.models import TradingRun

HOLD_REASONS = (
    ("CONFLUENCE_LOW", "confluence 1 below the 2 sources needed", 7),
    ("NOT_READY", "market condition held for 4 bars, 10 bars needed", 7),
    ("STRATEGY_SUSPENDED", "strategy is SUSPENDED, entries are not allowed", 7),
)


def build(n_bars: int = 420, seed: int = 11) -> TradingRun:
    rng = np.random.default_rng(seed)
    make.make_strategies()
    Strategy.objects.filter(code="range-reversion").update(
        status="SUSPENDED", status_reason="win rate 22 % over 31 trades", weight=0.1
    )
    Strategy.objects.filter(code="fair-value-gap").update(status="DEGRADED", weight=0.62)
    for code, weight in (("ema-trend", 1.38), ("breakout", 1.12), ("ensemble", 1.55)):
        Strategy.objects.filter(code=code).update(weight=weight)
    run = make.make_run(
        last_event_at=make.START + n_bars * make.MINUTE, reconciled_at=timezone.now()
    )
    equity = np.full(n_bars, 10_000.0)
    for offset, symbol in enumerate(make.SYMBOLS):
        candles = make.make_candles(symbol, n_bars, seed=seed + offset)
        _trade_symbol(run, symbol, candles, rng, equity)
    equity += np.cumsum(rng.normal(0.05, 2.4, n_bars))
    make.make_equity(run, [float(v) for v in equity])
    _surroundings(run)
    return run


def _trade_symbol(run, symbol, candles, rng, equity) -> None:  # type: ignore[no-untyped-def]
    codes = [c for c in make.STRATEGIES if c != "range-reversion"]
    held = None
    for i, candle in enumerate(candles):
        at = candle.opened_at + make.MINUTE
        if held is not None and i - held[0] >= held[1]:
            _close(run, symbol, held, candle, i, equity)
            held = None
        elif held is None and rng.random() < 0.05 and i < len(candles) - 6:
            held = _open(run, symbol, candle, i, str(rng.choice(codes)), rng)
        elif rng.random() < 0.09:
            code, reason, phase = HOLD_REASONS[int(rng.integers(len(HOLD_REASONS)))]
            strategy = "range-reversion" if code.endswith("SUSPENDED") else str(rng.choice(codes))
            make.make_decision(
                run,
                at=at,
                symbol=symbol,
                strategy=strategy,
                reason=reason,
                reason_code=code,
                blocking_phase=phase,
                price=candle.close,
            )
        else:
            make.make_decision(run, at=at, symbol=symbol, strategy="ensemble", price=candle.close)
    if held is not None:
        make.make_lot(
            run,
            symbol=symbol,
            strategy=held[2].strategy,
            quantity_base=held[2].quantity_base,
            entry_price=Decimal(str(held[2].price)),
            stop_price=held[2].stop_price,
            target_price=held[2].target_price,
            opened_at=held[2].bar_close_at,
        )


def _open(run, symbol, candle, i, strategy, rng):  # type: ignore[no-untyped-def]
    decision = make.make_decision(
        run,
        at=candle.opened_at + make.MINUTE,
        symbol=symbol,
        strategy=strategy,
        action="BUY",
        reason=f"pullback held above the fast average, close {candle.close}",
        reason_code="ENTRY",
        price=candle.close,
        confidence=0.6 + 0.3 * float(rng.random()),
        quantity=f"{660 / candle.close:.5f}",
    )
    make.make_fill(run, make.make_order(run, decision))
    return i, int(rng.integers(6, 26)), decision


def _close(run, symbol, held, candle, i, equity) -> None:  # type: ignore[no-untyped-def]
    _, _, entry = held
    reason = "TARGET" if candle.close > entry.price else "STOP"
    decision = make.make_decision(
        run,
        at=candle.opened_at + make.MINUTE,
        symbol=symbol,
        strategy=entry.strategy,
        action="EXIT",
        reason=f"{reason.lower()} reached at {candle.close}",
        reason_code=reason,
        price=candle.close,
        quantity=str(entry.quantity_base),
        confidence=1.0,
    )
    make.make_fill(run, make.make_order(run, decision))
    quantity = entry.quantity_base
    fees = quantity * (Decimal(str(entry.price)) + Decimal(str(candle.close))) / 1000
    pnl = quantity * (Decimal(str(candle.close)) - Decimal(str(entry.price))) - fees
    make.make_trade(
        run,
        symbol=symbol,
        strategy=entry.strategy,
        quantity_base=quantity,
        entry_price=Decimal(str(entry.price)),
        exit_price=Decimal(str(candle.close)),
        fees_quote=fees,
        pnl_quote=pnl,
        r_multiple=float(pnl) / (float(quantity) * entry.price * 0.01),
        exit_reason=reason,
        opened_at=entry.bar_close_at,
        closed_at=decision.bar_close_at,
        entry_order_id=entry.orders.get().client_order_id,
    )
    equity[i:] += 6 * float(pnl)


def _surroundings(run: TradingRun) -> None:
    now = timezone.now()
    Alert.objects.create(
        code="STRATEGY_DEGRADED",
        severity="warning",
        text="Fair value gap is DEGRADED: expectancy -0.12 R over 20 trades",
        dedupe_key="health:fair-value-gap",
        run_code=str(run.code),
        first_at=now,
        last_at=now,
        count=3,
    )
    for component in ("loop", "beat", "practice exchange", "web"):
        Heartbeat.objects.create(component=component, at=now, expected_every_s=60.0)
