"""Filters of the pages that show measures."""

from __future__ import annotations

from django import template
from django.utils.timezone import localtime

from monitoring.charts import datetime_of
from monitoring.limit_words import limit_figure
from monitoring.results import amount_words, unit_words
from monitoring.wording import NOTHING, figure_words, measure_words, percent_words, size_words

register = template.Library()
register.filter("measure", measure_words)
register.filter("size", size_words)
register.filter("percent", percent_words)
register.filter("limit", limit_figure)


@register.filter
def figure(value: float | None, key: str) -> str:
    """Return a value in the unit its key has: ``{{ row.value|figure:row.key }}``."""
    return figure_words(key, value)


@register.filter
def moment_of(ts_ms: int | None) -> str:
    """Return venue time of milliseconds in the page's zone, to the minute; a dash for none."""
    return NOTHING if ts_ms is None else f"{localtime(datetime_of(ts_ms)):%Y-%m-%d %H:%M}"


@register.filter
def amount(value: float | None) -> str:
    return amount_words(value)


@register.filter
def signed_amount(value: float | None) -> str:
    return amount_words(value, signed=True)


@register.filter
def ratio(value: float | None) -> str:
    return unit_words(value, "ratio")


@register.filter
def tone(value: float | None) -> str:
    """Return the class of a gain or a loss; empty for neither."""
    return "" if not value else "up" if value > 0 else "down"


@register.filter
def duration(span_ms: float | None) -> str:
    """Return a span in the largest unit that leaves a number above 1: ``3.4 h``."""
    if span_ms is None:
        return NOTHING
    minutes = span_ms / 60_000
    for size, unit in ((1_440, "d"), (60, "h")):
        if minutes >= size:
            return f"{minutes / size:,.1f} {unit}"
    return f"{minutes:,.1f} min"
