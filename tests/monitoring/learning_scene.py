"""What pages of learning show: settled opinions, models on their seats, trainings, triggers; and
the book that trades beside a run as if the layer were off."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
from django.conf import settings
from django.utils import timezone

from engine.client_ids import client_order_id
from engine.scoreboard import Scoreboard
from engine.side_books import COUNTERFACTUAL
from engine.types.decisions import Settlement
from strategies.lifecycle import scope_of
from strategies.models import (
    CreditedTrade,
    PredictorEvent,
    PredictorModel,
    SettledBar,
    Stage,
    TrainingJob,
)
from tests.monitoring import factories as make
from trades.models import (
    EquityPoint,
    EvolutionEvent,
    Order,
    SessionState,
    SideEquityPoint,
    SideTrade,
    Trade,
    TradingRun,
)
from trades.records import milliseconds

# how often each source leans the right way
SKILL = {
    "ema-trend": 0.5,
    "breakout": 0.52,
    "forest": 0.57,
    "forest@c0ffee000002": 0.6,
    "gradient-boosting": 0.54,
    "online-linear": 0.55,
    "base-rate": 0.5,
    "last-return": 0.49,
}
EVIDENCE = {
    "n": 200,
    "log_loss_gain": 0.0051,
    "standard_error": 0.0021,
    "p_better": 0.0076,
    "p_worse": 0.9924,
}


def build(run: TradingRun, n_bars: int = 400, seed: int = 3) -> None:
    settle(run, n_bars, seed)
    seat(run)
    EvolutionEvent.objects.create(
        run=run,
        source="gradient-boosting",
        kind="drift",
        text="Brier rose from 0.243 to 0.262",
        value=0.019,
        limit=0.012,
        at=make.START + timedelta(hours=4),
    )


def settle(run: TradingRun, n_bars: int, seed: int) -> None:
    """Settled bars, credited trades, and the scoreboard as the run stored it."""
    rng, board, rows = np.random.default_rng(seed), Scoreboard(), []
    for i in range(n_bars):
        up, regime = int(rng.random() < 0.5), ("TRENDING", "QUIET")[i // 40 % 2]
        at = make.START + i * make.MINUTE
        opinions = {}
        for source, skill in SKILL.items():
            lean = 0.02 + 0.1 * rng.random()
            is_right = rng.random() < skill
            opinions[source] = round(0.5 + lean * (1 if is_right == (up == 1) else -1), 6)
            p, at_ms = opinions[source], milliseconds(at)
            settled = Settlement(
                source, "BTC/USDT", regime, p, up, (p - up) ** 2, at_ms, at_ms + 720_000
            )
            board.record(settled)
        rows.append(
            SettledBar(
                run_code=run.code,
                symbol="BTC/USDT",
                opinion_at=at,
                settled_at=at + 12 * make.MINUTE,
                regime=regime,
                outcome_up=up,
                opinions=opinions,
            )
        )
    SettledBar.objects.bulk_create(rows)
    for i in range(8):
        CreditedTrade.objects.create(
            run_code=run.code,
            trade_id=f"credited {i}",
            strategy="ema-trend",
            symbol="BTC/USDT",
            regime="TRENDING",
            side="BUY",
            pnl_quote=Decimal(3 - i),
            opinions={"forest": 0.6, "ema-trend": 0.4},
            closed_at=make.START + i * make.MINUTE,
        )
    SessionState.objects.update_or_create(
        run=run,
        defaults={
            "payload": {"pipeline": {"scoreboard": board.state()}},
            "event_at": make.START,
        },
    )


def seat(run: TradingRun) -> TrainingJob:
    """A champion and a challenger of one predictor, and a training of another that runs."""
    scope, now = scope_of(run.venue, run.timeframe_ms), timezone.now()
    models = []
    for number, stage in ((1, Stage.CHAMPION), (2, Stage.CHALLENGER)):
        models.append(
            PredictorModel.objects.create(
                digest=f"c0ffee{number:06d}".ljust(64, "0"),
                code="forest",
                scope=scope,
                stage=stage,
                stage_changed_at=now,
                lineage={
                    "family": "forest",
                    "symbols": ["BTC/USDT", "ETH/USDT"],
                    "n_rows": 8_000,
                    "seed": number,
                    "trained_from_ms": 1_772_000_000_000,
                    "parameters": {"trees": 200},
                    "parent": models[0].digest if models else "",
                },
                metrics={"log_loss": 0.6901, "brier": 0.2485, "auc": 0.541},
                payload="{}",
                created_at=now,
            )
        )
        PredictorEvent.objects.create(
            model=models[-1],
            code="forest",
            scope=scope,
            from_stage=Stage.CANDIDATE,
            to_stage=stage,
            reason="log loss better by +0.00510 +- 0.00210 on 200 rows, p 0.0076",
            evidence=EVIDENCE,
            actor="system",
            at=now + timedelta(seconds=number),
        )
    return TrainingJob.objects.create(
        code="neural-network",
        scope=scope,
        period_key="scene",
        run_code=run.code,
        venue=run.venue,
        symbols=run.symbols,
        timeframe_ms=run.timeframe_ms,
        horizon_bars=12,
        until_at=now,
        kind="schedule",
        reason="a day has passed since the last training",
        actor="system",
        seed=1,
        status="RUNNING",
        progress_fraction=0.4,
        attempts=1,
        created_at=now,
    )


# -- the counterfactual book -----------------------------------------------------------------------


def counterfactual(
    run: TradingRun, n_refused: int = 40, seed: int = 9, bar: timedelta = make.MINUTE
) -> None:
    """A book that took every trade of the run at full size, and what the run refused besides.

    The refused ones lost 4 each; every tenth won 10.
    """
    rng = np.random.default_rng(seed)
    lost = {}
    for trade in Trade.objects.filter(run=run):
        side_trade(run, trade.entry_order_id, trade.pnl_quote * 2, trade.opened_at, trade.closed_at)
    for i in range(n_refused):
        at = make.START + (5 + 9 * i) * bar
        while run.decisions.filter(strategy="breakout", bar_close_at=at).exists():
            at += bar
        decision = make.make_decision(
            run,
            at=at,
            strategy="breakout",
            symbol="ETH/USDT",
            reason="quality was 0.412, lowest allowed was 0.6",
            reason_code="LOW_QUALITY",
            blocking_phase=7,
        )
        name = client_order_id(
            settings.INSTALLATION_ID,
            run.account,
            str(run.code),
            decision.strategy,
            decision.symbol,
            milliseconds(at),
            0,
        )
        pnl = Decimal(10) if i % 10 == 9 else Decimal(-4)
        closed = at + 6 * bar
        side_trade(run, name, pnl, at + bar, closed)
        lost[closed] = pnl
    level = 0.0
    points = []
    for point in EquityPoint.objects.filter(run=run).order_by("at"):
        level += float(lost.get(point.at, 0)) + float(rng.normal(0, 0.4))
        points.append(
            SideEquityPoint(
                run=run,
                book=COUNTERFACTUAL,
                at=point.at,
                equity_quote=point.equity_quote + Decimal(str(round(level, 4))),
                exposure_quote=point.exposure_quote,
                drawdown_fraction=0.0,
            )
        )
    SideEquityPoint.objects.bulk_create(points)


def side_trade(run, entry_order_id, pnl, opened_at, closed_at) -> SideTrade:  # type: ignore[no-untyped-def]
    return SideTrade.objects.create(
        run=run,
        book=COUNTERFACTUAL,
        trade_id=f"side {entry_order_id}",
        strategy="breakout",
        symbol="ETH/USDT",
        side="BUY",
        quantity_base=Decimal("0.1"),
        entry_price=Decimal(3_150),
        exit_price=Decimal(3_150),
        fees_quote=Decimal(0),
        pnl_quote=pnl,
        r_multiple=float(pnl) / 4,
        exit_reason="STOP",
        opened_at=opened_at,
        closed_at=closed_at,
        entry_order_id=entry_order_id,
        exit_order_id=f"exit {entry_order_id}"[:40],
    )


def taken(run: TradingRun, *, multiplier: float, pnl: str, i: int = 0) -> Trade:
    """An entry that the run ordered at a multiplier and closed."""
    at = make.START + i * make.MINUTE
    decision = make.make_decision(run, at=at, action="BUY", reason_code="ENTRY", quantity="0.01")
    payload = {"sizing": {"multiplier_applied": multiplier}}
    type(decision).objects.filter(pk=decision.pk).update(payload=payload)
    order: Order = make.make_order(run, decision)
    return make.make_trade(
        run,
        entry_order_id=order.client_order_id,
        pnl_quote=Decimal(pnl),
        opened_at=at,
        closed_at=at + make.MINUTE,
    )
