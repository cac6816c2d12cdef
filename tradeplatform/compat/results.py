"""What the closed trades of a run came to, in the words of freqtrade's programs.

Ratios are of a trade's own stake unless they say otherwise; what is not defined by the trades
there are (a profit factor without a loss) is None.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import fmean
from typing import Any

from monitoring.charts import as_float, as_ms
from tradeplatform.compat.documents import date_text, percent
from tradeplatform.compat.selectors import ZERO, Closed, Entry
from trades.models import TradingRun

Tag = Callable[[Closed], str]
TAGS: dict[str, Tag] = {
    "enter_tag": lambda one: one.strategy,
    "exit_reason": lambda one: one.exit_reason,
    "mix_tag": lambda one: f"{one.strategy} {one.exit_reason}",
}


@dataclass(frozen=True, slots=True)
class Fall:
    """The deepest fall of what closed trades added up to, from its peak; zero where none fell."""

    quote: float = 0.0
    fraction: float = 0.0
    began_at: datetime | None = None
    ended_at: datetime | None = None


def profit_document(
    run: TradingRun, closed: Sequence[Closed], entries: Sequence[Entry], volume_quote: float
) -> dict[str, Any]:
    """Return ``profit``. ``entries`` are the open trades; their profit counts in ``profit_all``,
    which is None where one of them has no price to be marked at."""
    start = float(run.starting_cash_quote)
    done = [one.profit_ratio for one in closed]
    open_ratios, open_quote = _open_profit(entries)
    earned = float(sum((one.pnl_quote for one in closed), ZERO))
    whole = None if open_quote is None else earned + open_quote
    every = None if open_ratios is None else done + open_ratios
    return (
        _profit_figures("closed", earned, done, start)
        | _profit_figures("all", whole, every, start)
        | _dates(run, closed, entries)
        | _quality(closed)
        | _drawdown(deepest_fall(closed, start))
        | {
            "trade_count": len(closed) + len(entries),
            "closed_trade_count": len(closed),
            "trading_volume": as_float(volume_quote),
        }
    )


def breakdown(closed: Sequence[Closed], name: str, tag: Tag) -> list[dict[str, Any]]:
    """Return the results of each tag, the best first."""
    groups: dict[str, list[Closed]] = defaultdict(list)
    for one in closed:
        groups[tag(one)].append(one)
    rows = [{name: key} | _sums(group) for key, group in groups.items()]
    return sorted(rows, key=lambda row: (-row["profit_abs"], row[name]))


def performance_document(closed: Sequence[Closed]) -> list[dict[str, Any]]:
    rows = breakdown(closed, "pair", lambda one: one.pair)
    return [row | {"profit": row["profit_pct"]} for row in rows]


def stats_document(closed: Sequence[Closed]) -> dict[str, Any]:
    """Return wins, losses and draws by exit reason, and mean durations in seconds."""
    reasons: dict[str, dict[str, int]] = {}
    seconds: dict[str, list[float]] = {"wins": [], "draws": [], "losses": []}
    for one in closed:
        outcome = _outcome(one)
        counts = reasons.setdefault(one.exit_reason, {"wins": 0, "losses": 0, "draws": 0})
        counts[outcome] += 1
        seconds[outcome].append((one.closed_at - one.opened_at).total_seconds())
    durations = {name: fmean(found) if found else None for name, found in seconds.items()}
    return {"exit_reasons": reasons, "durations": durations}


def periods_document(
    run: TradingRun, closed: Sequence[Closed], *, unit: str, count: int, now: datetime
) -> dict[str, Any]:
    """Return the last ``count`` periods (``days``, ``weeks``, ``months``) of UTC, newest first.

    A period's starting balance is the run's cash at its start and what was closed before it.
    """
    starts = _starts(now.astimezone(UTC).date(), unit, count)
    rows = []
    until: date | None = None
    for first in starts:
        inside = [
            one
            for one in closed
            if first <= one.closed_at.date() and (until is None or one.closed_at.date() < until)
        ]
        before = sum((one.pnl_quote for one in closed if one.closed_at.date() < first), ZERO)
        balance, earned = run.starting_cash_quote + before, sum((o.pnl_quote for o in inside), ZERO)
        rows.append(
            {
                "date": f"{first:%Y-%m}" if unit == "months" else f"{first:%Y-%m-%d}",
                "abs_profit": as_float(earned),
                "rel_profit": float(earned / balance) if balance > 0 else None,
                "starting_balance": as_float(balance),
                "fiat_value": None,
                "trade_count": len(inside),
            }
        )
        until = first
    return {"data": rows, "fiat_display_currency": "", "stake_currency": run.quote}


def deepest_fall(closed: Sequence[Closed], start: float) -> Fall:
    """Return the largest fall in quote; its fraction is of the balance at the peak before it."""
    total = peak = 0.0
    peak_at = None
    worst = Fall()
    for one in closed:
        total += float(one.pnl_quote)
        if total >= peak:
            peak, peak_at = total, one.closed_at
        elif peak - total > worst.quote:
            balance = start + peak
            fraction = (peak - total) / balance if balance > 0 else 0.0
            worst = Fall(peak - total, fraction, peak_at or one.opened_at, one.closed_at)
    return worst


def _starts(today: date, unit: str, count: int) -> list[date]:
    if unit == "days":
        return [today - timedelta(days=i) for i in range(count)]
    if unit == "weeks":
        monday = today - timedelta(days=today.weekday())
        return [monday - timedelta(weeks=i) for i in range(count)]
    months = [today.year * 12 + today.month - 1 - i for i in range(count)]
    return [date(number // 12, number % 12 + 1, 1) for number in months]


def _open_profit(entries: Sequence[Entry]) -> tuple[list[float] | None, float | None]:
    ratios, total = [], ZERO
    for entry in entries:
        now = entry.unrealised_quote
        if now is None:
            return None, None
        total += entry.realised_quote + now
        ratios.append(float(now / entry.stake_quote) if entry.stake_quote else 0.0)
    return ratios, float(total)


def _profit_figures(
    name: str, quote: float | None, ratios: list[float] | None, start: float
) -> dict[str, Any]:
    mean = fmean(ratios) if ratios else None
    total = sum(ratios) if ratios is not None else None
    of_start = quote / start if quote is not None and start > 0 else None
    return {
        f"profit_{name}_coin": quote,
        f"profit_{name}_ratio_mean": mean,
        f"profit_{name}_percent_mean": percent(mean),
        f"profit_{name}_ratio_sum": total,
        f"profit_{name}_percent_sum": percent(total),
        f"profit_{name}_ratio": of_start,
        f"profit_{name}_percent": percent(of_start),
        f"profit_{name}_fiat": None,
    }


def _dates(run: TradingRun, closed: Sequence[Closed], entries: Sequence[Entry]) -> dict[str, Any]:
    opened = [one.opened_at for one in closed] + [entry.opened_at for entry in entries]
    first, last = (min(opened), max(opened)) if opened else (None, None)
    held = [one.closed_at - one.opened_at for one in closed]
    average = sum(held, timedelta()) / len(held) if held else None
    return {
        "first_trade_date": date_text(first),
        "first_trade_humanized": None,
        "first_trade_timestamp": as_ms(first),
        "latest_trade_date": date_text(last),
        "latest_trade_humanized": None,
        "latest_trade_timestamp": as_ms(last),
        "avg_duration": None if average is None else str(average).split(".")[0],
        "bot_start_date": date_text(run.started_at),
        "bot_start_timestamp": as_ms(run.started_at),
    }


def _quality(closed: Sequence[Closed]) -> dict[str, Any]:
    pairs = performance_document(closed)
    best = max(pairs, key=lambda row: row["profit_ratio"], default=None)
    won = [float(one.pnl_quote) for one in closed if one.pnl_quote > 0]
    lost = [-float(one.pnl_quote) for one in closed if one.pnl_quote < 0]
    rate = len(won) / len(closed) if closed else None
    reward = fmean(won) / fmean(lost) if won and lost else None
    return {
        "best_pair": best and best["pair"],
        "best_rate": best and best["profit_pct"],
        "best_pair_profit_ratio": best and best["profit_ratio"],
        "winning_trades": len(won),
        "losing_trades": len(lost),
        "winrate": rate,
        "profit_factor": sum(won) / sum(lost) if lost else None,
        "expectancy": fmean(float(one.pnl_quote) for one in closed) if closed else None,
        "expectancy_ratio": None if reward is None or rate is None else (1 + reward) * rate - 1,
    }


def _drawdown(fall: Fall) -> dict[str, Any]:
    return {
        "max_drawdown": fall.fraction,
        "max_drawdown_abs": fall.quote,
        "max_drawdown_start": date_text(fall.began_at),
        "max_drawdown_start_timestamp": as_ms(fall.began_at),
        "max_drawdown_end": date_text(fall.ended_at),
        "max_drawdown_end_timestamp": as_ms(fall.ended_at),
    }


def _sums(group: Sequence[Closed]) -> dict[str, Any]:
    ratio = sum(one.profit_ratio for one in group)
    return {
        "profit_ratio": ratio,
        "profit_pct": percent(ratio),
        "profit_abs": float(sum((one.pnl_quote for one in group), ZERO)),
        "count": len(group),
    }


def _outcome(one: Closed) -> str:
    if one.pnl_quote > 0:
        return "wins"
    return "losses" if one.pnl_quote < 0 else "draws"
