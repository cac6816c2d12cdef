"""``manage.py up``: starts everything in the foreground; Ctrl-C stops all of it."""

from __future__ import annotations

import json
import math
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from tradeplatform import env, kernel_cache, preparation, processes
from tradeplatform.configuration import Configuration, load_accounts, practice_of
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.credentials import key_variables
from tradeplatform.supervisor import PLAN_VARIABLE

LONGEST_WORKERS = 32
# how each is read, its least and most, and that in words
_NUMBERS: dict[str, tuple[Callable[[Any], float], float, float, str]] = {
    "port": (int, 1, 65_535, "1 to 65535"),
    "speed": (float, 0.001, 10_000, "0.001 to 10000 bars a second"),
    "seed": (int, 0, 2**63 - 1, "0 to 2**63 - 1"),
    "workers": (int, 1, LONGEST_WORKERS, f"1 to {LONGEST_WORKERS}"),
    "research_workers": (int, 0, LONGEST_WORKERS, f"0 to {LONGEST_WORKERS}"),
}


class Command(BaseCommand):
    help = "Start web, workers, beat, broker, watchdog and practice exchange in the foreground."
    # the checks run below, after the configuration; a broken database must not hide its line
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        # text, so that a wrong one is answered here, in one line that knows the name in `make`
        parser.add_argument("--port", default="8000", help="port of the pages and the API")
        parser.add_argument("--data", nargs="*", default=[], metavar="FILE", help="real candles")
        parser.add_argument("--speed", default="1", help="bars a second (practice)")
        parser.add_argument("--seed", default="1", help="of the synthetic market")
        parser.add_argument("--workers", default="1", help="trading worker processes")
        parser.add_argument(
            "--research-workers", default="0", help="processes that share out units of sweeps"
        )

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            accounts = load_accounts(settings.CONFIG_FILE)
            env.refuse_unknown(accounts[0].notifications.secret_names())
            specs, private, lines = self._prepared(accounts, given)
        except (
            ConfigurationError,
            ImproperlyConfigured,
            preparation.NotPrepared,
            kernel_cache.KernelsNotCompiled,
        ) as error:
            raise CommandError(str(error), returncode=2) from error
        plan = {
            "children": processes.as_json(specs),
            "run_dir": str(settings.VAR_DIR / "run"),
            "log_dir": str(settings.VAR_DIR / "log"),
            "private": private,
            "ready_lines": lines,
            "verbose": "LOG_LEVEL" in os.environ,
        }
        os.environ[PLAN_VARIABLE] = json.dumps(plan)
        os.environ.setdefault("LOG_LEVEL", "INFO")
        os.chdir(settings.BASE_DIR)
        self.stdout.flush()
        # The process that outlives the others carries neither Django nor Celery.
        supervisor = str(settings.BASE_DIR / "tradeplatform" / "supervisor.py")
        os.execv(sys.executable, [sys.executable, "-P", supervisor])  # noqa: S606

    def _prepared(
        self, accounts: tuple[Configuration, ...], given: dict[str, Any]
    ) -> tuple[tuple[Any, ...], list[str], list[str]]:
        """Do every step before the start; return children, secret names and READY's lines."""
        self._check_options(given)
        data = tuple(Path(name).resolve() for name in given["data"])
        preparation.hold_instance_lock(settings.VAR_DIR)
        preparation.check_port(given["port"])
        if os.geteuid() == 0:
            self._say("running as root; a user of its own is safer on a server")
        redis_socket = preparation.embedded_redis_socket()
        redis_server = preparation.find_redis_server() if redis_socket else None
        if redis_socket is None:
            preparation.check_external_redis()
        preparation.check_database_pages()
        self._prepare_files()
        options = processes.Options(
            port=given["port"],
            workers=given["workers"],
            research_workers=given["research_workers"],
            seed=given["seed"],
            speed=given["speed"],
            data=data,
            var_dir=settings.VAR_DIR,
            redis_server=redis_server,
            redis_socket=redis_socket,
            practice_port=preparation.free_port(),
            practice_admin_port=preparation.free_port(),
        )
        practice = practice_of(accounts)
        if practice:
            processes.practice_state_dir(practice[0], options).mkdir(
                mode=0o700, parents=True, exist_ok=True
            )
            _generate_practice_keys(accounts)
        config, *others = accounts
        variables = processes.environment(config, options, others)
        if practice:
            preparation.write_practice_addresses(
                settings.VAR_DIR / "run",
                {name: value for name, value in variables.items() if "_PRACTICE_" in name},
            )
        os.environ.update(variables)
        lines = _ready_lines(given["port"], preparation.administrator_link(given["port"]))
        specs = processes.children(config, options, others)
        private = [name for one in practice for name in processes.practice_keys(one)]
        private += config.notifications.secret_names()
        return specs, [*processes.every_key(accounts), *private], lines

    def _prepare_files(self) -> None:
        """Bring database, static files and compiled kernels up to this code, side by side."""
        kernel_cache.choose_folder(settings.BASE_DIR, settings.VAR_DIR)
        compiling = kernel_cache.Compiling(
            settings.BASE_DIR, settings.VAR_DIR / "log" / "kernels.log", self._say
        )
        try:
            preparation.migrate_database()
            preparation.collect_static()
            compiling.wait()
        finally:
            compiling.stop()

    def _say(self, line: str) -> None:
        self.stdout.write(f"up | {line}")
        self.stdout.flush()

    @staticmethod
    def _check_options(given: dict[str, Any]) -> None:
        """Put numbers in the place of the texts of the command line, or say what was wrong."""
        for name, (kind, least, most, allowed) in _NUMBERS.items():
            try:
                value = kind(given[name])
            except ValueError:
                value = math.nan
            if not least <= value <= most:
                raise preparation.NotPrepared(
                    f"{name.upper()} (--{name}) was {given[name]!r}, allowed: {allowed}"
                )
            given[name] = value
        for name in given["data"]:
            if not Path(name).is_file():
                raise preparation.NotPrepared(
                    f"DATA (--data) was {name!r}, allowed: an existing file"
                )


def _generate_practice_keys(accounts: tuple[Configuration, ...]) -> None:
    """Give each practice account a key of its own, kept between starts, in the place of any other:
    a key of a real venue in the environment has no business on the practice one."""
    practice = practice_of(accounts)
    for config in practice:
        for name in processes.account_keys(config):
            # the master keys open what accounts of real venues beside it have sealed
            if name not in processes.MASTER_KEYS or len(practice) == len(accounts):
                os.environ.pop(name, None)
    for config in practice:
        ours = key_variables(config.exchange.account, is_apart=config.is_apart)
        for mine, venues in zip(ours, processes.practice_keys(config), strict=False):
            os.environ[mine] = env.secret(venues, generated_in=settings.VAR_DIR, length=32)
            os.environ[venues] = os.environ[mine]


def _ready_lines(port: int, link: str | None) -> list[str]:
    lines = [f"READY in {{seconds:.1f}} s: http://{preparation.LOOPBACK}:{port}/"]
    if link is not None:
        lines.append(f"First administrator, one use: {link}")
    # braces would be taken for a place of the seconds above
    logs = str(settings.VAR_DIR / "log").replace("{", "{{").replace("}", "}}")
    lines.append(f"Ctrl-C stops everything. Logs: {logs}")
    return lines
