"""Subjects and texts of messages: plain words with numbers, no secrets, no markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from notifications.core.events import Event, Severity

NOTHING = "\N{EN DASH}"
_CENT = Decimal("0.01")
_SIGNS = {Severity.CRITICAL: "[CRITICAL] ", Severity.WARNING: "[warning] ", Severity.INFO: ""}
_LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order that ended with something filled. Money in quote; ``pnl`` of an exit, net of fees,
    None where no closed trade is stored for it."""

    badge: str
    side: str
    symbol: str
    strategy: str
    quantity: Decimal
    price: Decimal | None
    quote: str
    reason: str
    pnl: Decimal | None = None
    r_multiple: float | None = None


@dataclass(frozen=True, slots=True)
class DayFacts:
    """What a summary tells of one run. ``trades`` and ``pnl`` count since the summary before;
    equity, drawdown and positions are those of now, None before the first event."""

    badge: str
    venue: str
    quote: str
    trades: int
    wins: int
    pnl: Decimal
    decisions: int
    equity: Decimal | None
    drawdown_fraction: float | None
    positions: int
    alerts_open: int
    state: str


def subject_of(event: Event) -> str:
    """Return the first line of a message: what is critical says so before anything else."""
    return f"{_SIGNS[event.severity]}{event.subject}"[:_LONGEST_SUBJECT]


def amount(value: Decimal | float | None) -> str:
    """Return money with two digits and separators; a dash where there is none."""
    if value is None:
        return NOTHING
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return f"{exact.quantize(_CENT, ROUND_HALF_EVEN):,}"


def plain(value: Decimal | float | None) -> str:
    """Return a price or quantity without trailing zeros and never in powers of ten."""
    if value is None:
        return NOTHING
    text = f"{value if isinstance(value, Decimal) else Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(fraction: float | None) -> str:
    return NOTHING if fraction is None else f"{100 * fraction:.2f} %"


def entry_words(facts: OrderFacts) -> tuple[str, str]:
    """Return subject and text of an entry that ended."""
    subject = f"{facts.badge} entry: {facts.side} {plain(facts.quantity)} {facts.symbol}"
    text = f"{facts.strategy} at {plain(facts.price)} {facts.quote}"
    if facts.price is not None:
        text += f", {amount(facts.quantity * facts.price)} {facts.quote}"
    return subject, f"{text}\n{facts.reason}" if facts.reason else text


def exit_words(facts: OrderFacts, *, is_stop: bool) -> tuple[str, str]:
    """Return subject and text of an exit that ended, with its result where one is stored."""
    word = "stop hit" if is_stop else "exit"
    subject = f"{facts.badge} {word}: {facts.side} {plain(facts.quantity)} {facts.symbol}"
    if facts.pnl is not None:
        subject += f", {facts.pnl.quantize(_CENT, ROUND_HALF_EVEN):+,} {facts.quote}"
    text = f"{facts.strategy} at {plain(facts.price)} {facts.quote}"
    if facts.r_multiple is not None:
        text += f", {facts.r_multiple:+.2f} R"
    return subject, f"{text}\n{facts.reason}" if facts.reason else text


def day_words(runs: Sequence[DayFacts], since: str) -> tuple[str, str]:
    """Return subject and text of a summary of all open runs; says so where none is open."""
    if not runs:
        return "Daily summary: no run is open", f"Since {since}."
    traded = sum(run.trades for run in runs)
    head = f"Daily summary: {traded} {'trade' if traded == 1 else 'trades'}"
    if len({run.quote for run in runs}) == 1:
        result = sum((run.pnl for run in runs), Decimal(0)).quantize(_CENT, ROUND_HALF_EVEN)
        head += f", {result:+,} {runs[0].quote}"
    lines = [f"Since {since}."]
    for run in runs:
        lines += [
            f"{run.badge} {run.venue}: trading is {run.state}",
            f"{run.trades} trades closed, {run.wins} with a gain, {amount(run.pnl)} {run.quote}"
            f" after fees; {run.decisions} decisions",
            f"equity {amount(run.equity)} {run.quote}, drawdown {percent(run.drawdown_fraction)},"
            f" {run.positions} open positions, {run.alerts_open} open alerts",
        ]
    return head, "\n".join(lines)
