"""Limits, breakers and denials as the risk page tells them."""

from __future__ import annotations

from typing import Any

from monitoring.charts import as_float
from monitoring.limit_words import limit_words
from monitoring.wording import NOTHING, percent_words
from trades.models import TradingRun
from trades.selectors.controls import (
    ControlUse,
    control_event_list,
    control_uses,
    denial_list,
)
from trades.selectors.risk import LimitUse, RiskStatus, loss_streaks, risk_status

EVENTS_SHOWN = 30
# from here on the bar warns, as the strip's does
NEAR = 0.7


def risk_board(run: TradingRun | None) -> dict[str, Any]:
    """Return the states of the kill switch, every control with its use, denials and events."""
    status = risk_status(run=run)
    return {
        "status": status,
        "counters": [] if run is None else _counters(run, status),
        "controls": []
        if run is None
        else [control_row(use) for use in control_uses(run=run, status=status)],
        "denials": denial_list(run=run),
        "events": control_event_list()[:EVENTS_SHOWN],
    }


def control_row(found: ControlUse) -> dict[str, Any]:
    return {
        "id": found.control.id,
        "name": found.control.name,
        "what": found.control.what,
        "uses": [use_row(use) for use in found.uses],
        "settings": [_setting_row(key, value) for key, value in found.settings],
        "struck_day": found.struck_day,
        "struck_week": found.struck_week,
    }


def use_row(use: LimitUse) -> dict[str, Any]:
    """Return a limit in words with the share of its bar; ``width`` is None where the use is not
    known now."""
    share = None
    if use.used is not None:
        share = use.used / use.limit if use.limit > 0 else float(use.used > 0)
    return {
        "name": limit_words(use.name)[0],
        "limit": _amount(use.limit, use.unit),
        "used": _amount(use.used, use.unit),
        "left": _amount(use.left, use.unit),
        "unit": use.unit.removeprefix("fraction "),
        "width": None if share is None else min(share, 1.0),
        "level": "" if share is None or share < NEAR else "near" if share < 1 else "over",
    }


def _counters(run: TradingRun, status: RiskStatus) -> list[dict[str, str]]:
    point = status.equity
    uses = {use.name: use for use in status.limits}
    streaks = loss_streaks(run)
    longest = max(streaks.items(), key=lambda row: row[1], default=None)
    day = None if point is None else as_float(point.day_pnl_quote)
    return [
        {
            "title": "Result today",
            "text": NOTHING if day is None else f"{day:+,.2f}".replace("-", "\N{MINUS SIGN}"),
            "note": f"{run.quote}, UTC day of venue time",
            "tone": "" if not day else "up" if day > 0 else "down",
        },
        {
            "title": "Loss this week",
            "text": _used(uses, "max_week_loss"),
            "note": "since Monday, venue time",
            "tone": "",
        },
        {
            "title": "Drawdown",
            "text": _used(uses, "max_drawdown"),
            "note": "from the peak that counts",
            "tone": "",
        },
        {
            "title": "Losses in a row",
            "text": "0" if longest is None else str(longest[1]),
            "note": ", ".join(f"{code} {n}" for code, n in streaks.items()) or "no strategy",
            "tone": "",
        },
        {
            "title": "Entries",
            "text": _used(uses, "max_orders_per_day"),
            "note": f"last 24 h, {_used(uses, 'max_orders_per_hour')} in the last hour",
            "tone": "",
        },
        {
            "title": "Positions",
            "text": str(len(status.positions)),
            "note": f"{_used(uses, 'max_open_orders')} entry orders open",
            "tone": "",
        },
    ]


def _used(uses: dict[str, LimitUse], name: str) -> str:
    use = uses[name]
    return _amount(use.used, use.unit)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    return percent_words(value, 2) if unit.startswith("fraction") else f"{value:,.6g}"


def _setting_row(key: str, value: Any) -> tuple[str, str]:
    """Return a threshold in words and as it is configured, with the unit of a time."""
    words, unit = limit_words(key)
    told = _setting(key, value)
    return words, f"{told} {unit}" if unit in ("seconds", "ms", "minutes", "days") else told


def _setting(key: str, value: Any) -> str:
    """Return a setting as it is configured: a fraction as percent, an empty list as no bound."""
    if value is None or (isinstance(value, tuple | list) and not value):
        return "no bound of its own"
    if isinstance(value, tuple | list):
        named = (one if isinstance(one, str) else f"{one[0]}: {' '.join(one[1])}" for one in value)
        return ", ".join(named)
    is_count = key.endswith(("_ms", "_s", "_minutes", "_days", "_trades", "_quote", "_row"))
    number = float(value)
    return f"{number:,g}" if is_count or number > 1 else percent_words(number, 2)
