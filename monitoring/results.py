"""The performance of an account as its page tells it: words, units, colours of the heatmap."""

from __future__ import annotations

from typing import Any

from monitoring.wording import NOTHING, percent_words

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAT_STEPS = 4
GROUP_TITLES = {
    "strategy": "Strategy",
    "symbol": "Symbol",
    "regime": "Regime at entry",
    "entry_tag": "Entry tag",
    "exit_reason": "Exit reason",
    "mix_tag": "Entry tag > exit reason",
}
# the list of trades filters by these names
GROUP_FILTERS = {
    "strategy": "strategy",
    "symbol": "symbol",
    "entry_tag": "tag",
    "exit_reason": "exit",
}
# a gain and a loss mean something here; what is only ever positive has no colour
TONED = frozenset({"return", "cagr", "pnl", "expectancy_quote", "expectancy_r"})


def amount_words(value: float | None, signed: bool = False) -> str:
    """Return an amount of money with the digits its size deserves: 12.30, 0.00051."""
    if value is None:
        return NOTHING
    size = abs(value)
    digits = 2 if size >= 0.1 or size == 0 else 4 if size >= 0.001 else 8
    text = f"{value:+,.{digits}f}" if signed and value else f"{value:,.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def unit_words(value: float | None, unit: str) -> str:
    """Return a figure with its unit: ``12.5 %``, ``0.31 R``, ``1,204 trades``, ``9.80 USDT``."""
    if value is None:
        return NOTHING
    if unit == "fraction":
        return percent_words(value, 2).replace("-", "\N{MINUS SIGN}")
    if unit == "ratio":
        return f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")
    if unit == "trades":
        return f"{value:,.0f}"
    if unit in ("R", "times"):
        return f"{value:,.2f} {unit}".replace("-", "\N{MINUS SIGN}")
    return f"{amount_words(value)} {unit}"


def performance_view(found: dict[str, Any]) -> dict[str, Any]:
    """Return the document of an account with what the page shows of it."""
    if found["empty"]:
        return found
    return {
        **found,
        "figure_rows": [_figure(row) for row in found["figures"]],
        "month_names": MONTHS,
        "heat": heat_rows(found["months"], found["years"]),
        "tables": [
            {
                "name": name,
                "title": title,
                "filter": GROUP_FILTERS.get(name, ""),
                "rows": found["groups"][name],
            }
            for name, title in GROUP_TITLES.items()
        ],
    }


def _figure(row: dict[str, Any]) -> dict[str, Any]:
    value = row["value"]
    tone = "" if row["code"] not in TONED or not value else "up" if value > 0 else "down"
    return {
        "title": row["title"],
        "text": unit_words(value, row["unit"]),
        "note": row["why_not"],
        "tone": tone,
    }


def heat_rows(months: list[dict[str, Any]], years: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a year, newest first: twelve cells, each with its step of colour from the
    largest move of all months; None where nothing was traded."""
    largest = max((abs(row["return_fraction"]) for row in months), default=0.0)
    of_month = {(row["year"], row["month"]): row["return_fraction"] for row in months}
    return [
        {
            "year": row["year"],
            "total": percent_words(row["return_fraction"], 2).replace("-", "\N{MINUS SIGN}"),
            "tone": "up" if row["return_fraction"] > 0 else "down",
            "cells": [_cell(of_month.get((row["year"], month)), largest) for month in range(1, 13)],
        }
        for row in sorted(years, key=lambda row: -row["year"])
    ]


def _cell(value: float | None, largest: float) -> dict[str, str] | None:
    if value is None:
        return None
    step = round(HEAT_STEPS * abs(value) / largest) if largest else 0
    side = "up" if value > 0 else "down" if value < 0 else "flat"
    text = percent_words(value, 2).replace("-", "\N{MINUS SIGN}")
    return {"text": text, "heat": f"{side}-{max(step, 1)}" if value else "flat"}
