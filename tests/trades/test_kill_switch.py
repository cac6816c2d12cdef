"""The kill switch: page, API, command and file, also where the database is locked."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEvent
from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import Purpose, Rejection
from tests.accounts import callers
from tests.trades.order_factory import held_fence, hold, make_intent, make_run, write_intent
from trades import halt_file, oms
from trades.errors import ControlRefused
from trades.kill_switch import changed_or_left
from trades.models import ControlState, Order, OrderEvent
from trades.services import control_set

pytestmark = pytest.mark.django_db(transaction=True)
PROMPT_S = 5.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.VAR_DIR = tmp_path
    # nobody answers there, as with a dead Redis
    settings.REDIS_URL = f"unix://{tmp_path / 'nobody.sock'}"
    return tmp_path


@contextmanager
def locked() -> Iterator[None]:
    """Another process in the middle of a write that does not end."""
    if connection.vendor != "sqlite":
        pytest.skip("a lock of the whole database is SQLite's")
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def states() -> dict[str, str]:
    return dict(ControlState.objects.values_list("scope", "state"))


def claim(purpose: Purpose = Purpose.ENTRY) -> object:
    """Try to send one order, as a worker would."""
    run = make_run()
    side = Side.BUY
    if purpose is Purpose.EXIT:
        hold(run)
        side = Side.SELL
    intent = make_intent(purpose=purpose, side=side)
    write_intent(run, intent)
    return oms.claim_for_send(intent.client_order_id, held_fence(run))


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "state"), [("halt", "HALTED"), ("reduce", "REDUCING"), ("resume", "ACTIVE")]
)
def test_each_command_sets_its_state_with_actor_and_reason(command: str, state: str) -> None:
    """CTL-13, SEC-33, F-103: with Redis dead."""
    if command == "resume":
        control_set(scope="global", state="HALTED", actor="a", reason="before")
    out = io.StringIO()
    call_command(command, reason="odd prices", stdout=out)
    assert out.getvalue() == f"global: {state}\n"
    row = ControlState.objects.get(scope="global")
    assert (row.state, row.reason) == (state, "odd prices")
    assert row.actor.startswith("command:")
    assert AuditEvent.objects.filter(action="control.set", actor=row.actor).count() == 1
    call_command(command, reason="odd prices", stdout=out)
    assert out.getvalue().endswith(f"{state} already\n")


def test_a_command_with_a_wrong_scope_or_no_reason_changes_nothing() -> None:
    """CTL-13"""
    for wrong in ({"scope": "strategy:nobody"}, {"reason": " "}):
        with pytest.raises(CommandError, match="was"):
            call_command("halt", **{"reason": "why", **wrong})
    assert states() == {}


def test_the_command_reaches_one_symbol_alone() -> None:
    """CTL-13"""
    make_run()
    call_command("halt", reason="delisted", scope="symbol:BTC/USDT", stdout=io.StringIO())
    assert states() == {"symbol:BTC/USDT": "HALTED"}


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", list(Purpose))
def test_while_the_file_is_there_nothing_is_sent(folder: Path, purpose: Purpose) -> None:
    """CTL-13, I-9: before anybody has latched it, and looked at right before the send."""
    (folder / "HALT").touch()
    answer = claim(purpose)
    assert isinstance(answer, Rejection)
    assert (answer.code, answer.by_venue) == ("HALTED", False)
    assert Order.objects.get().status == "DENIED"
    assert not OrderEvent.objects.filter(to_status="SENDING").exists()


def test_the_file_is_latched_and_taking_it_away_resumes_nothing(folder: Path) -> None:
    """CTL-13"""
    (folder / "HALT").touch()
    halt_file.latch()
    row = ControlState.objects.get()
    assert (row.scope, row.state, row.actor) == ("global", "HALTED", "file")
    halt_file.latch()
    assert ControlState.objects.get().epoch == row.epoch, "latched once"
    (folder / "HALT").unlink()
    halt_file.latch()
    assert states() == {"global": "HALTED"}
    assert isinstance(claim(), Rejection)


def test_nobody_resumes_beside_the_file(folder: Path) -> None:
    """CTL-13: it would be halted again within a second, and nobody would know why."""
    (folder / "HALT").touch()
    halt_file.latch()
    with pytest.raises(CommandError, match="file HALT is there"):
        call_command("resume", reason="all is well")
    assert states() == {"global": "HALTED"}


def test_without_a_file_nothing_is_written_or_held(folder: Path) -> None:
    """CTL-13"""
    halt_file.latch()
    assert (halt_file.reason(), states()) == ("", {})
    assert isinstance(claim(), oms.Claim)


# -- a locked database -----------------------------------------------------------------------------


def test_a_halt_by_command_does_not_wait_for_a_lock(folder: Path) -> None:
    """CTL-13, F-033: answered within seconds, holding every order, latched when the lock ends."""
    out = io.StringIO()
    with locked():
        began_s = time.monotonic()
        call_command("halt", reason="runaway", scope="global", stdout=out)
        assert time.monotonic() - began_s < PROMPT_S
        assert "holds every order until HALTED is written" in out.getvalue()
        assert halt_file.reason() == "a halt waits in HALT-pending for the database"
    assert states() == {}
    halt_file.latch()
    row = ControlState.objects.get()
    assert (row.state, row.reason) == ("HALTED", "runaway")
    assert row.actor.startswith("command:")
    assert not (folder / "HALT-pending").exists()
    assert halt_file.reason() == ""


def test_a_waiting_halt_of_one_strategy_holds_all_until_it_is_latched_for_that_one() -> None:
    """CTL-13: what cannot be written yet errs on the safe side."""
    make_run()
    halt_file.leave(scope="strategy:ema-trend", state="REDUCING", actor="a", reason="odd")
    assert isinstance(claim(Purpose.EXIT), Rejection)
    halt_file.latch()
    assert states() == {"strategy:ema-trend": "REDUCING"}
    assert isinstance(claim(Purpose.EXIT), oms.Claim)


def test_two_waiting_halts_are_both_latched_and_garbage_halts_everything(folder: Path) -> None:
    """CTL-13"""
    make_run()
    halt_file.leave(scope="symbol:BTC/USDT", state="HALTED", actor="a", reason="one")
    halt_file.leave(scope="strategy:ema-trend", state="HALTED", actor="b", reason="two")
    halt_file.latch()
    assert states() == {"symbol:BTC/USDT": "HALTED", "strategy:ema-trend": "HALTED"}
    (folder / "HALT-pending").write_text('{"scope": "glo')
    halt_file.latch()
    assert states()["global"] == "HALTED"


def test_a_resume_waits_for_the_database() -> None:
    """CTL-13: only what tightens may go by a file."""
    control_set(scope="global", state="HALTED", actor="a", reason="before")
    with locked(), pytest.raises(CommandError, match="the database did not take it"):
        call_command("resume", reason="all is well")
    assert (states(), halt_file.reason()) == ({"global": "HALTED"}, "")


def test_the_page_answers_while_the_database_is_locked() -> None:
    """CTL-13, F-033"""
    client = callers.by_session("operator")
    with locked():
        began_s = time.monotonic()
        answer = client.post(reverse("control"), {"state": "HALTED", "reason": "runaway"})
        took_s = time.monotonic() - began_s
    assert answer.status_code == 302
    assert took_s < PROMPT_S
    assert states() == {}
    halt_file.latch()
    assert states() == {"global": "HALTED"}


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "once"}], ids=["plain", "keyed"])
def test_the_api_answers_while_the_database_is_locked(key: dict[str, str]) -> None:
    """CTL-13, F-033: 202, the halt waits; a resume is told to come back."""
    client = callers.by_token("admin")
    with locked():
        began_s = time.monotonic()
        halted = client.post(
            "/api/v1/control/halt", {"reason": "runaway"}, format="json", headers=key
        )
        took_s = time.monotonic() - began_s
        resumed = client.post(
            "/api/v1/control/resume", {"reason": "well"}, format="json", headers=key
        )
    assert (halted.status_code, halted.json()["state"]) == (202, "HALTED")
    assert took_s < PROMPT_S
    assert resumed.status_code in (400, 503)
    halt_file.latch()
    assert states() == {"global": "HALTED"}


def test_what_waits_for_a_lock_waits_as_long_as_before_afterwards() -> None:
    """The short wait ends with the halt."""

    def wait() -> object:
        with connection.cursor() as cursor:
            cursor.execute(
                "PRAGMA busy_timeout" if connection.vendor == "sqlite" else "SHOW lock_timeout"
            )
            return cursor.fetchone()

    before = wait()
    told = {"scope": "global", "state": "HALTED", "actor": "a", "reason": "b"}
    assert changed_or_left(lambda: wait(), **told) != before
    assert wait() == before
    with pytest.raises(ControlRefused):
        changed_or_left(
            lambda: control_set(**{**told, "state": TradingState.ACTIVE, "reason": ""}), **told
        )
    assert wait() == before
