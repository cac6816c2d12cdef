"""What the screens show, read from rows: the page's truth is here, the socket makes it sooner."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Avg, Case, Count, F, FloatField, IntegerField, Max, Sum, Value, When
from django.db.models.functions import Cast
from django.utils import timezone

from engine.ports import TradingState
from monitoring.charts import (
    as_float,
    as_ms,
    candles,
    equity_curve,
    fill_markers,
    positions,
    trade_spans,
)
from monitoring.components import behind_bars, component_list, loop_quiet_at_ms
from monitoring.decisions import decision_stream, funnel, why_no_trade
from monitoring.layer import layer
from monitoring.models import Alert
from monitoring.silences import silence_of, silences_holding
from strategies.models import Strategy
from trades.core.performance import few_trades
from trades.models import (
    Analysis,
    ControlState,
    Decision,
    EquityPoint,
    Mode,
    Trade,
    TradingRun,
)
from trades.scopes import GLOBAL_SCOPE, account_scope, split
from trades.selectors import automatic_holds, run_newest, run_open_list
from trades.selectors.requests import growth

TRADES_SHOWN = 50
ALERTS_SHOWN = 20
PACE_BARS = 40
PACE_LEAST = 5
BADGES = {
    Mode.LIVE.value: "LIVE",
    Mode.PAPER.value: "PAPER",
    Mode.PRACTICE.value: "SIMULATED",
    Mode.REPLAY.value: "SIMULATED",
}


def run_shown(code: str | None = None, account: str | None = None) -> TradingRun | None:
    """Return the run a page is about: the one asked for, else the newest open one, else the newest;
    of one account where it is named and has a run.

    Replays are shown only when asked for. A code that is none is one of an unknown run: every
    page's address is read here, also by what stands on all of them.
    """
    if code:
        try:
            known = UUID(code)
        except ValueError:
            return None
        return TradingRun.objects.filter(code=known).first()
    runs = TradingRun.objects.exclude(mode=Mode.REPLAY)
    found = None if account is None else run_newest(runs.filter(account=account))
    return found or run_newest(runs)


def account_choices() -> list[dict[str, str]]:
    """Return the open run of each account, for the switch on every page; empty where one trades."""
    runs = run_open_list()
    if len({run.account for run in runs}) < 2:
        return []
    return [
        {"account": run.account, "mode": run.mode, "venue": run.venue, "code": str(run.code)}
        for run in runs
    ]


def run_choices() -> list[TradingRun]:
    return list(TradingRun.objects.exclude(mode=Mode.REPLAY)[:20])


def run_head(run: TradingRun) -> dict[str, Any]:
    return {
        "code": str(run.code),
        "mode": run.mode,
        "badge": BADGES[run.mode],
        "is_simulated": run.is_simulated,
        "venue": run.venue,
        "account": run.account,
        "symbols": run.symbols,
        "quote": run.quote,
        "timeframe_ms": run.timeframe_ms,
        "starting_cash_quote": as_float(run.starting_cash_quote),
        "started_at_ms": as_ms(run.started_at),
        "ended_at_ms": as_ms(run.ended_at),
        "last_event_at_ms": as_ms(run.last_event_at),
        "last_error": run.last_error,
    }


def control_status(run: TradingRun | None = None) -> dict[str, Any]:
    """Return the global trading state, every scope that is not ACTIVE, and the holds that end by
    themselves. ``effective_state`` is what the gate of the run's account goes by for a strategy
    and symbol that are not stopped on their own; scopes of other accounts are left out.

    No row means nobody has changed it: ACTIVE.
    """
    rows = list(ControlState.objects.order_by("scope"))
    own = next((row for row in rows if row.scope == "global"), None)
    state = own.state if own else TradingState.ACTIVE.value
    holds = automatic_holds(run)
    account = "" if run is None else run.account
    rows = [row for row in rows if split(row.scope)[0] in ("", account)]
    over_all = (GLOBAL_SCOPE, account_scope(account))
    standing = [TradingState(row.state) for row in rows if row.scope in over_all]
    if holds:
        standing.append(TradingState.REDUCING)
    worst = max(standing, key=lambda each: each.severity, default=TradingState.ACTIVE)
    return {
        "state": state,
        "effective_state": worst.value,
        "holds": holds,
        "reason": own.reason if own else "",
        "reason_code": own.reason_code if own else "",
        "actor": own.actor if own else "",
        "changed_at_ms": as_ms(own.changed_at) if own else None,
        "releases_at_ms": as_ms(own.releases_at) if own else None,
        "epoch": own.epoch if own else 0,
        "account_scope": account_scope(account) if account else "",
        "scopes": [
            {
                "scope": row.scope,
                "state": row.state,
                "reason": row.reason,
                "reason_code": row.reason_code,
                "actor": row.actor,
                "releases_at_ms": as_ms(row.releases_at),
            }
            for row in rows
            if row.scope != "global" and row.state != TradingState.ACTIVE.value
        ],
    }


def limit_status(run: TradingRun, point: EquityPoint | None) -> dict[str, Any]:
    """Return day loss and drawdown against the run's limits; a limit it does not name is None."""
    risk = run.config.get("risk") or {}
    day_limit = as_float(risk.get("max_day_loss"))
    drawdown_limit = as_float(risk.get("max_total_drawdown"))
    if point is None:
        return {
            "day_pnl_quote": None,
            "day_pnl_fraction": None,
            "day_loss_limit_fraction": day_limit,
            "drawdown_fraction": None,
            "drawdown_limit_fraction": drawdown_limit,
        }
    day_start = float(point.equity_quote - point.day_pnl_quote)
    day_pnl = float(point.day_pnl_quote)
    return {
        "day_pnl_quote": day_pnl,
        "day_pnl_fraction": day_pnl / day_start if day_start > 0 else None,
        "day_loss_limit_fraction": day_limit,
        "drawdown_fraction": as_float(point.drawdown_fraction),
        "drawdown_limit_fraction": drawdown_limit,
    }


def layer_status() -> dict[str, Any]:
    status = layer().status()
    return {"enabled": status["enabled"], "status": status["status"]}


def strip(run: TradingRun | None) -> dict[str, Any]:
    """Return what the strip on top of every page shows, and when it was read: a page that knows
    better keeps what it knows."""
    read_at_ms = as_ms(timezone.now())
    control = control_status(run)
    if run is None:
        empty = dict.fromkeys(
            ("run", "limits", "layer", "behind_bars", "loop_quiet_at_ms", "decision")
        )
        return {**empty, "read_at_ms": read_at_ms, "control": control}
    point = EquityPoint.objects.filter(run=run).order_by("-at").first()
    newest = (
        Decision.objects.filter(run=run)
        .order_by("-bar_close_at", "-id")
        .values("created_at", "bar_close_at", "action", "strategy", "symbol")
        .first()
    )
    return {
        "read_at_ms": read_at_ms,
        "run": run_head(run),
        "control": control,
        "limits": limit_status(run, point),
        "layer": layer_status(),
        "behind_bars": behind_bars(run),
        "loop_quiet_at_ms": loop_quiet_at_ms(run),
        "decision": newest
        and {
            "created_at_ms": as_ms(newest["created_at"]),
            "bar_close_at_ms": as_ms(newest["bar_close_at"]),
        },
    }


def account_head(run: TradingRun) -> dict[str, Any] | None:
    """Return the figures on top of the overview; None before the first equity point."""
    point = EquityPoint.objects.filter(run=run).order_by("-at").first()
    if point is None:
        return None
    worst = EquityPoint.objects.filter(run=run).aggregate(worst=Max("drawdown_fraction"))["worst"]
    equity = float(point.equity_quote)
    grown = growth(
        start_quote=run.starting_cash_quote,
        equity_quote=point.equity_quote,
        adjustments=list(run.adjustments.order_by("pk")),
    )
    return {
        "at_ms": as_ms(point.at),
        "equity": equity,
        "cash": as_float(point.cash_quote),
        "exposure": as_float(point.exposure_quote),
        "exposure_fraction": float(point.exposure_quote) / equity if equity > 0 else None,
        "return_fraction": grown,
        "drawdown_fraction": as_float(point.drawdown_fraction),
        "worst_drawdown_fraction": as_float(worst),
        "day_pnl": as_float(point.day_pnl_quote),
    }


def strategy_board(run: TradingRun) -> list[dict[str, Any]]:
    """Return every strategy with its status, weight and results in this run."""
    pnl = Cast("pnl_quote", FloatField())
    won = Case(When(pnl_value__gt=0, then=Value(1)), default=Value(0), output_field=IntegerField())
    results = {
        row["strategy"]: row
        for row in Trade.objects.filter(run=run)
        .annotate(pnl_value=pnl)
        .annotate(is_win=won)
        .values("strategy")
        .annotate(
            trades=Count("id"),
            wins=Sum("is_win"),
            expectancy_r=Avg("r_multiple"),
            pnl=Sum("pnl_value"),
        )
        .order_by()
    }
    return [_strategy(row, results.get(row.code)) for row in Strategy.objects.all()]


def _strategy(row: Strategy, result: dict[str, Any] | None) -> dict[str, Any]:
    trades = result["trades"] if result else 0
    return {
        "strategy": row.code,
        "name": row.name,
        "status": row.status,
        "status_reason": row.status_reason,
        "status_changed_at_ms": as_ms(row.status_changed_at),
        "weight": row.weight,
        "base_weight": row.base_weight,
        "trades": trades,
        "wins": result["wins"] if result else 0,
        "lacks": few_trades(trades),
        "win_rate_fraction": result["wins"] / trades if result else None,
        "expectancy_r": as_float(result["expectancy_r"]) if result else None,
        "pnl_quote": as_float(result["pnl"]) if result else None,
    }


def trade_row(row: Trade) -> dict[str, Any]:
    """Return one closed trade, in the shape of the ``trades`` topic."""
    return {
        "trade_id": row.trade_id,
        "strategy": row.strategy,
        "symbol": row.symbol,
        "side": row.side,
        "quantity": as_float(row.quantity_base),
        "entry_price": as_float(row.entry_price),
        "exit_price": as_float(row.exit_price),
        "pnl_quote": as_float(row.pnl_quote),
        "r_multiple": as_float(row.r_multiple),
        "closed_at_ms": as_ms(row.closed_at),
        "exit_reason": row.exit_reason,
    }


def alerts_open() -> list[dict[str, Any]]:
    """Return what needs a person, those nobody has seen first; what is silenced is left out."""
    rows = Alert.objects.filter(resolved_at__isnull=True).order_by(
        F("acknowledged_at").asc(nulls_first=True), "-last_at"
    )
    silences = silences_holding(timezone.now())
    told = [row for row in rows if silence_of(row, silences) is None] if silences else rows
    return [
        {
            "id": row.pk,
            "code": row.code,
            "severity": row.severity,
            "text": row.text,
            "count": row.count,
            "first_at_ms": as_ms(row.first_at),
            "last_at_ms": as_ms(row.last_at),
            "is_acknowledged": row.acknowledged_at is not None,
            "is_resolved": False,
        }
        for row in told[:ALERTS_SHOWN]
    ]


def components(now: datetime | None = None) -> list[dict[str, Any]]:
    """Return each component's state: new, up, late (three beats missed), down (ten), paused or
    idle, with the reason where there is one."""
    return [
        {
            "component": row.component,
            "state": row.state.value,
            "age_s": None if row.age_s is None else round(row.age_s, 1),
            "expected_every_s": row.expected_every_s,
            "reason": row.reason,
        }
        for row in component_list(now or timezone.now())
    ]


def price_view(run: TradingRun, symbol: str) -> dict[str, Any]:
    """Return one symbol's candles with the fills and trades that fall on them."""
    bars = candles(run, symbol)
    since = bars["ts_ms"][0] if bars["ts_ms"] else None
    return {
        "symbol": symbol,
        "bars": bars,
        "fills": fill_markers(run, symbol, since),
        "trades": trade_spans(run, symbol, since),
    }


def pace(run: TradingRun) -> dict[str, Any]:
    """Return how many bars of one symbol the run has analysed and how fast they come, in bars a
    second of wall time over the last PACE_BARS; None before PACE_LEAST bars came."""
    rows = Analysis.objects.filter(run=run, symbol__in=run.symbols[:1])
    newest = list(rows.order_by("-id").values_list("created_at", flat=True)[:PACE_BARS])
    span_s = (newest[0] - newest[-1]).total_seconds() if len(newest) >= PACE_LEAST else 0.0
    return {
        "bars_seen": rows.count(),
        "bars_per_s": (len(newest) - 1) / span_s if span_s > 0 else None,
    }


def overview(run: TradingRun | None, symbol: str | None = None) -> dict[str, Any]:
    """Return everything the overview page shows."""
    head = strip(run)
    common = {"strip": head, "alerts": alerts_open(), "components": components()}
    if run is None:
        return {**common, "run": None}
    symbol = symbol if symbol in run.symbols else (run.symbols[0] if run.symbols else None)
    counts = funnel(run)
    speed = pace(run)
    trades = Trade.objects.filter(run=run).order_by("-closed_at", "-id")[:TRADES_SHOWN]
    board = strategy_board(run)
    return {
        **common,
        "run": head["run"],
        "account": account_head(run),
        "pace": speed,
        "price": price_view(run, symbol) if symbol else None,
        "equity": equity_curve(run),
        "positions": positions(run),
        "strategies": board,
        "trades_lack": few_trades(sum(row["trades"] for row in board)),
        "decisions": decision_stream(run),
        "funnel": counts,
        "why_no_trade": why_no_trade(run, counts, head["control"], speed),
        "trades": [trade_row(row) for row in trades],
    }


def stream_snapshot() -> dict[str, Any]:
    """Return the first frame of every socket: the overview of the run shown by default."""
    return overview(run_shown())
