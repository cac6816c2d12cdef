"""Reads of replay jobs and sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet

from market.models import Instrument
from market.sources.instruments import timeframe_from_ms
from research.core.sweep import result_digest
from research.data_files import data_file_list
from research.models import ReplayJob, Sweep, SweepStatus, SweepUnit
from trades.models import TradingRun


def replay_list(*, status: str | None = None, actor: str | None = None) -> QuerySet[ReplayJob]:
    """Return jobs newest first, without their reports."""
    rows = ReplayJob.objects.defer("report")
    if status:
        rows = rows.filter(status=status)
    return rows.filter(actor=actor) if actor else rows


def replay_get(code: UUID) -> ReplayJob | None:
    return ReplayJob.objects.filter(code=code).first()


def replays_of(codes: Sequence[UUID]) -> list[ReplayJob]:
    """Return the jobs of these codes, in that order; unknown ones are left out."""
    found = {job.code: job for job in ReplayJob.objects.filter(code__in=codes)}
    return [found[code] for code in codes if code in found]


def sweep_list(*, status: str | None = None) -> QuerySet[Sweep]:
    """Return sweeps newest first."""
    rows = Sweep.objects.all()
    return rows.filter(status=status) if status else rows


def sweep_get(code: UUID) -> Sweep | None:
    return Sweep.objects.filter(code=code).first()


def sweep_digest(sweep: Sweep) -> str:
    """Return the digest of a sweep's result, empty where there is none yet."""
    return "" if sweep.result is None else result_digest(sweep.result)


def sweep_rests(sweep: Sweep) -> bool:
    """Return whether a running sweep has no unit that is worked on or could be: its next ones are
    to be planned."""
    is_running = Sweep.objects.filter(pk=sweep.pk, status=SweepStatus.RUNNING).exists()
    return is_running and not SweepUnit.objects.filter(sweep=sweep, finished_at=None).exists()


def sweep_paths(sweeps: Sequence[Sweep]) -> dict[int, dict[str, int]]:
    """Return by sweep how many of its units took which path, most first.

    A unit whose values were refused took none.
    """
    counted = (
        SweepUnit.objects.filter(sweep__in=[sweep.pk for sweep in sweeps])
        .order_by()
        .values_list("sweep_id", "outcome__path")
        .annotate(units=Count("id"))
    )
    found: dict[int, dict[str, int]] = {sweep.pk: {} for sweep in sweeps}
    for sweep_id, path, units in sorted(counted, key=lambda row: (-row[2], str(row[1]))):
        if path:
            found[sweep_id][path] = units
    return found


def data_folders() -> list[Path]:
    """Return the folders whose files a replay may read."""
    return [Path(folder) for folder in settings.RESEARCH_DATA_FOLDERS]


def source_choices() -> dict[str, Any]:
    """Return what the form offers: files of the data folders, and venues with their symbols."""
    venues: dict[str, list[str]] = {}
    for venue, symbol in Instrument.objects.order_by("venue", "symbol").values_list(
        "venue", "symbol"
    ):
        venues.setdefault(venue, []).append(symbol)
    return {"files": data_file_list(data_folders()), "venues": venues}


def stored_choice(venues: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return a form's entries that replay what the newest run stored, else the first venue's."""
    run = TradingRun.objects.filter(venue__in=list(venues)).order_by("-pk").first()
    if run is None:
        return {"venue": next(iter(venues))}
    return {
        "venue": run.venue,
        "symbols": ", ".join(run.symbols),
        "timeframe": timeframe_from_ms(run.timeframe_ms),
    }
