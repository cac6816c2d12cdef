"""Stored payloads of analyses and decisions, read back whole."""

from __future__ import annotations

from functools import cache
from typing import Any

from trades.feature_names import legend_of
from trades.models import Analysis, Decision
from trades.payloads import Legend, Legends, opinions_in, unpack_analysis, unpack_decision


def legends() -> Legends:
    """Return a look-up that asks the database once for each legend."""

    @cache
    def known(key: str) -> Legend | None:
        return legend_of(key)

    return known


def analysis_document(row: Analysis) -> dict[str, Any]:
    """Return an analysis's records (phases 1-6, 9, 10) and sections."""
    return unpack_analysis(row.payload, legends())


def decision_document(row: Decision) -> dict[str, Any]:
    """Return a decision's records (phases 7, 8), sizing, proposal, policy and inputs."""
    return unpack_decision(row.payload, opinions_in(row.analysis.payload))
