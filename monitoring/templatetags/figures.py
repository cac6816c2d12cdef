"""Filters of the pages that show measures."""

from __future__ import annotations

from django import template

from monitoring.limit_words import limit_figure
from monitoring.wording import figure_words, measure_words, percent_words, size_words

register = template.Library()
register.filter("measure", measure_words)
register.filter("size", size_words)
register.filter("percent", percent_words)
register.filter("limit", limit_figure)


@register.filter
def figure(value: float | None, key: str) -> str:
    """Return a value in the unit its key has: ``{{ row.value|figure:row.key }}``."""
    return figure_words(key, value)
