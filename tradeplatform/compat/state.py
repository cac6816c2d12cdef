"""What the run is, holds and may do, in freqtrade's documents."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import FloatField, Sum
from django.db.models.functions import Cast

from market.selectors import candle_list
from market.sources.instruments import timeframe_from_ms
from monitoring.charts import as_float, as_ms
from monitoring.models import Heartbeat
from monitoring.selectors import control_status
from resources.selectors import sample_newest
from tradeplatform.compat.documents import date_text, percent
from tradeplatform.compat.selectors import ZERO, Entry, instruments_of
from tradeplatform.version import RELEASE
from trades.models import EntryLock, Fill, Mode, TradingRun
from trades.selectors import equity_latest, position_list
from trades.selectors.requests import growth

# Of freqtrade's interface: what came later is hidden by programs that see this number.
API_VERSION = 2.34
_STATES = {"ACTIVE": "running", "REDUCING": "paused", "HALTED": "stopped"}
TRADING_HEART = "trading"


def config_document(run: TradingRun) -> dict[str, Any]:
    """Return ``show_config``: what a program needs to know of the bot before it asks further."""
    timeframe = timeframe_from_ms(run.timeframe_ms)
    trading = run.config.get("trading") or {}
    return {
        "version": RELEASE,
        "api_version": API_VERSION,
        "dry_run": run.mode != Mode.LIVE,
        "runmode": "live" if run.mode == Mode.LIVE else "dry_run",
        "state": _STATES[control_status(run)["effective_state"]],
        "bot_name": "tradeplatform",
        "exchange": run.venue,
        "trading_mode": "spot",
        "short_allowed": False,
        "stake_currency": run.quote,
        "stake_amount": "unlimited",
        "stake_currency_decimals": _decimals(run),
        "max_open_trades": _risk(run).get("max_open_positions"),
        "timeframe": timeframe,
        "timeframe_ms": run.timeframe_ms,
        "timeframe_min": run.timeframe_ms // 60_000,
        "stoploss_on_exchange": trading.get("resting_stops"),
        "force_entry_enable": False,
        "position_adjustment_enable": False,
        "max_entry_position_adjustment": 0,
        "minimal_roi": {},
        "entry_pricing": {},
        "exit_pricing": {},
    } | dict.fromkeys(
        (
            *("strategy", "strategy_version", "available_capital", "stoploss", "trailing_stop"),
            *("trailing_stop_positive", "trailing_stop_positive_offset"),
            *("trailing_only_offset_is_reached", "unfilledtimeout", "order_types"),
            "use_custom_stoploss",
        )
    )


def balance_document(run: TradingRun) -> dict[str, Any]:
    """Return ``balance``: cash and what the run's books hold, marked at the last close."""
    point = equity_latest(run=run)
    cash = run.starting_cash_quote if point is None else point.cash_quote
    equity = run.starting_cash_quote if point is None else point.equity_quote
    grown = growth(
        start_quote=run.starting_cash_quote,
        equity_quote=equity,
        adjustments=list(run.adjustments.order_by("pk")),
    )
    return {
        "currencies": [_balance(run.quote, run.quote, cash, cash), *_holdings(run)],
        "total": as_float(equity),
        "total_bot": as_float(equity),
        "symbol": "",
        "value": None,
        "value_bot": None,
        "stake": run.quote,
        "note": "Simulated balances" if run.is_simulated else "",
        "starting_capital": as_float(run.starting_cash_quote),
        "starting_capital_ratio": grown,
        "starting_capital_pct": percent(grown),
        "starting_capital_fiat": None,
        "starting_capital_fiat_ratio": None,
        "starting_capital_fiat_pct": None,
    }


def count_document(run: TradingRun, entries: list[Entry]) -> dict[str, Any]:
    return {
        "current": len(entries),
        "max": _risk(run).get("max_open_positions"),
        "total_stake": as_float(sum((entry.stake_quote for entry in entries), ZERO)),
    }


def lock_document(lock: EntryLock, now: datetime) -> dict[str, Any]:
    words = f"{lock.reason} (of {lock.strategy} only)" if lock.strategy else lock.reason
    return {
        "id": lock.pk,
        "active": lock.stands_at(now),
        "pair": lock.symbol,
        "side": "*",
        "reason": words,
        "lock_time": date_text(lock.created_at),
        "lock_timestamp": as_ms(lock.created_at),
        "lock_end_time": date_text(lock.expires_at),
        "lock_end_timestamp": as_ms(lock.expires_at),
    }


def health_document(run: TradingRun) -> dict[str, Any]:
    """Return ``health``: when the trading loop last ended useful work; seconds, as there."""
    heart = Heartbeat.objects.filter(component=TRADING_HEART).first()
    at = None if heart is None else heart.at
    return {
        "last_process": None if at is None else at.isoformat(),
        "last_process_ts": None if at is None else int(at.timestamp()),
        "bot_start": run.started_at.isoformat(),
        "bot_start_ts": int(run.started_at.timestamp()),
        "bot_startup": None,
        "bot_startup_ts": None,
    }


def sysinfo_document() -> dict[str, Any]:
    """Return the newest sample of the machine; freqtrade gives one share a core, we have one."""
    sample = sample_newest()
    values: dict[str, Any] = {} if sample is None else sample.values
    cpu = percent(values.get("host.cpu"))
    return {
        "cpu_pct": [] if cpu is None else [cpu],
        "ram_pct": percent(values.get("host.memory_used")),
    }


def candles_document(
    run: TradingRun, *, pair: str, limit: int, columns: list[str] | None
) -> dict[str, Any]:
    """Return stored candles of one pair as freqtrade's columns and rows, oldest first.

    ``columns`` leaves out what is not named; the date always stays.
    """
    rows = candle_list(venue=run.venue, symbol=pair, timeframe_ms=run.timeframe_ms, limit=limit)
    names = ["date", "open", "high", "low", "close", "volume", "__date_ts"]
    kept = [n for n in names if columns is None or n in ("date", "__date_ts") or n in columns]
    table = [
        {
            "date": f"{row.opened_at:%Y-%m-%dT%H:%M:%SZ}",
            "__date_ts": as_ms(row.opened_at),
            **{name: getattr(row, name) for name in names[1:6]},
        }
        for row in rows
    ]
    first, last = (rows[0].opened_at, rows[-1].opened_at) if rows else (None, None)
    signals = ("enter_long", "exit_long", "enter_short", "exit_short")
    return {
        "strategy": None,
        "pair": pair,
        "timeframe": timeframe_from_ms(run.timeframe_ms),
        "timeframe_ms": run.timeframe_ms,
        "columns": kept,
        "all_columns": names,
        "data": [[row[name] for name in kept] for row in table],
        "length": len(table),
        "last_analyzed": None if run.last_event_at is None else run.last_event_at.isoformat(),
        "last_analyzed_ts": as_ms(run.last_event_at),
        "data_start": date_text(first),
        "data_start_ts": as_ms(first),
        "data_stop": date_text(last),
        "data_stop_ts": as_ms(last),
    } | dict.fromkeys((*(f"{name}_signals" for name in signals), "buy_signals", "sell_signals"))


def volume_quote(run: TradingRun) -> float:
    """Return what every fill of the run moved, in quote; added up by the database."""
    value = Cast("price", FloatField()) * Cast("quantity_base", FloatField())
    moved = Fill.objects.filter(run=run).aggregate(sum=Sum(value, output_field=FloatField()))["sum"]
    return float(moved or 0.0)


def _holdings(run: TradingRun) -> list[dict[str, Any]]:
    held: dict[str, tuple[Decimal, Decimal | None]] = {}
    for position in position_list(run=run):
        base = position.symbol.partition("/")[0]
        quantity, value = held.get(base, (ZERO, ZERO))
        now = position.notional_quote
        added = None if value is None or now is None else value + now
        held[base] = (quantity + position.quantity_base, added)
    return [_balance(base, run.quote, *amounts) for base, amounts in sorted(held.items())]


def _balance(
    currency: str, stake: str, amount: Decimal, value_quote: Decimal | None
) -> dict[str, Any]:
    return {
        "currency": currency,
        "balance": as_float(amount),
        "bot_owned": as_float(amount),
        "free": None,
        "used": None,
        "est_stake": as_float(value_quote),
        "est_stake_bot": as_float(value_quote),
        "stake": stake,
        "side": "long",
        "leverage": 1.0,
        "is_position": False,
        "position": 0.0,
        "is_bot_managed": True,
    }


def _risk(run: TradingRun) -> dict[str, Any]:
    return run.config.get("risk") or {}


def _decimals(run: TradingRun) -> int | None:
    """Return the digits of the finest price of the run's symbols; None where none is known."""
    ticks = [row.tick_size for name, row in instruments_of(run).items() if name in run.symbols]
    digits = [-int(tick.normalize().as_tuple().exponent) for tick in ticks if tick > 0]
    return max(0, *digits) if digits else None
