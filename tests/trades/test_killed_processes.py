"""SIGKILL at each step of the order path, then a new process on the same database and venue."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.practice_process import PracticeProcess, practice_process
from tests.zygote import Zygote, zygote_started

# What a step would spend its first seconds on, itself left out: it runs as a main module.
PRELOADED = (
    "ccxt",
    "django.core.management.commands.migrate",
    "market.practice.admin",
    "market.practice.server",
    "market.practice.sockets",
    "tests.engine.phases.scene",
    "tests.trades.order_factory",
    "tradeplatform.command_line",
)
INSTALLATION = "abc123"
ENTRY, EXIT, RESTING = (INSTALLATION + digit * 26 for digit in "123")
KILLED = -signal.SIGKILL


@dataclass
class Installation:
    """One database file and one exchange; each step is a process of its own."""

    zygote: Zygote
    environment: dict[str, str]
    practice: PracticeProcess

    def step(
        self, name: str, failpoints: str = "", log: Path | None = None, **more: str
    ) -> tuple[int, dict[str, Any]]:
        argv = (sys.executable, "-m", "tests.trades.order_process", name)
        environment = {
            **self.environment,
            "PRACTICE_TEST_URL": self.practice.url,
            "PRACTICE_TEST_NOW_MS": str(self.practice.status()["server_time_ms"]),
            "TRADEPLATFORM_FAILPOINTS": failpoints,
            **more,
        }
        with ExitStack() as files:
            nothing = files.enter_context(Path(os.devnull).open("rb"))
            said, told = (files.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            written = files.enter_context(log.open("wb")) if log else told
            streams = (nothing.fileno(), said.fileno(), written.fileno())
            code = self.zygote.start(argv, environment, streams).wait()
            said.seek(0)
            told.seek(0)
            assert code in (0, KILLED), told.read().decode()[-2000:]
            return code, json.loads(said.read()) if code == 0 else {}

    def killed_at(self, name: str, failpoint: str) -> None:
        code, _ = self.step(name, f"{failpoint}=kill9")
        assert code == KILLED, f"{name} never came by {failpoint}"

    def recovered(self) -> dict[str, Any]:
        code, rows = self.step("recover")
        assert code == 0
        return rows

    def accepted(self, client_order_id: str) -> list[dict[str, Any]]:
        orders = self.practice.ledger()["orders"]
        return [o for o in orders if o["client_id"] == client_order_id]

    def venue_trades(self) -> list[str]:
        return sorted(str(f["trade_id"]) for f in self.practice.ledger()["fills"])


@dataclass
class Origin:
    """What all installations of this file start from: a forking process and a migrated file."""

    zygote: Zygote
    environment: dict[str, str]
    database: Path
    migrated: Path


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    database, migrated = folder / "db" / "db.sqlite3", folder / "migrated.sqlite3"
    database.parent.mkdir()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings_test",
        # a second thread of a numerical library would not come along in a fork
        "OMP_NUM_THREADS": "1",
        # read once, when the zygote imports the settings: every installation has this name
        "DATABASE_URL": f"sqlite:///{database}",
    }
    zygote = zygote_started(environment, folder / "zygote.log", PRELOADED)
    try:
        with (folder / "migrate.log").open("w+b") as log:
            argv = (sys.executable, "manage.py", "migrate", "-v", "0")
            streams = (log.fileno(), log.fileno(), log.fileno())
            assert zygote.start(argv, environment, streams).wait() == 0
        shutil.move(database, migrated)
        yield Origin(zygote, environment, database, migrated)
    finally:
        zygote.close()


@pytest.fixture
def installation(origin: Origin, tmp_path: Path) -> Iterator[Installation]:
    shutil.rmtree(origin.database.parent)
    origin.database.parent.mkdir()
    shutil.copy(origin.migrated, origin.database)
    with practice_process(tmp_path / "state", zygote=origin.zygote) as practice:
        practice.step(2)
        yield Installation(origin.zygote, origin.environment, practice)


def assert_ledgers_agree(installation: Installation, rows: dict[str, Any]) -> None:
    """I-2, I-3: at most one accepted order an id, and the same trades on both sides."""
    assert rows["fills"] == installation.venue_trades()
    for client_order_id in (ENTRY, EXIT, RESTING):
        assert len(installation.accepted(client_order_id)) <= 1
    assert rows["reconciled"]


@pytest.mark.parametrize("point", ["oms.before_claim", "oms.before_send"])
def test_entry_killed_before_the_wire_expires_and_is_never_sent(
    installation: Installation, point: str
) -> None:
    """F-001: intent on disk, nothing at the venue: a missed entry is cheap."""
    installation.killed_at("enter", point)
    rows = installation.recovered()
    assert rows["orders"][ENTRY] == "EXPIRED"
    assert installation.accepted(ENTRY) == []
    assert_ledgers_agree(installation, rows)


@pytest.mark.parametrize("point", ["oms.before_claim", "oms.before_send"])
def test_exit_killed_before_the_wire_is_sent_once_under_its_own_id(
    installation: Installation, point: str
) -> None:
    """F-001: an exit is never given up for a crash."""
    installation.step("enter")
    installation.killed_at("leave", point)
    rows = installation.recovered()
    assert rows["orders"] == {ENTRY: "FILLED", EXIT: "FILLED"}
    assert len(installation.accepted(EXIT)) == 1
    assert_ledgers_agree(installation, rows)


@pytest.mark.parametrize("point", ["oms.after_send", "oms.after_record"])
@pytest.mark.parametrize(("step", "client_order_id"), [("enter", ENTRY), ("leave", EXIT)])
def test_order_killed_after_the_venue_accepted_is_adopted_never_resent(
    installation: Installation, step: str, client_order_id: str, point: str
) -> None:
    """F-002: found by client id; both of its ledgers agree afterwards."""
    if step == "leave":
        installation.step("enter")
    installation.killed_at(step, point)
    rows = installation.recovered()
    assert rows["orders"][client_order_id] == "FILLED"
    assert len(installation.accepted(client_order_id)) == 1
    assert_ledgers_agree(installation, rows)


@pytest.mark.parametrize("point", ["fills.before", "fills.mid", "event.before_commit"])
def test_kill_within_the_booking_of_a_fill_leaves_all_of_it_or_nothing(
    installation: Installation, point: str
) -> None:
    """F-003: fill row and order change in one transaction; the fill is fetched again."""
    installation.killed_at("enter", point)
    rows = installation.recovered()
    assert rows["orders"][ENTRY] == "FILLED"
    assert rows["filled"][ENTRY] == "0.002"
    assert_ledgers_agree(installation, rows)


def test_kill_after_the_commit_of_a_fill_books_it_once(installation: Installation) -> None:
    """F-003, I-3."""
    installation.killed_at("enter", "event.after_commit")
    rows = installation.recovered()
    assert rows["filled"][ENTRY] == "0.002"
    assert_ledgers_agree(installation, rows)


@pytest.mark.parametrize("point", ["cancel.before_send", "cancel.after_send"])
def test_cancel_killed_on_either_side_of_the_wire_is_resolved_by_query(
    installation: Installation, point: str
) -> None:
    """F-004: PENDING_CANCEL is no ending; a lost request is asked again."""
    installation.killed_at("cancel", point)
    rows = installation.recovered()
    assert rows["orders"][RESTING] == "CANCELED"
    assert [o["status"] for o in installation.accepted(RESTING)] == ["CANCELED"]
    assert_ledgers_agree(installation, rows)


@pytest.mark.parametrize("point", ["recon.start", "recon.each_step", "recon.end"])
def test_reconciliation_killed_half_way_is_done_again_without_traces(
    installation: Installation, point: str
) -> None:
    """F-005, I-8, I-19: and a further one adds no row."""
    installation.killed_at("enter", "oms.after_send")
    installation.killed_at("recover", point)
    rows = installation.recovered()
    assert rows["orders"] == {ENTRY: "FILLED"}
    assert installation.recovered()["events"] == rows["events"]
    assert_ledgers_agree(installation, rows)


def test_orders_and_fills_need_no_log(installation: Installation) -> None:
    """F-097: every line that is logged meets a full disk, and trading is not touched."""
    code, rows = installation.step("enter", log=Path("/dev/full"), LOG_LEVEL="DEBUG")
    assert code == 0
    assert rows["orders"][ENTRY] == "FILLED"
    assert len(installation.accepted(ENTRY)) == 1


def resting_stops(installation: Installation) -> list[tuple[float, float]]:
    """Price and quantity of each stop that is open at the venue."""
    orders = installation.practice.ledger()["orders"]
    return [
        (float(order["stop_price"]), float(order["quantity"]))
        for order in orders
        if order["kind"] == "STOP_LOSS" and order["status"] == "NEW"
    ]


ON_THE_WAY = ["oms.before_claim", "oms.before_send", "oms.after_send", "oms.after_record"]


@pytest.mark.parametrize("point", ON_THE_WAY)
def test_stop_killed_on_its_way_rests_exactly_once_after_the_restart(
    installation: Installation, point: str
) -> None:
    """F-001, F-002, I-20: an open position is never left without its stop for a crash."""
    code, _ = installation.step("protect", f"{point}=kill9@2")
    assert code == KILLED, "the entry passes first, its stop second"
    assert float(settled(installation)["held"]) == 0.002
    assert resting_stops(installation) == [(20_000.0, 0.002)]


@pytest.mark.parametrize(
    "point", ["cancel.before_send", "cancel.after_send", "stop.between", *ON_THE_WAY]
)
def test_stop_killed_while_it_is_replaced_is_there_once_at_the_new_price(
    installation: Installation, point: str
) -> None:
    """F-006, I-20, I-21: whichever of old and new survived, the next start leaves the new one."""
    installation.step("protect")
    assert resting_stops(installation) == [(20_000.0, 0.002)]
    installation.killed_at("move", point)
    rows = settled(installation)
    assert float(rows["held"]) == 0.002
    assert resting_stops(installation) == [(21_000.0, 0.002)]


@pytest.mark.parametrize(
    "point", ["cancel.before_send", "cancel.after_send", "stop.between", *ON_THE_WAY]
)
def test_exit_killed_between_the_end_of_its_stop_and_its_send_leaves_once(
    installation: Installation, point: str
) -> None:
    """F-007, I-21: the position is flat, sold once, and no stop rests for it."""
    installation.step("protect")
    installation.killed_at("flatten", point)
    rows = settled(installation)
    assert rows["orders"][EXIT] == "FILLED"
    assert float(rows["held"]) == 0
    assert resting_stops(installation) == []
    assert len(installation.accepted(EXIT)) == 1


def settled(installation: Installation) -> dict[str, Any]:
    code, rows = installation.step("settle")
    assert code == 0
    assert rows["fills"] == installation.venue_trades()
    return rows
