"""How fast the column path walks a rule over history, and what memory the process takes.

Each subject and size is a process of its own: kernels are loaded, the file is read, then the first
rule over the bars is timed (phase 1 of the market and the rule's columns included), and the next
rule over the same bars, which is what a sweep pays for each further trial. Times are the
processor's: one thread works, and what else the machine does is not counted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options
from benchmarks.replays import QUICK_SIZES, SIZES, SYMBOL, candle_file
from engine import shared_columns
from engine.column_path.history import History
from engine.column_path.path import ColumnRun, column_trades
from engine.column_path.terms import Setting
from engine.limits import RiskLimits
from engine.phases.config import PipelineConfig
from engine.ports import RuleSource
from engine.types.bars import BarColumns, ColumnStore, Instrument
from engine.types.opinions import Regime, RuleColumns
from market.sources.history import load_history
from strategies.core.registry import RULES, rule_sources
from tradeplatform.peak_memory import peak_rss_mb

PEERS = "EMA(12/26) cross"
TARGET_BARS_S, TARGET_MB, TARGET_COLD_S = 10_000_000, 250, 3
SWEPT_BARS, SWEPT_TRIALS = 100_000, 20
# A hundredth of equity a trade: all-in, fees alone would end it after four thousand trades.
OPEN_LIMITS = RiskLimits(
    max_day_loss=Decimal(1),
    max_week_loss=Decimal(1),
    max_drawdown=Decimal(1),
    loss_streak=10**6,
    max_entries_per_15m=10**6,
    max_entries_per_day=10**6,
    max_orders_per_hour=10**6,
    max_orders_per_day=10**6,
    max_volume_share=Decimal(1),
)


@dataclass(frozen=True, slots=True)
class EmaCross:
    """The rule other engines publish figures of: in on a cross up, out on a cross down."""

    code: str = "ema-cross"
    favourable_regimes: frozenset[Regime] = frozenset()
    warm_up_bars: int = 27

    def columns(self, store: ColumnStore) -> RuleColumns:
        gap = shared_columns.ema(store, 12) - shared_columns.ema(store, 26)
        over, under = gap > 0.0, gap < 0.0
        up, down = np.zeros_like(over), np.zeros_like(over)
        up[1:], down[1:] = over[1:] & ~over[:-1], under[1:] & ~under[:-1]
        close, n = store.bars.close, len(store.bars)
        return RuleColumns(
            up.astype(np.int64),
            np.where(over, 0.55, 0.45),
            np.full(n, 0.5),
            np.where(up, 0.5 * close, np.nan),
            np.full(n, np.nan),
            down,
            up,
        )


def walked(rule: RuleSource, history: History, instrument: Instrument) -> ColumnRun:
    """Trace a rule under the shipped limits, the peers' rule under limits that never bind."""
    is_peers = isinstance(rule, EmaCross)
    share = 0.1 if is_peers else PipelineConfig().base_share_of_cap
    return column_trades(
        history,
        rule,
        Setting(
            instrument=instrument,
            limits=OPEN_LIMITS if is_peers else RiskLimits(),
            config=PipelineConfig(ensemble_trades=False, base_share_of_cap=share),
            cash_quote=Decimal(10_000),
            slippage_bps=Decimal(2),
            stops_rest=True,
            resume_after_days=1,
        ),
    )


def read(path: Path) -> tuple[BarColumns, Instrument]:
    """Return a file's bars and what they are traded as."""
    found = load_history([path])
    return found.bars[SYMBOL], found.instruments[SYMBOL]


def measured(subject: str, path: Path) -> dict[str, Any]:
    """Time one subject over a file in this process."""
    rule: RuleSource = EmaCross() if subject == PEERS else rule_sources(codes=(subject,))[0]
    bars, instrument = read(path)
    # kernels are compiled once an installation; here they are only loaded
    walked(rule, History(bars.rows(0, min(3_000, len(bars))), 0), instrument)
    began_s = time.process_time()
    history = History(bars, 0)
    market_s = time.process_time() - began_s
    run = walked(rule, history, instrument)
    first_s = time.process_time() - began_s
    again_s = time.process_time()
    walked(rule, history, instrument)
    again_s = time.process_time() - again_s
    columns_s = time.process_time()
    rule.columns(ColumnStore(bars))
    columns_s = time.process_time() - columns_s
    return {
        "bars": len(bars),
        "trades": run.n_trades,
        "considered": run.considered,
        "asked": run.asked,
        "market_s": market_s,
        "first_s": first_s,
        "again_s": again_s,
        "columns_s": columns_s,
        "peak_mb": peak_rss_mb(),
    }


def swept(path: Path) -> dict[str, Any]:
    """Time trials of every shipped rule over one history, as a sweep traces them."""
    bars, instrument = read(path)
    rng = np.random.default_rng(1)
    rules = [
        rule_sources({code: _drawn(code, rng)}, (code,))[0]
        for code in RULES
        for _ in range(SWEPT_TRIALS // len(RULES))
    ]
    for rule in rules[:: SWEPT_TRIALS // len(RULES)]:
        walked(rule, History(bars.rows(0, 3_000), 0), instrument)
    began_s = time.process_time()
    history = History(bars, 0)
    trades = sum(walked(rule, history, instrument).n_trades for rule in rules)
    elapsed_s = time.process_time() - began_s
    return {"evaluations": len(rules) * len(bars), "elapsed_s": elapsed_s, "trades": trades}


def _drawn(code: str, rng: np.random.Generator) -> dict[str, float]:
    name = "reward_to_risk" if code in ("fair-value-gap", "continuation") else "stop_atr"
    return {name: float(rng.uniform(1.0, 3.0))}


def in_child(subject: str, path: Path) -> tuple[dict[str, Any], float]:
    """Measure one subject in a process of its own; return its figures and the elapsed seconds."""
    command = [sys.executable, "-m", "benchmarks.columns", subject, str(path)]
    before_s = _children_s()
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False
    )
    took_s = _children_s() - before_s
    if done.returncode:
        raise BenchmarkFailed(f"{subject} ended with {done.returncode}: {done.stderr[-400:]}")
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document, took_s


def _children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(spent.ru_utime + spent.ru_stime)


def columns(options: Options) -> Sequence[Figure]:
    """Bars a second, memory and cold start of the column path; a sweep's evaluations a second."""
    sizes = QUICK_SIZES if options.quick else SIZES
    figures: list[Figure] = []
    for subject in (PEERS, *RULES):
        for n_bars in sizes if subject == PEERS else sizes[-1:]:
            found, took_s = in_child(subject, candle_file(options.folder, n_bars))
            figures += _figures(subject, found, took_s, is_last=n_bars == sizes[-1])
    trials = min(SWEPT_BARS, sizes[-1])
    found, _ = in_child("sweep", candle_file(options.folder, trials))
    figures.append(
        Figure(
            name=f"columns, sweep of {SWEPT_TRIALS} trials over {trials:,} bars",
            value=round(found["evaluations"] / found["elapsed_s"]),
            unit="bar-evaluations/s",
            better="higher",
            detail=f"{found['trades']:,} trades",
        )
    )
    return figures


def _figures(subject: str, found: dict[str, Any], took_s: float, *, is_last: bool) -> list[Figure]:
    n_bars = found["bars"]
    name = f"columns, {subject}, {n_bars:,} bars"
    is_peers = subject == PEERS and n_bars == SIZES[-1]
    detail = (
        f"{found['trades']:,} trades, {found['considered']:,} possible entries,"
        f" {found['asked']:,} questions to phase 7;"
        f" market {found['market_s']:.2f} s, rule's columns {found['columns_s']:.2f} s"
    )
    figures = [
        Figure(
            name=f"{name}, first rule",
            value=round(n_bars / found["first_s"]),
            unit="bars/s",
            target=TARGET_BARS_S if is_peers else None,
            better="higher",
            detail=detail,
        ),
        Figure(
            name=f"{name}, a further rule",
            value=round(n_bars / found["again_s"]),
            unit="bars/s",
            better="higher",
        ),
    ]
    if subject == PEERS and is_last:
        peak = TARGET_MB if is_peers else None
        cold = TARGET_COLD_S if is_peers else None
        figures += [
            Figure(name=f"{name}, peak", value=round(found["peak_mb"]), unit="MB", target=peak),
            Figure(
                name=f"{name}, whole process from cold",
                value=round(took_s, 2),
                unit="s",
                target=cold,
                detail="two walks, a warm-up and reading the file included",
            ),
        ]
    return figures


if __name__ == "__main__":
    subject, path = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(swept(path) if subject == "sweep" else measured(subject, path)))
