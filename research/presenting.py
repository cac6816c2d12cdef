"""What the pages of replays show, made from rows; no arithmetic is left to templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from django.utils import timezone

from research.core.report_html import phase_words, report_html
from research.models import ReplayJob, ReplayStatus

OPEN = (ReplayStatus.QUEUED, ReplayStatus.RUNNING, ReplayStatus.ABORTING)
# name of the figure, its title, whether it is a fraction, whether more is better (None: neither)
FIGURES: tuple[tuple[str, str, bool, bool | None], ...] = (
    ("return_fraction", "Return", True, True),
    ("max_drawdown_fraction", "Max drawdown", True, False),
    ("sharpe", "Sharpe, a year", False, True),
    ("sortino", "Sortino, a year", False, True),
    ("trades", "Closed trades", False, None),
    ("win_rate_fraction", "Won", True, None),
    ("profit_factor", "Profit factor", False, True),
    ("expectancy_r", "Expectancy, R", False, True),
    ("exposure_max_fraction", "Exposure, most", True, None),
    ("proposals", "Proposals", False, None),
    ("filtered", "Filtered", False, None),
    ("orders", "Orders", False, None),
    ("interventions", "Interventions", False, None),
    ("bars", "Bars", False, None),
    ("bars_per_s", "Bars a second", False, None),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one replay and its difference from the first; empty text where none is."""

    value: str
    difference: str
    tone: str


def replay_title(request: Mapping[str, Any]) -> str:
    """Return what was replayed in a few words: files or venue, symbols, bar length."""
    if request["venue"]:
        return f"{', '.join(request['symbols'])} {request['timeframe']} of {request['venue']}"
    names = [PurePosixPath(name).name.split(".")[0] for name in request["data"]]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    chosen = f" ({', '.join(request['symbols'])})" if request["symbols"] else ""
    return f"{', '.join(names[:2])}{more}{chosen}"


def request_lines(job: ReplayJob) -> list[tuple[str, str]]:
    """Return what was asked for in the order of the form, defaults in words."""
    asked = job.request
    predictors = asked["predictors"]
    lines = [
        ("data", ", ".join(asked["data"]) or f"stored candles of {asked['venue']}"),
        ("symbols", ", ".join(asked["symbols"]) or "all of the files"),
        ("timeframe", asked["timeframe"] or "of the files"),
        ("from", asked["from"] or "the first bar"),
        ("to", asked["to"] or "the last bar"),
        ("strategies", ", ".join(asked["strategies"]) or "those of the configuration"),
        ("predictors", "all" if predictors is None else ", ".join(predictors) or "none"),
        ("layer", "on" if asked["layer"] else "off"),
        ("cash", asked["cash"] or "of the configuration"),
        ("slippage", f"{asked['slippage_bps']} bps"),
        ("book", asked["book"]),
        ("seed", str(asked["seed"])),
    ]
    if job.code_version:
        lines += [("code", job.code_version), ("configuration", job.config_digest)]
    return lines


def span_words(report: Mapping[str, Any] | None) -> str:
    """Return the first and the last moment of a report in the person's zone, empty where it has
    none."""
    if not report or report["from_ms"] is None:
        return ""
    first, last = (
        f"{timezone.localtime(datetime.fromtimestamp(report[end] / 1000, UTC)):%Y-%m-%d %H:%M}"
        for end in ("from_ms", "to_ms")
    )
    return f"{first} to {last} {timezone.get_current_timezone_name()}"


def funnel_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps with the share each is of the one before, in percent.

    None where it says nothing: at the first, and where one makes several of the next.
    """
    rows: list[dict[str, Any]] = []
    for step in report["funnel"]:
        before = rows[-1]["n"] if rows else 0
        share = 100.0 * step["n"] / before if 0 < step["n"] <= before else None
        rows.append({**step, "share_percent": share})
    return rows


def refused_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "phase_words": phase_words(row)} for row in report["refused"]]


def trade_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the report's trades newest first, with times and numbers a template can show."""
    return [
        {
            **row,
            "opened_at": datetime.fromtimestamp(row["opened_at_ms"] / 1000, UTC),
            "closed_at": datetime.fromtimestamp(row["closed_at_ms"] / 1000, UTC),
            "pnl": float(row["pnl_quote"]),
            "fees": float(row["fees_quote"]),
        }
        for row in reversed(report["trades"])
    ]


def compared_rows(jobs: Sequence[ReplayJob]) -> list[tuple[str, list[Cell]]]:
    """Return every figure of each replay, with differences from the first of them."""
    results = [job.result or {} for job in jobs]
    return [
        (title, [_cell(results[0].get(name), result.get(name), is_fraction, better, at == 0)
                 for at, result in enumerate(results)])
        for name, title, is_fraction, better in FIGURES
    ]  # fmt: skip


def compared_requests(jobs: Sequence[ReplayJob]) -> list[tuple[str, list[str], bool]]:
    """Return each line of the requests: its values, and whether they differ."""
    columns = [dict(request_lines(job)) for job in jobs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, [column.get(name, "") for column in columns]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]


def _cell(
    first: float | None, value: float | None, is_fraction: bool, better: bool | None, is_first: bool
) -> Cell:
    if value is None:
        return Cell("-", "", "")
    shown = _shown(value, is_fraction)
    if is_first or first is None:
        return Cell(shown, "", "")
    change = value - first
    tone = "" if better is None or change == 0 else "up" if (change > 0) == better else "down"
    return Cell(shown, ("+" if change > 0 else "") + _shown(change, is_fraction), tone)


def _shown(value: float, is_fraction: bool) -> str:
    if is_fraction:
        return f"{100.0 * value:,.2f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def job_report_html(job: ReplayJob) -> str:
    """Return the self-contained page of a finished replay."""
    if job.result is None or job.report is None:
        raise ValueError(f"replay {job.code} was {job.status}, it has no report")
    made = [*request_lines(job), ("replay", str(job.code)), ("notes", job.notes or "-")]
    return report_html(
        title=f"Replay of {replay_title(job.request)}",
        figures=job.result,
        document=job.report,
        made=made,
    )
