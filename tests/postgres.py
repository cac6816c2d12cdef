"""Runs the suite's database tests on PostgreSQL: ``python -m tests.postgres [pytest arguments]``.

A throwaway cluster on a free loopback port, gone afterwards. Where ``initdb`` and ``pg_ctl`` are
not installed the run is skipped and says so (faults.md T9).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path

from tradeplatform.acceptance import postgres_results_path

# What these try is parsing, permissions, markup and headers; the rows they show come from selectors
# and services, which have their own tests.
IGNORED = (
    *(
        f"tests/tradeplatform/test_{name}.py"
        for name in ("admin", "api_garbage", "api_permissions", "api_schema", "every_url")
    ),
    "tests/crash/test_mutants.py",
    "tests/monitoring/test_consumers.py",
)
IGNORED_ANYWHERE = ("test_*views.py",)
MARKS = "django_db and not crash and not browser and not slow"
USER = "tradeplatform"
ROOT = Path(__file__).resolve().parent.parent


def programme(name: str) -> str | None:
    """Return the path of a PostgreSQL programme; Debian keeps them off the PATH."""
    return shutil.which(name) or next(
        iter(sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None
    )


@contextlib.contextmanager
def cluster(initdb: str, pg_ctl: str) -> Iterator[str]:
    """Start an empty cluster and yield its ``DATABASE_URL``; initdb refuses to run as root."""
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="tp-pg-"))
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(*command: str) -> None:
        done = subprocess.run(
            command,
            cwd=folder,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}")

    password, data, log = secrets.token_hex(16), folder / "data", folder / "log"
    secret = folder / "password"
    secret.write_text(password)
    if owner is not None:
        os.chown(secret, owner.pw_uid, owner.pw_gid)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        login = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}"]
        run(initdb, "-D", str(data), "-E", "UTF8", "--no-sync", *login)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        run(pg_ctl, "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
        yield f"postgres://{USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        with contextlib.suppress(RuntimeError):
            run(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    initdb, pg_ctl = programme("initdb"), programme("pg_ctl")
    if initdb is None or pg_ctl is None:
        print("PostgreSQL: skipped, initdb and pg_ctl were not found", flush=True)
        return 0
    with cluster(initdb, pg_ctl) as url:
        print(f"PostgreSQL: the database tests on {Path(initdb).parent}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-m", MARKS]
        command += [f"--ignore={path}" for path in IGNORED]
        command += [f"--ignore-glob=*/{name}" for name in IGNORED_ANYWHERE]
        command += arguments
        # importing the platform names its own settings, which the suite must not inherit
        suite = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings_test"}
        environment = os.environ | suite
        if not any(Path(word.partition("::")[0]).exists() for word in arguments):
            # part of the suite must not pass for all that runs here
            environment["TRADEPLATFORM_RESULTS"] = str(postgres_results_path(ROOT))
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
