"""Writes of a sweep's units: written down when they may run, claimed, stored once, given back.

A unit is worked on by whoever changed its row from free to claimed. ``attempts`` is the fence: who
lost a unit to a later claim stores nothing. Each store passes through the sweep's row, so whoever
stores the last unit of a batch knows that it was the last. Updates ask for columns of the unit
alone: PostgreSQL looks at those again where another held the row first, at a joined table not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from research.claims import CLAIM
from research.core.sweep import Outcome, Unit
from research.errors import ReplayStopped, UnitRefused
from research.models import Sweep, SweepStatus, SweepUnit
from research.services import one_line

MAX_ATTEMPTS = 3
# What was sent and neither begun nor lost for so long is sent again; who gets it twice finds it
# done or claimed.
RESEND = timedelta(seconds=60)


def basis_agree(*, sweep: Sweep, basis: Mapping[str, Any]) -> None:
    """Write down what every unit rests on, or find that this process has the same.

    Raises:
        UnitRefused: the sweep began on something else; the line says on what.
    """
    if Sweep.objects.filter(pk=sweep.pk, basis__isnull=True).update(basis=dict(basis)) == 1:
        return
    begun = Sweep.objects.values_list("basis", flat=True).get(pk=sweep.pk)
    for name in sorted(basis):
        then, here = begun.get(name), basis[name]
        if then != here:
            raise UnitRefused(f"{name} was {_brief(here)} here, the sweep began on {_brief(then)}")


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {str(digest)[:12]}" for name, digest in sorted(value.items()))
    return one_line(str(value))[:80]


def units_plan(*, sweep: Sweep, units: Sequence[Unit]) -> list[SweepUnit]:
    """Write down units that may run now; returns those nobody works on and nobody has done.

    Writing the same unit twice is free: the first row stays.
    """
    SweepUnit.objects.bulk_create(
        [
            SweepUnit(
                sweep=sweep,
                window=unit.window,
                kind=unit.kind,
                number=unit.number,
                parameters=dict(unit.parameters),
            )
            for unit in units
        ],
        ignore_conflicts=True,
    )
    return list(_open(sweep).filter(claimed_until_at=None).order_by("window", "kind", "number"))


def unit_claim(*, sweep: Sweep, worker: str, pk: int | None = None) -> SweepUnit | None:
    """Take one unit that is free or whose worker died; ``pk`` asks for that one.

    None where there is none to take: it is done, somebody else's, or the sweep does not run.
    """
    now = timezone.now()
    is_free = Q(claimed_until_at=None) | Q(claimed_until_at__lt=now)
    free = _open(sweep).filter(is_free)
    if pk is not None:
        free = free.filter(pk=pk)
    for unit in free.order_by("window", "kind", "number")[:8]:
        taken = SweepUnit.objects.filter(
            is_free, pk=unit.pk, attempts=unit.attempts, finished_at=None
        ).update(attempts=F("attempts") + 1, claimed_until_at=now + CLAIM, worker=worker[:120])
        if taken == 1:
            unit.refresh_from_db()
            return unit
    return None


def unit_pulse(*, unit: SweepUnit) -> str:
    """Keep the claim; returns why the work must stop, empty to go on."""
    if _runs(unit.sweep_id) and _mine(unit).update(claimed_until_at=timezone.now() + CLAIM) == 1:
        return ""
    return "no longer its own: paused, aborted or taken over"


def unit_store(*, unit: SweepUnit, outcome: Outcome) -> bool:
    """Store what a claimed unit found, once; returns whether its window has no open unit left.

    Raises:
        ReplayStopped: the sweep was paused or aborted meanwhile, or the unit is another's.
    """
    with transaction.atomic():
        running = Sweep.objects.filter(pk=unit.sweep_id, status=SweepStatus.RUNNING)
        # first the sweep's row, which orders those who store at once
        if running.update(units_done=F("units_done") + 1) != 1:
            raise ReplayStopped(f"the sweep of unit {unit.pk} is not running")
        stored = _mine(unit).update(
            outcome={
                "return_fraction": outcome.return_fraction,
                "trades": outcome.trades,
                "returns": list(outcome.returns),
                "refused": outcome.refused,
                "sharpe": outcome.sharpe,
                "path": outcome.path,
            },
            finished_at=timezone.now(),
            claimed_until_at=None,
        )
        if stored != 1:
            raise ReplayStopped(f"unit {unit.pk} is no longer worked on here")
        return not SweepUnit.objects.filter(
            sweep_id=unit.sweep_id, window=unit.window, finished_at=None
        ).exists()


def unit_free(*, unit: SweepUnit, by_platform: bool = False) -> None:
    """Give a claimed unit back undone, to be sent again.

    It counts as never begun where a person ended its sweep or the platform is stopped
    (``by_platform``); whatever else stops it, such as a claim that could not be kept, is one of
    its ``MAX_ATTEMPTS``.
    """
    is_asked = by_platform or not _runs(unit.sweep_id)
    SweepUnit.objects.filter(
        pk=unit.pk, attempts=unit.attempts, worker=unit.worker, finished_at=None
    ).update(
        claimed_until_at=None,
        sent_at=None,
        attempts=F("attempts") - 1 if is_asked else F("attempts"),
    )


def unit_unsent(*, unit: SweepUnit) -> None:
    """Have a unit that a worker refused sent again by the next knock."""
    SweepUnit.objects.filter(pk=unit.pk, finished_at=None, claimed_until_at=None).update(
        sent_at=None
    )


def units_sent(*, units: Sequence[SweepUnit]) -> None:
    SweepUnit.objects.filter(pk__in=[unit.pk for unit in units], finished_at=None).update(
        sent_at=timezone.now()
    )


def units_tend(*, sweep: Sweep) -> list[SweepUnit]:
    """Take units away from workers that died and return those to be sent (again).

    A unit that ended with three workers ends its sweep; a message that is lost is sent anew when
    nothing else of the sweep has moved for a minute.
    """
    now = timezone.now()
    mine = SweepUnit.objects.filter(sweep=sweep, finished_at=None)
    lapsed = mine.filter(claimed_until_at__lt=now)
    # given back or lapsed; a unit that is held by its last worker may still be done
    stuck = mine.filter(
        Q(claimed_until_at=None) | Q(claimed_until_at__lt=now), attempts__gte=MAX_ATTEMPTS
    ).first()
    if stuck is not None and _runs(sweep.pk):
        _give_up(sweep, stuck)
        return []
    lapsed.update(claimed_until_at=None, sent_at=None)
    units = SweepUnit.objects.filter(sweep=sweep)
    moves = Q(claimed_until_at__isnull=False) | Q(finished_at__gt=now - RESEND)
    wanted = Q(sent_at=None)
    if not units.filter(moves).exists():
        wanted |= Q(sent_at__lt=now - RESEND)
    due = _open(sweep).filter(wanted, claimed_until_at=None)
    return list(due.order_by("window", "kind", "number"))


def _give_up(sweep: Sweep, unit: SweepUnit) -> None:
    """End the sweep; whoever resumes it gives the unit new attempts."""
    SweepUnit.objects.filter(sweep=sweep, finished_at=None).update(
        claimed_until_at=None, sent_at=None, attempts=0
    )
    Sweep.objects.filter(pk=sweep.pk, status=SweepStatus.RUNNING).update(
        status=SweepStatus.FAILED,
        slot=None,
        claimed_until_at=None,
        finished_at=timezone.now(),
        error=f"unit window {unit.window} {unit.kind} {unit.number} ended without a word"
        f" {unit.attempts} times, the last time on {unit.worker}",
    )


def outcomes_of(sweep: Sweep, window: int | None = None) -> list[Outcome]:
    """Return every done unit with what it found, of one window where one is named."""
    done = SweepUnit.objects.filter(sweep=sweep, finished_at__isnull=False)
    return [
        Outcome(
            Unit(row.window, row.kind, row.number, row.parameters),
            row.outcome["return_fraction"],
            row.outcome["trades"],
            tuple(row.outcome["returns"]),
            row.outcome["refused"],
            row.outcome.get("path", ""),
        )
        for row in (done if window is None else done.filter(window=window))
    ]


def _open(sweep: Sweep) -> QuerySet[SweepUnit]:
    return SweepUnit.objects.filter(
        sweep=sweep, sweep__status=SweepStatus.RUNNING, finished_at=None
    )


def _runs(sweep_pk: int) -> bool:
    return Sweep.objects.filter(pk=sweep_pk, status=SweepStatus.RUNNING).exists()


def _mine(unit: SweepUnit) -> QuerySet[SweepUnit]:
    """Return the unit as long as who claimed it has it; whether its sweep runs is asked apart."""
    return SweepUnit.objects.filter(
        pk=unit.pk,
        attempts=unit.attempts,
        worker=unit.worker,
        claimed_until_at__isnull=False,
        finished_at=None,
    )
