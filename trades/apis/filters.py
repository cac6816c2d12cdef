"""What the lists of this room have in common: they show one run, never a mix of modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from accounts.paging import ListFilters
from trades.models import TradingRun
from trades.selectors import run_by_code, run_current


class RunFilter(serializers.Serializer):
    run = serializers.UUIDField(required=False, help_text="a run's code; left out: the current")


class RunListFilters(ListFilters, RunFilter):
    symbol = serializers.CharField(required=False, max_length=40)
    strategy = serializers.CharField(required=False, max_length=40)


def run_of(filters: Mapping[str, Any]) -> TradingRun | None:
    """Return the run that was asked for, else the current one; None where there is none.

    Raises:
        ValidationError: no run has the code that was given.
    """
    code = filters.get("run")
    if code is None:
        return run_current()
    run = run_by_code(code)
    if run is None:
        raise serializers.ValidationError(
            {"run": f"was {code}, there is no run of that code; runs/ lists them"}
        )
    return run
