"""What the bot answers: the figures of the page, in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from monitoring import charts, selectors
from monitoring.components import component_list
from monitoring.models import Alert
from notifications.core.wording import amount, percent, plain
from trades.models import Decision, Mode, Trade, TradingRun
from trades.selectors import decision_why_not, position_list

TRADES_SHOWN = 5
NO_RUN = "No run is open."


def open_runs() -> list[TradingRun]:
    """Return the open runs, one an account; replays are nobody's trading."""
    return list(
        TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY).order_by("pk")
    )


def _of_each(tell: Callable[[TradingRun], str]) -> str:
    """Return what is told of each open run, under its account where there are several."""
    runs = open_runs()
    if len(runs) > 1:
        return "\n".join(f"{run.account}:\n{tell(run)}" for run in runs)
    return tell(runs[0]) if runs else NO_RUN


def status_words() -> str:
    """Return mode, trading state, the day against its limit, components that are late, alerts."""
    control = selectors.control_status()
    state = f"Trading: {control['state']}"
    lines = [_of_each(_run_words)]
    lines.append(f"{state}, {control['reason']}" if control["reason"] else state)
    lines += [f"{scope['scope']}: {scope['state']}" for scope in control["scopes"]]
    late = [row for row in component_list(timezone.now()) if row.is_late]
    lines += [f"{row.component} is {row.state} ({row.reason or _age(row.age_s)})" for row in late]
    alerts = Alert.objects.filter(resolved_at__isnull=True)
    lines.append(f"Open alerts: {alerts.count()}")
    lines += [f"[{row.severity}] {row.text}"[:200] for row in alerts.order_by("-last_at")[:3]]
    return "\n".join(lines)


def _age(age_s: float | None) -> str:
    return "never" if age_s is None else f"{age_s:.0f} s"


def _run_words(run: TradingRun) -> str:
    head = selectors.strip(run)
    lines = [f"{head['run']['badge']} {run.venue} {', '.join(run.symbols)}"]
    lines += [f"Entries wait: {hold}" for hold in head["control"]["holds"]]
    lines += _limits(head["limits"])
    if head["decision"]:
        lines.append(f"Last decision: bar of {_time(head['decision']['bar_close_at_ms'])}")
    return "\n".join(lines)


def _limits(limits: dict[str, Any] | None) -> list[str]:
    if limits is None or limits["day_pnl_fraction"] is None:
        return []
    return [
        f"Day: {percent(limits['day_pnl_fraction'])}"
        f" (stops at -{percent(limits['day_loss_limit_fraction'])})",
        f"Drawdown: {percent(limits['drawdown_fraction'])}"
        f" (stops at {percent(limits['drawdown_limit_fraction'])})",
    ]


def position_words() -> str:
    return _of_each(_positions)


def _positions(run: TradingRun) -> str:
    rows = charts.positions(run)
    if not rows:
        return "Nothing is held."
    return "\n".join(
        f"{row['symbol']} {row['side']} {plain(row['quantity'])} at {plain(row['entry_price'])}"
        f" by {row['strategy']}: {_result(row['unrealised_pnl_quote'], run.quote)},"
        f" stop {plain(row['stop_price'])}"
        for row in rows
    )


def _result(pnl_quote: float | None, quote: str) -> str:
    return "no price yet" if pnl_quote is None else f"{amount(pnl_quote)} {quote}"


def trade_words() -> str:
    return _of_each(_trades)


def _trades(run: TradingRun) -> str:
    rows = Trade.objects.filter(run=run).order_by("-closed_at", "-id")[:TRADES_SHOWN]
    if not rows:
        return "No trade was closed yet."
    return "\n".join(
        f"{row.closed_at:%m-%d %H:%M} {row.symbol} {row.strategy}: {amount(row.pnl_quote)}"
        f" {run.quote} ({row.exit_reason})"
        for row in rows
    )


def daily_words() -> str:
    """Return the day's figures by the account's own mark, and the trades of the venue's day."""
    return _of_each(_day)


def _day(run: TradingRun) -> str:
    point = selectors.account_head(run)
    if point is None:
        return "No event was booked yet."
    midnight = charts.datetime_of(point["at_ms"]).replace(hour=0, minute=0, second=0, microsecond=0)
    closed = list(
        Trade.objects.filter(run=run, closed_at__gte=midnight).values_list("pnl_quote", flat=True)
    )
    lines = [
        f"{midnight:%Y-%m-%d} UTC of the venue",
        f"Day: {amount(point['day_pnl'])} {run.quote}, equity {amount(point['equity'])}",
        f"Closed: {len(closed)} trades, {amount(sum(closed))} {run.quote}",
    ]
    return "\n".join([*lines, f"Open positions: {len(position_list(run=run))}"])


def why_words(symbol: str) -> str:
    """Return the newest decision on a symbol of each run and why it was what it was."""
    return _of_each(lambda run: _why(run, symbol))


def _why(run: TradingRun, symbol: str) -> str:
    wanted = _symbol_of(run, symbol)
    if wanted is None:
        return f"Symbol was {symbol[:20] or 'left out'}, allowed: {', '.join(run.symbols)}"
    decision = Decision.objects.filter(run=run, symbol=wanted).order_by("-bar_close_at").first()
    if decision is None:
        return f"Nothing was decided on {wanted} yet."
    answer = decision_why_not(decision)
    head = f"{wanted} {decision.bar_close_at:%m-%d %H:%M} {decision.strategy}: {decision.action}"
    nearest = f"Closest: {answer.nearest_miss}" if answer.nearest_miss else ""
    return "\n".join(part for part in (head, answer.summary, nearest) if part)


def _symbol_of(run: TradingRun, given: str) -> str | None:
    """Return the run's symbol for ``btc``, ``BTCUSDT`` or ``BTC/USDT``; None where none or two."""
    asked = given.upper().replace("-", "/").strip()
    found = [
        symbol
        for symbol in run.symbols
        if asked in (symbol, symbol.replace("/", ""), symbol.partition("/")[0])
    ]
    return found[0] if len(found) == 1 else None


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%m-%d %H:%M} UTC"
