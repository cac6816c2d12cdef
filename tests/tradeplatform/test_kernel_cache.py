"""Kernels are compiled once, before anything starts, and anew when what they call changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tradeplatform import kernel_cache
from tradeplatform.kernel_cache import Compiling, KernelsNotCompiled

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 400.0


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one kernel whose cache lies beside it."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for name in ("engine/windows.py", "tradeplatform/warm_up.py", "tradeplatform/bootstrap.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1\n")
    return tmp_path


class Compiler:
    """Leaves one file in the cache each time, as numba does."""

    def __init__(self, base: Path, takes_s: float = 0.0) -> None:
        self.times, self._takes_s = 0, takes_s
        self.file = base / "engine" / "__pycache__" / "windows.total-1.py311.nbi"

    def __call__(self) -> None:
        time.sleep(self._takes_s)
        self.times += 1
        self.found = self.file.exists()
        self.file.write_text("compiled")


def test_an_unchanged_tree_is_compiled_once(base: Path) -> None:
    compiler = Compiler(base)
    assert not kernel_cache.is_current(base)
    assert kernel_cache.fill(base, compiler)
    assert kernel_cache.is_current(base)
    assert not kernel_cache.fill(base, compiler)
    assert compiler.times == 1


def test_a_changed_source_throws_away_what_called_it(base: Path) -> None:
    """numba looks only at a kernel's own file: a caller of another would keep its old version."""
    compiler = Compiler(base)
    kernel_cache.fill(base, compiler)
    (base / "engine" / "windows.py").write_text("x = 2\n")
    assert not kernel_cache.is_current(base)
    assert kernel_cache.fill(base, compiler)
    assert compiler.times == 2
    assert not compiler.found


@pytest.mark.parametrize("change", ["touched", "numba", "file gone", "stamp cut short"])
def test_whatever_numba_would_compile_anew_for_makes_the_stamp_old(
    base: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    compiler = Compiler(base)
    kernel_cache.fill(base, compiler)
    stamp = kernel_cache.stamp_path(base)
    if change == "touched":
        os.utime(base / "engine" / "windows.py", (1, 1))
    elif change == "numba":
        monkeypatch.setattr(kernel_cache, "version", lambda name: "0.0")
    elif change == "file gone":
        compiler.file.unlink()
    else:
        stamp.write_text(stamp.read_text()[:20])
    assert not kernel_cache.is_current(base)


def test_a_compilation_that_failed_leaves_no_stamp(base: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no memory")

    kernel_cache.fill(base, Compiler(base))
    (base / "engine" / "windows.py").write_text("x = 2\n")
    with pytest.raises(RuntimeError, match="no memory"):
        kernel_cache.fill(base, fails)
    assert not kernel_cache.is_current(base)


def test_of_two_that_start_at_once_one_compiles_and_the_other_waits(base: Path) -> None:
    compiler = Compiler(base, takes_s=0.3)
    starts = [threading.Thread(target=kernel_cache.fill, args=(base, compiler)) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert compiler.times == 1


def test_where_the_sources_are_read_only_every_process_is_told_of_another_folder(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_cache.choose_folder(base, base / "var")
    assert "NUMBA_CACHE_DIR" not in os.environ
    # root may write anywhere, whatever a folder's mode says
    monkeypatch.setattr(kernel_cache, "_can_write", lambda folder: False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    kernel_cache.choose_folder(base, base / "var")
    assert os.environ["NUMBA_CACHE_DIR"] == str(base / "var" / "kernels")
    assert kernel_cache.stamp_path(base) == base / "var" / "kernels" / "kernels.json"
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/named")
    kernel_cache.choose_folder(base, base / "var")
    assert os.environ["NUMBA_CACHE_DIR"] == "/named"


def test_a_child_that_cannot_compile_is_one_line_with_its_cause(base: Path) -> None:
    (base / "manage.py").write_text("raise SystemExit('no space left on device')\n")
    said: list[str] = []
    compiling = Compiling(base, base / "log" / "kernels.log", said.append)
    with pytest.raises(KernelsNotCompiled, match=r"^.* ended with 1: no space left on device; .*$"):
        compiling.wait()
    assert len(said) == 1


def test_a_refused_start_leaves_no_child_behind(base: Path) -> None:
    (base / "manage.py").write_text("import time; time.sleep(60)\n")
    compiling = Compiling(base, base / "log" / "kernels.log", lambda line: None)
    child = compiling._child
    assert child is not None
    compiling.stop()
    assert child.returncode == -9


@pytest.mark.slow
def test_after_the_preparation_a_session_compiles_nothing(tmp_path: Path) -> None:
    """A run's first bars, its trainings and a promoted model take every kernel from the cache."""
    found = tmp_path / "compiled.json"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "TRADEPLATFORM_V"))}

    def ended_well(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=kept | {"COMPILED_FILE": str(found), "TRADEPLATFORM_VAR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    ended_well("manage.py", "compile_kernels")
    session = "tests/tradeplatform/test_running.py::"
    session += "test_a_promotion_is_taken_between_events_and_said_with_its_moment"
    ended_well("-m", "pytest", "-q", "-p", "tests.tradeplatform.compile_count", session)
    assert json.loads(found.read_text()) == []
