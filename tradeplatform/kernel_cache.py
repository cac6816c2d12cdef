"""Numba's cache of compiled kernels: filled before any process starts, and never out of date.

Compiling takes about twenty seconds and belongs to nobody's first bar. A stamp beside the cache
says what it was filled from; while that is unchanged nothing is compiled again. numba itself
looks only at the file a kernel stands in, not at those it calls into: after a change all entries
are thrown away here, so that no kernel goes on with an old version of another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from tradeplatform.supervisor import die_with_parent, write_atomically

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
STAMP, LOCK = "kernels.json", "kernels.lock"
# where kernels stand, and what calls them with the types they are compiled for
_SOURCES = ("engine", "strategies/core", "optimization/core", "research/core")
_CALLERS = ("tradeplatform/warm_up.py", "tradeplatform/bootstrap.py")
_PATIENCE_S = 600.0


class KernelsNotCompiled(Exception):
    """The child that compiles ended badly; the message is one line."""


def choose_folder(base: Path, var_dir: Path) -> None:
    """Let every process that starts later find one cache, wherever the code lies.

    Beside the sources where they can be written to, which is numba's own choice; else in
    ``var_dir``. A folder named by ``NUMBA_CACHE_DIR`` is left as it is.
    """
    if not os.environ.get(CACHE_VARIABLE) and not _can_write(base / "engine" / "__pycache__"):
        os.environ[CACHE_VARIABLE] = str(var_dir / "kernels")


def _can_write(folder: Path) -> bool:
    return os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK)


def stamp_path(base: Path) -> Path:
    """Return where the stamp lies: with the cache, so that both go together."""
    named = os.environ.get(CACHE_VARIABLE)
    return (Path(named) if named else base / "engine" / "__pycache__") / STAMP


def fingerprint(base: Path) -> str:
    """Return what decides whether cached kernels may be used: sources, numba, Python, processor.

    The times of the sources count too: numba compares them, and a checkout renews them.
    """
    digest = hashlib.sha256()
    for path in sorted(_sources(base)):
        status = path.stat()
        digest.update(f"{path.relative_to(base)} {status.st_mtime_ns} ".encode())
        digest.update(path.read_bytes())
    machine = [sys.version, version("numba"), version("llvmlite"), _processor()]
    machine += [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("NUMBA_")]
    digest.update("\n".join(machine).encode())
    return digest.hexdigest()


def _sources(base: Path) -> Iterator[Path]:
    for folder in _SOURCES:
        yield from (base / folder).rglob("*.py")
    yield from (base / name for name in _CALLERS)


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if not about.exists():
        return f"{platform.machine()} {platform.processor()}"
    first = about.read_text().partition("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.startswith(("model name", "flags", "Features")))


def is_current(base: Path) -> bool:
    """True where the cache was filled from exactly this and nothing of it has gone since."""
    try:
        stamp = json.loads(stamp_path(base).read_text())
        files = stamp["files"]
    except (FileNotFoundError, ValueError, KeyError):
        return False
    return stamp["fingerprint"] == fingerprint(base) and all(map(os.path.exists, files))


def fill(base: Path, compile_all: Callable[[], None]) -> bool:
    """Compile unless the cache is current; False where it was. One process at a time does it."""
    folder = stamp_path(base).parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current(base):
            return False
        stamp_path(base).unlink(missing_ok=True)
        # taken before: a source that changes meanwhile must not pass for what was compiled
        source = fingerprint(base)
        for old in entries(base):
            old.unlink(missing_ok=True)
        compile_all()
        files = [str(path) for path in entries(base)]
        write_atomically(stamp_path(base), json.dumps({"fingerprint": source, "files": files}))
    return True


def entries(base: Path) -> list[Path]:
    """Return the files of our kernels in numba's cache, of this folder of sources only."""
    folders = {path.parent for path in _sources(base)}
    return sorted(f for folder in folders for f in _cached(folder).glob("*.nb[ci]"))


def _cached(folder: Path) -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if not named:
        return folder / "__pycache__"
    # as numba names it: one folder a source folder, told apart by its whole path
    code = hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()
    return Path(named) / f"{folder.name}_{code}"


class Compiling:
    """The child that fills the cache while the rest is prepared; nothing where it is current."""

    def __init__(self, base: Path, log: Path, say: Callable[[str], None]) -> None:
        self._say, self._log, self._began_s = say, log, time.monotonic()
        self._child: subprocess.Popen[bytes] | None = None
        if is_current(base):
            return
        say("compiling the numerical kernels, once after each change, about 20 s of processor time")
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("w") as told:
            self._child = subprocess.Popen(
                [sys.executable, "manage.py", "compile_kernels"],
                cwd=base,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                preexec_fn=die_with_parent(os.getpid()),
            )

    def wait(self) -> None:
        """Return when every kernel is in the cache.

        Raises:
            KernelsNotCompiled: the child failed or took longer than ten minutes.
        """
        if self._child is None:
            return
        try:
            code = self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise KernelsNotCompiled(
                f"compiling the kernels took longer than {_PATIENCE_S:.0f} s; see {self._log}"
            ) from error
        finally:
            self.stop()
        if code:
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise KernelsNotCompiled(
                f"compiling the kernels ended with {code}: {said[-1]}; see {self._log}"
            )
        self._say(f"compiled in {time.monotonic() - self._began_s:.1f} s")

    def stop(self) -> None:
        """End the child where it still runs: the start was refused."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
