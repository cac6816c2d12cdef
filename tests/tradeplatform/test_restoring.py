"""Backup and restore of the real database file, with orders on the real practice exchange."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import ApiToken, AuditEvent
from accounts.services import audit_verify, token_create
from accounts.versioned_settings import settings_change
from engine.ports import TradingState
from engine.types.orders import OrderStatus, OrderType
from monitoring.models import Heartbeat
from monitoring.services import heartbeat
from tests.monitoring import factories as make
from tests.practice_process import KEY, SECRET, PracticeProcess, practice_process
from tests.tradeplatform.test_running import started
from tests.trades.order_factory import World, held_fence, lose_lease, make_run
from tradeplatform import backup
from tradeplatform.configuration import Configuration
from tradeplatform.preparation import NotPrepared, check_database_pages, hold_instance_lock
from tradeplatform.run_setup import run_ensure
from trades.brokers.venue_client import VenueClient
from trades.ceilings import SECTION, standing
from trades.invariants import check_all
from trades.lease import lease_acquire
from trades.models import ControlState, ExternalFill, Lease, Order, TradingRun
from trades.services import control_set

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgres" in os.environ.get("DATABASE_URL", ""), reason="restore is for SQLite"
    ),
]


def run_backup(target: Path) -> dict[str, Any]:
    out = StringIO()
    call_command("backup", str(target), "--json", stdout=out, stderr=StringIO())
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


def run_restore(path: Path, *options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("restore", str(path), "--json", *options, stdout=out, stderr=StringIO())
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


def refusal(path: Path) -> str:
    """Return the one line of a refused restore, which must have changed nothing."""
    before = sorted(AuditEvent.objects.values_list("row_hash", flat=True))
    with pytest.raises(CommandError) as error:
        run_restore(path)
    assert error.value.returncode == 2
    assert "\n" not in str(error.value)
    assert sorted(AuditEvent.objects.values_list("row_hash", flat=True)) == before
    return str(error.value)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    token_create(name="kept", scope="read", actor="test")
    run_backup(tmp_path / "saved.zip")
    return tmp_path / "saved.zip"


def test_restore_is_refused_while_a_lease_is_held(saved: Path) -> None:
    """F-043, I-16."""
    run = make_run()
    assert lease_acquire(run=run, holder="worker-1", code_version="test") is not None
    assert "is held by worker-1 until" in refusal(saved)


def test_restore_is_refused_while_the_platform_runs(saved: Path, settings: Any) -> None:
    """F-043: ``up`` and restore hold the same lock."""
    child = os.fork()
    if child == 0:
        hold_instance_lock(Path(settings.VAR_DIR))
        os.write(1, b"")
        threading.Event().wait(30)
        os._exit(0)
    try:
        deadline = timezone.now() + timedelta(seconds=10)
        lock = Path(settings.VAR_DIR) / "up.lock"
        while not (lock.exists() and lock.read_text().strip() == str(child)):
            assert timezone.now() < deadline
        assert f"the platform runs from {settings.VAR_DIR} (pid {child})" in refusal(saved)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        lock.write_text("")


def test_restore_is_refused_after_a_fresh_heartbeat(saved: Path) -> None:
    """F-043: processes started one by one hold no common lock."""
    heartbeat(component="trading", expected_every_s=10)
    assert "trading was at work 0 s ago" in refusal(saved)


def test_damaged_and_foreign_files_are_refused(saved: Path, tmp_path: Path) -> None:
    """F-038, F-043."""
    assert "allowed: an existing backup" in refusal(tmp_path / "absent")
    text = tmp_path / "text"
    text.write_text("hello")
    assert "not a backup of this platform" in refusal(text)
    half = tmp_path / "half"
    half.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    assert "not a backup" in refusal(half)


def repacked(saved: Path, target: Path, **changes: Any) -> Path:
    """Return a copy whose manifest or database says something else."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(target, "w") as other:
        manifest = json.loads(archive.read("manifest.json"))
        database = changes.pop("database", archive.read("database"))
        other.writestr("manifest.json", json.dumps({**manifest, **changes}))
        other.writestr("database", database)
    return target


def test_backup_that_is_not_what_it_says_is_refused(saved: Path, tmp_path: Path) -> None:
    """F-038, F-043, F-090."""
    manifest = backup.manifest_read(saved)
    with zipfile.ZipFile(saved) as archive:
        pages = bytearray(archive.read("database"))
    pages[8192:8200] = b"\xff" * 8
    flipped = repacked(saved, tmp_path / "flipped", database=bytes(pages))
    assert "the database is not the one the manifest describes" in refusal(flipped)
    fewer = repacked(saved, tmp_path / "fewer", counts={**manifest.counts, "trades_order": 7})
    assert "its rows are not those the manifest counts" in refusal(fewer)
    older = [name for name in manifest.migrations if name != "trades.0003_side_books"]
    schema = repacked(saved, tmp_path / "schema", migrations=older)
    assert "schema was another one (trades.0003_side_books is on one side only)" in refusal(schema)
    other = repacked(saved, tmp_path / "other", code_version="0.0.9+abc")
    assert "code version was 0.0.9+abc, allowed:" in refusal(other)
    assert run_restore(other, "--other-version")["state"] == "REDUCING"


def test_restore_brings_nothing_back_that_was_taken_away(saved: Path, client: Any) -> None:
    """SEC-26, F-043: a token revoked since stays revoked, sessions end, a halt stays a halt."""
    kept = ApiToken.objects.get()
    lost, _ = token_create(name="lost", scope="admin", actor="test")
    run_backup(saved.with_name("second.zip"))
    ApiToken.objects.filter(pk=lost.pk).update(revoked_at=timezone.now())
    client.force_login(make.make_user("vera", "viewer"))
    run_backup(saved.with_name("third.zip"))
    control_set(scope="global", state="HALTED", actor="olga", reason="odd prices")
    done = run_restore(saved.with_name("second.zip"))
    assert (done["tokens_revoked"], done["state"]) == (1, "HALTED")
    tokens = dict(ApiToken.objects.values_list("name", "revoked_at"))
    assert tokens["kept"] is None
    assert tokens["lost"] is not None
    done = run_restore(saved.with_name("third.zip"))
    assert done["sessions_ended"] == 1
    assert ControlState.objects.get(scope="global").state == TradingState.HALTED
    assert ApiToken.objects.get(pk=kept.pk).revoked_at is None


def test_restore_raises_no_ceiling_and_lets_no_stop_end_by_itself(tmp_path: Path) -> None:
    """F-043, SEC-45, CTL-22: of each ceiling the stricter holds, and a day's loss of the backup
    waits for a person as everything does after a restore."""
    until = timezone.now() + timedelta(hours=1)

    def stored(**ceilings: str) -> None:
        values = {"ceilings": ceilings, "raise": {"ceilings": {}, "at": until.isoformat()}}
        settings_change(section=SECTION, values=values, actor="ann", reason="x", source="api")

    stored(max_position_size="0.08", loss_streak="2")
    loss: dict[str, Any] = {"reason_code": "DAY_LOSS", "releases_at": until}
    control_set(scope="global", state="REDUCING", actor="breaker", reason="3 % down", **loss)
    run_backup(tmp_path / "saved.zip")
    stored(max_position_size="0.05", loss_streak="4", max_open_positions="1")
    run_restore(tmp_path / "saved.zip")
    held = standing(until)
    assert held.overrides == {
        "max_position_size": Decimal("0.05"),
        "loss_streak": 2,
        "max_open_positions": 1,
    }
    assert held.raised is None
    assert ControlState.objects.get(scope="global").releases_at is None


def test_replaced_database_is_kept_whole_and_the_act_is_audited(saved: Path) -> None:
    """F-043, SEC-33, SEC-34."""
    token_create(name="since", scope="read", actor="test")
    done = run_restore(saved)
    assert not ApiToken.objects.filter(name="since").exists()
    replaced = Path(done["replaced"])
    assert replaced.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(replaced)) as old:
        names = {row[0] for row in old.execute("SELECT name FROM accounts_apitoken")}
    assert names == {"kept", "since"}
    assert AuditEvent.objects.filter(action="database.restore").count() == 1
    assert audit_verify() is None
    leftovers = [p.name for p in Path(connection.settings_dict["NAME"]).parent.iterdir()]
    assert not [name for name in leftovers if name.startswith(".restore-")]


def test_no_worker_of_the_replaced_database_can_commit_afterwards(saved: Path) -> None:
    """I-16, F-010: the restored lease is above every token given out since."""
    run = make_run()
    run_backup(saved.with_name("later.zip"))
    for holder in ("worker-1", "worker-2", "worker-3"):
        fence = lease_acquire(run=run, holder=holder, code_version="test")
        lose_lease(run)
    assert fence is not None
    run_restore(saved.with_name("later.zip"))
    assert Lease.objects.get(run=run).token > fence.token
    time.sleep(0.01)
    fresh = lease_acquire(run=run, holder="worker-4", code_version="test")
    assert fresh is not None
    assert fresh.token > fence.token


@pytest.mark.parametrize("pages", [(0,), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_damaged_database_stops_the_start_and_the_restore_heals_it(
    saved: Path, pages: tuple[int, ...]
) -> None:
    """F-038: with its header gone nothing in it can be asked; no token survives that."""
    name = Path(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with name.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(b"\xde\xad" * 2048)
    try:
        with pytest.raises(NotPrepared, match=r"is damaged .*; run: manage\.py restore FILE"):
            check_database_pages()
    finally:
        done = run_restore(saved)
    check_database_pages()
    assert Path(done["replaced"]).exists()
    assert Path(done["replaced"]).stat().st_mode & 0o077 == 0
    assert ApiToken.objects.filter(name="kept").exists()
    assert done["tokens_revoked"] in ((1,) if pages == (0,) else (0, 1))


@pytest.fixture
def practice(tmp_path: Path) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path / "venue") as process:
        yield process


def test_the_hour_since_the_backup_is_rebuilt_from_the_venue(
    practice: PracticeProcess, tmp_path: Path
) -> None:
    """F-043, I-3, I-19: fills missing after a restore are booked, strangers are told of."""
    world = World(make_run(), practice.client(), practice.status()["server_time_ms"])
    world.broker.submit(first := world.intend(quantity="0.00200"), world.event)
    world.book()
    price = float(practice.client().fetch_ticker("BTC/USDT")["last"])
    resting = world.intend(kind=OrderType.LIMIT, limit=f"{price * 0.998:.2f}", quantity="0.00200")
    world.broker.submit(resting, world.event)
    assert world.order(resting).status == OrderStatus.OPEN

    run_backup(tmp_path / "before.zip")
    while not [
        o
        for o in practice.ledger()["orders"]
        if o["client_id"] == resting.client_order_id and o["status"] == "FILLED"
    ]:
        assert practice.step(5)["stepped"] == 5
    world.book()
    world.broker.submit(unknown := world.intend(quantity="0.00300"), world.event)
    world.book()
    assert world.order(unknown).status == OrderStatus.FILLED
    lose_lease(world.run)
    run_restore(tmp_path / "before.zip")

    assert not Order.objects.filter(client_order_id=unknown.client_order_id).exists()
    assert world.order(resting).status == OrderStatus.OPEN
    assert TradingRun.objects.get(pk=world.run.pk).reconciled_at is None
    after = restarted(world, practice)
    assert after.broker._entries_held(), "no entry before the venue was asked"
    assert after.reconciler.reconcile().is_complete
    after.book(sweep=True)
    assert world.order(first).status == world.order(resting).status == OrderStatus.FILLED
    external = ExternalFill.objects.filter(client_order_id=unknown.client_order_id)
    venue = [f for f in practice.ledger()["fills"] if f["quantity"]]
    assert external.count() > 0
    assert "EXTERNAL_FILL" in after.codes()
    assert external.count() + sum(o.fills.count() for o in Order.objects.all()) == len(venue)


def restarted(world: World, practice: PracticeProcess) -> World:
    """Build the order path anew on the restored rows, as the next start does."""
    again = World.__new__(World)
    again.run = TradingRun.objects.get(pk=world.run.pk)
    again.ccxt_client = practice.client()
    again.now_ms = practice.status()["server_time_ms"]
    again.alerts, again.agreed, again.over = [], [], []
    again.fills_answered, again.monotonic_s = 0, 1_000.0
    again.fence, again.client = held_fence(again.run, "worker-2"), VenueClient(again.ccxt_client)
    again.client.load()
    again.reboot(reconciled=False)
    return again


@pytest.mark.slow
def test_every_invariant_holds_after_real_sessions_traded_across_a_restore(
    practice: PracticeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """F-043, I-3, I-5, I-6: trade, back up, trade more, restore, start; nothing is missing."""
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    url = f"http://127.0.0.1:{practice.admin_port}"
    monkeypatch.setenv("TRADEPLATFORM_PRACTICE_ADMIN_URL", url)
    settings.PRACTICE_URL, settings.LEASE_SECONDS = practice.url, 600
    run = run_ensure(Configuration(), actor="test")

    def trade(fills: int, most_bars: int = 900) -> None:
        """Advance bar by bar until the venue has so many fills."""
        session = started(run)
        for _ in range(most_bars):
            if len(practice.ledger()["fills"]) >= fills:
                break
            practice.step()
            session.advance()
        session.advance()
        session.close()
        assert len(practice.ledger()["fills"]) >= fills, "the market gave nobody a reason"
        lose_lease(run)

    trade(2)
    run_backup(tmp_path / "before.zip")
    trade(len(practice.ledger()["fills"]) + 2)
    # as if the platform had been stopped a while ago
    Heartbeat.objects.update(at=timezone.now() - timedelta(minutes=1))
    run_restore(tmp_path / "before.zip")
    run = TradingRun.objects.get(pk=run.pk)
    missing = len(practice.ledger()["fills"]) - sum(o.fills.count() for o in Order.objects.all())
    assert missing > 0
    session = started(run)
    for _ in range(3):
        practice.step()
        session.advance()
    session.close()
    assert ControlState.objects.get(scope="global").state == TradingState.REDUCING
    assert ExternalFill.objects.count() > 0
    report = check_all()
    assert report.skipped == {}
    assert report.breaches == []
