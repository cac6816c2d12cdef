"""Our replay next to other engines on the same bars, in one run, so that ratios hold.

The peers trade one strategy (EMA(12/26) crossover, long only, next open, 0.1 % fee, all-in) and
must find the trades that a plain pass over the closes finds. Our column path has the same rule but
asks phase 7, which refuses entries until the market is warm. Our other rows go through the real
session: ten phases, limits and protection refuse most of those trades, so theirs are other trades
on the same bars. Peers are optional: they live in an environment of their own
(``requirements-bench.txt``). Peers and the column path are measured in processor time, sessions in
elapsed time: the same on a machine with nothing else on it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import columns
from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options
from benchmarks.peer_engines import ENGINES, FAST, SLOW
from benchmarks.replays import SUBJECTS, candle_file, replay
from engine import indicators
from engine.types.bars import BarColumns, FloatColumn
from market.sources.files import read_bars

BARS, QUICK_BARS = 100_000, 10_000
# Engines disagree about the first bars and about a trade that is still open at the end.
SLACK_TRADES = 2
_PEER_TIMEOUT_S = 1_800.0


def peers(options: Options) -> Sequence[Figure]:
    """Return bars a second of every engine, ours included, and each one's ratio to our full one.

    Raises:
        BenchmarkFailed: no environment was given, or one is none.
    """
    if not options.peers:
        raise BenchmarkFailed("peers were none, allowed: --peers FOLDER... of environments")
    homes = _homes(options.peers)
    n_bars = QUICK_BARS if options.quick else BARS
    path = candle_file(options.folder, n_bars)
    bars = read_bars(path, symbol=None, timeframe=None).bars
    expected = round_trips(bars)
    found = {f"ours, {label}": _ours(path, arguments) for label, arguments in SUBJECTS}
    found["ours, column path"] = _columns(path)
    missing = [f"{name} (in no environment)" for name in ENGINES if name not in homes]
    for name, (environment, version) in homes.items():
        answer = _same(_peer(environment, name, _plain_file(options.folder, bars)), expected)
        if isinstance(answer, str):
            missing.append(f"{name} ({answer})")
        else:
            found[f"{name} {version}"] = answer
    base = found[f"ours, {SUBJECTS[-1][0]}"]["bars_per_s"]
    return [
        *(_figure(name, row, base, n_bars) for name, row in found.items()),
        Figure(
            name="peers not measured",
            value=len(missing),
            unit="engines",
            detail=", ".join(missing),
        ),
    ]


def _homes(environments: Sequence[Path]) -> dict[str, tuple[Path, str]]:
    """Return the first environment that has an engine, with its version, by the engine's name."""
    homes: dict[str, tuple[Path, str]] = {}
    for environment in environments:
        done = _driver(environment, [])
        if done.returncode:
            raise BenchmarkFailed(f"--peers was {environment}: {done.stderr.strip()[-200:]}")
        for name, version in json.loads(done.stdout).items():
            homes.setdefault(name, (environment, version))
    return {name: homes[name] for name in ENGINES if name in homes}


def _same(answer: dict[str, Any] | str, expected: int) -> dict[str, Any] | str:
    """Return the answer, or why it is no measure: it traded something else."""
    if isinstance(answer, str) or abs(answer["trades"] - expected) <= SLACK_TRADES:
        return answer
    return f"closed {answer['trades']} trades, expected {expected}"


def _columns(path: Path) -> dict[str, Any]:
    found, _ = columns.in_child(columns.PEERS, path)
    return {
        "bars_per_s": found["bars"] / found["first_s"],
        "peak_rss_mb": found["peak_mb"],
        "trades": found["trades"],
    }


def round_trips(bars: BarColumns) -> int:
    """Return how many trades the strategy closes: crosses down after a cross up."""
    above = crossed(bars.close)
    entries = np.flatnonzero(above[1:] & ~above[:-1])
    exits = np.flatnonzero(~above[1:] & above[:-1])
    # the first position opens at a cross, and the last cross needs a bar to be filled on
    opened = entries[0] if entries.size else len(above)
    return int(np.count_nonzero((exits > opened) & (exits < len(above) - 2)))


def crossed(close: FloatColumn) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where the fast mean is above the slow one, shape (n_bars,)."""
    fast, slow = (_mean(close, span) for span in (FAST, SLOW))
    above: np.ndarray[Any, np.dtype[np.bool_]] = fast > slow
    return above


def _mean(close: FloatColumn, span: int) -> FloatColumn:
    out = np.empty(close.shape[0])
    # ``span`` 1: the mean begins with the first close, as it does in the other engines
    indicators.fill_recursive_mean(close, indicators.ema_weight(span), 1, out, 0)
    return out


def _plain_file(folder: Path, bars: BarColumns) -> Path:
    path = folder / "peers.npz"
    if not path.exists():
        names = ("ts_ms", "open", "high", "low", "close", "volume")
        np.savez(path, **{name: getattr(bars, name) for name in names})
    return path


def _ours(path: Path, arguments: Sequence[str]) -> dict[str, Any]:
    result = replay(path, *arguments)
    kept = ("bars_per_s", "peak_rss_mb", "trades")
    return {name: result[name] for name in kept}


def _peer(environment: Path, name: str, candles: Path) -> dict[str, Any] | str:
    """Return a peer's figures, or why there are none."""
    try:
        done = _driver(environment, [name, str(candles)], folder=candles.parent)
    except subprocess.TimeoutExpired:
        return f"took longer than {_PEER_TIMEOUT_S:.0f} s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:80]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer | {"bars_per_s": answer["bars"] / answer["seconds"]}


def _driver(
    environment: Path, arguments: Sequence[str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the driver by an environment's Python; what an engine writes goes into ``folder``."""
    # not resolved: a link to the system's Python would leave the environment
    python = environment.absolute() / "bin" / "python"
    command = [str(python), str(ROOT / "benchmarks" / "peer_engines.py"), *arguments]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PEER_TIMEOUT_S,
        )
    except OSError as error:
        raise BenchmarkFailed(f"--peers was {environment}: {error.strerror}") from error


def _figure(name: str, row: dict[str, Any], base: float, n_bars: int) -> Figure:
    return Figure(
        name=f"peers, {name}, {n_bars:,} bars",
        value=round(row["bars_per_s"]),
        unit="bars/s",
        better="higher",
        detail=f"{row['bars_per_s'] / base:.2f} times our full pipeline, {row['trades']:,} trades,"
        f" peak {row['peak_rss_mb']:.0f} MB",
    )
