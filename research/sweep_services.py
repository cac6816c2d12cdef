"""Writes of sweeps: asked for, kept, paused, resumed, ended."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit_record
from research.claims import CLAIM, FREE, still_mine
from research.core.search import Range, ranges_of
from research.errors import ReplayInvalid, SweepInvalid, SweepRefused
from research.models import Sweep, SweepStatus, SweepUnit
from research.requests import request_checked
from research.services import one_line
from strategies.core.errors import StrategyError

MAX_ATTEMPTS = 3
MAX_TRIALS = 500
MAX_FOLDS = 20
MAX_PURGE_BARS = 10_000
MAX_BATCH = 50
_OPEN = (SweepStatus.QUEUED, SweepStatus.RUNNING, SweepStatus.PAUSED)


def sweep_start(*, given: Mapping[str, Any], folders: Sequence[Path], actor: str) -> Sweep:
    """Queue a sweep; a worker's knock takes it up.

    ``workers`` in ``given``: whether its units go to the research workers, None as the
    installation is set up.

    Raises:
        SweepInvalid: data, strategy, ranges, trials, folds or purge are wrong, a line an error.
        SweepRefused: this person has one that has not ended (SEC-42).
    """
    request = sweep_checked(given, folders)
    wanted = given.get("workers")
    is_spread = settings.SWEEP_WORKERS if wanted is None else bool(wanted)
    with transaction.atomic():
        _require_place(actor[:120])
        sweep = Sweep.objects.create(
            code=uuid.uuid4(),
            request=request,
            actor=actor[:120],
            units_total=request["folds"] * (request["trials"] + 2),
            is_spread=is_spread,
            created_at=timezone.now(),
        )
        _audit("sweep.start", sweep, actor, after={"request": request})
    return sweep


def _require_place(actor: str) -> None:
    """Refuse a second sweep of one person; a paused one counts, or pausing made room for more."""
    if Sweep.objects.filter(actor=actor, status__in=_OPEN).exists():
        raise SweepRefused(
            f"sweeps of {actor} that have not ended were 1, allowed: 1",
            reason_code="sweep_queue_full",
        )


def sweep_checked(given: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the request with every key and its default; nothing is queued.

    Raises:
        SweepInvalid: with one line for everything that was wrong.
    """
    errors: list[str] = []
    request: dict[str, Any] = {}
    strategy = str(given.get("strategy") or "")
    ranges = _ranges(strategy, given.get("ranges") or {}, errors)
    share = given.get("in_sample_share", 0.75)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.3 <= share <= 0.95:
        errors.append(f"in_sample_share was {share}, allowed: a number in 0.3..0.95")
    numbers = {
        name: _whole(name, given.get(name, otherwise), low, high, errors)
        for name, otherwise, low, high in (
            ("trials", 30, 5, MAX_TRIALS),
            ("batch", 5, 1, MAX_BATCH),
            ("folds", 3, 1, MAX_FOLDS),
            ("purge_bars", 100, 0, MAX_PURGE_BARS),
        )
    }
    try:
        replays = {**given, "strategies": [], "predictors": [], "layer": False}
        request = request_checked(replays, folders)
    except ReplayInvalid as error:
        errors += error.lines
    if errors:
        raise SweepInvalid(errors)
    searched = {one.name: [one.low, one.high] for one in ranges}
    own = {"strategy": strategy, "ranges": searched, "in_sample_share": float(share)}
    return request | own | numbers


def _ranges(
    strategy: str, given: Mapping[str, Sequence[float]], errors: list[str]
) -> tuple[Range, ...]:
    """Return the ranges to search; a line an error where one is wrong, and none then."""
    lines = []
    # each by itself, so that each wrong one has its line; an unknown strategy has one
    for asked in [*({name: pair} for name, pair in given.items()), given]:
        try:
            found = ranges_of(strategy, asked)
        except StrategyError as error:
            lines.append(str(error))
    errors += dict.fromkeys(lines)
    return () if lines else found


def _whole(name: str, value: Any, low: int, high: int, errors: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        errors.append(f"{name} was {value}, allowed: a whole number in {low}..{high}")
    return value


def sweep_change(*, sweep: Sweep, to: SweepStatus, actor: str, reason: str) -> None:
    """Pause, resume or abort; units that are stored stay, the one in work is thrown away.

    Raises:
        SweepRefused: no reason, its state does not allow that, or a failed one would be the second
            of its person that has not ended.
    """
    allowed = {
        SweepStatus.PAUSED: (SweepStatus.QUEUED, SweepStatus.RUNNING),
        SweepStatus.QUEUED: (SweepStatus.PAUSED, SweepStatus.FAILED),
        SweepStatus.ABORTED: _OPEN,
    }[to]
    if not reason.strip():
        raise SweepRefused(f"reason was empty, {to.lower()} needs one")
    # whoever resumes gives it new attempts
    fresh = {"attempts": F("attempts") + MAX_ATTEMPTS} if to == SweepStatus.QUEUED else {}
    ended = {"finished_at": timezone.now()} if to == SweepStatus.ABORTED else {}
    with transaction.atomic():
        if to == SweepStatus.QUEUED and sweep.status == SweepStatus.FAILED:
            _require_place(sweep.actor)
        changed = Sweep.objects.filter(pk=sweep.pk, status__in=allowed).update(
            status=to, error=one_line(reason), **FREE, **fresh, **ended
        )
        if changed != 1:
            sweep.refresh_from_db()
            raise SweepRefused(f"sweep was {sweep.status}, allowed: {', '.join(allowed)}")
        _audit(f"sweep.{to.lower()}", sweep, actor, reason=reason.strip())


def sweep_reap() -> int:
    """Take sweeps away from processes that died; they go on after their last stored unit.

    One that is spread has no process of its own: the knock holds it, its units have their workers.
    """
    now = timezone.now()
    lost = Sweep.objects.filter(
        status=SweepStatus.RUNNING, claimed_until_at__lt=now, is_spread=False
    )
    ended = 0
    for sweep in lost:
        # a person who resumes it gives it as many attempts again
        stuck = sweep.attempts % MAX_ATTEMPTS == 0
        after = {"status": SweepStatus.FAILED, "finished_at": now} if stuck else {}
        ended += Sweep.objects.filter(
            pk=sweep.pk, attempts=sweep.attempts, claimed_until_at__lt=now
        ).update(
            **{"status": SweepStatus.QUEUED, **after},
            error=f"attempt {sweep.attempts} ended without a word",
            **FREE,
        )
    return ended


def sweep_pulse(*, sweep: Sweep, worker: str = "") -> str:
    """Keep the claim, and that of the unit ``worker`` has; returns why the work must stop, empty
    to go on."""
    until_at = timezone.now() + CLAIM
    if still_mine(sweep).update(claimed_until_at=until_at) == 1:
        SweepUnit.objects.filter(
            sweep=sweep, worker=worker, claimed_until_at__isnull=False, finished_at=None
        ).update(claimed_until_at=until_at)
        return ""
    return "no longer its own: paused, aborted or taken over"


def sweep_note(*, sweep: Sweep, line: str) -> None:
    """Show on a running sweep what keeps its units from being worked on."""
    Sweep.objects.filter(pk=sweep.pk, status=SweepStatus.RUNNING).update(error=one_line(line))


def sweep_end(
    *, sweep: Sweep, result: Mapping[str, Any] | None, error: str = "", code: str
) -> None:
    """Close a sweep: done with its result, or failed with one line."""
    still_mine(sweep).update(
        status=SweepStatus.FAILED if result is None else SweepStatus.DONE,
        result=None if result is None else dict(result),
        error=one_line(error),
        code_version=code,
        finished_at=timezone.now(),
        **FREE,
    )


def sweep_end_upgraded(*, sweep: Sweep, code: str) -> bool:
    """Fail a sweep that began on other code than this installation's: no worker takes its units
    any more, and it would hold the place of every other. Returns whether it was ended."""
    begun = (sweep.basis or {}).get("code", code)
    if begun == code:
        return False
    line = f"code was {code} here, the sweep began on {begun}; start it anew"
    sweep_end(sweep=sweep, result=None, error=line, code=code)
    return True


def sweep_release(*, sweep: Sweep) -> None:
    """Give it back: the platform stops, and the next start goes on after the last unit."""
    still_mine(sweep).update(
        status=SweepStatus.QUEUED,
        attempts=F("attempts") - 1,
        error="the platform was stopped, it goes on",
        **FREE,
    )


def _audit(action: str, sweep: Sweep, actor: str, **told: Any) -> None:
    audit_record(actor=actor, action=action, object_type="sweep", object_id=str(sweep.code), **told)
