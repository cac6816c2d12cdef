"""SIGKILL at each step of the order path, then a new process on the same database and venue."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.practice_process import PracticeProcess, practice_process

ROOT = Path(__file__).resolve().parents[2]
INSTALLATION = "abc123"
ENTRY, EXIT, RESTING = (INSTALLATION + digit * 26 for digit in "123")
KILLED = -signal.SIGKILL


@dataclass
class Installation:
    """One database file and one exchange; each step is a process of its own."""

    database: Path
    practice: PracticeProcess

    def environment(self, failpoints: str = "") -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings_test",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "PRACTICE_TEST_URL": self.practice.url,
            "PRACTICE_TEST_NOW_MS": str(self.practice.status()["server_time_ms"]),
            "TRADEPLATFORM_FAILPOINTS": failpoints,
        }

    def step(self, name: str, failpoints: str = "") -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.trades.order_process", name],
            cwd=ROOT,
            env=self.environment(failpoints),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, KILLED), done.stderr[-2000:]
        return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {}

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


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "migrated.sqlite3"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{path}"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True
    )
    return path


@pytest.fixture
def installation(migrated: Path, tmp_path: Path) -> Iterator[Installation]:
    with practice_process(tmp_path / "state") as practice:
        practice.step(2)
        yield Installation(Path(shutil.copy(migrated, tmp_path / "db.sqlite3")), practice)


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
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tests.trades.order_process", "enter"],
            cwd=ROOT,
            env={**installation.environment(), "LOG_LEVEL": "DEBUG"},
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=60,
            check=False,
        )
    rows = json.loads(done.stdout)
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
