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
    account = serializers.RegexField(
        r"^[a-z0-9][a-z0-9-]{0,39}\Z",
        required=False,
        help_text="the current run of this account; left out: of main. Not beside run",
    )


class RunListFilters(ListFilters, RunFilter):
    symbol = serializers.CharField(required=False, max_length=40)
    strategy = serializers.CharField(required=False, max_length=40)


def run_of(filters: Mapping[str, Any]) -> TradingRun | None:
    """Return the run that was asked for, else the current one; None where there is none.

    Raises:
        ValidationError: no run has the code that was given, or the account never had one.
    """
    code, account = filters.get("run"), filters.get("account")
    if code is not None and account is not None:
        raise serializers.ValidationError({"account": "was given beside run, allowed: one of them"})
    if code is None:
        run = run_current(account)
        if run is None and account is not None:
            raise serializers.ValidationError({"account": f"was {account}, it never had a run"})
        return run
    run = run_by_code(code)
    if run is None:
        raise serializers.ValidationError(
            {"run": f"was {code}, there is no run of that code; runs/ lists them"}
        )
    return run
