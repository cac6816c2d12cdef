"""A stored run as it starts on the practice exchange: its candles, and what it found there."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from market.models import Candle
from monitoring.models import Alert, Incident
from strategies.core.evolution import ModelStage, Move
from strategies.lifecycle import model_keep, moves_apply, scope_of, table_of
from tests.practice_process import KEY, SECRET, PracticeProcess, practice_process
from tests.strategies.models import CODE, trained
from tradeplatform.configuration import Configuration
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.lease import lease_acquire
from trades.models import (
    Analysis,
    ControlState,
    EvolutionEvent,
    SessionState,
    SymbolCursor,
    TradingRun,
)
from trades.runner import RunningSession
from trades.stored import analysis_document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object
) -> Iterator[PracticeProcess]:
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    with practice_process(tmp_path / "venue") as process:
        settings.PRACTICE_URL = process.url  # type: ignore[attr-defined]
        yield process


def started(run: TradingRun) -> RunningSession:
    fence = lease_acquire(run=run, holder="test", code_version=settings.CODE_VERSION)
    assert fence is not None
    return running_session(run, fence)


def test_the_first_chart_has_no_hole_where_the_session_began(venue: PracticeProcess) -> None:
    """Bars that close between opening the run and its first event are candles too."""
    run = run_ensure(Configuration(), actor="test")
    venue.step(7)
    session = started(run)
    venue.step()
    session.advance()
    for symbol in run.symbols:
        rows = Candle.objects.filter(instrument__symbol=symbol).order_by("opened_at")
        opened = [round(at.timestamp()) for at in rows.values_list("opened_at", flat=True)]
        assert len(opened) >= 400 + 7 + 1
        assert {after - before for before, after in pairwise(opened)} == {60}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "[OPTIMIZATION] the layer is off: optimization.enabled is false"),
        ("optimization: {enabled: true}", "[OPTIMIZATION] the layer is on: set by file, version 1"),
    ],
)
def test_the_start_says_in_one_line_whether_the_layer_is_on(
    venue: PracticeProcess, settings: Any, tmp_path: Path, written: str, said: str
) -> None:
    """OPT-06, OPT-56: the same command line for both, one line that names the switch."""
    (tmp_path / "config.yaml").write_text(written)
    settings.CONFIG_FILE = str(tmp_path / "config.yaml")
    told = io.StringIO()
    call_command("ensure_run", stderr=told)
    (line,) = [line for line in told.getvalue().splitlines() if "[OPTIMIZATION]" in line]
    assert said in line
    assert TradingRun.objects.get().ended_at is None


def test_coins_held_before_the_run_are_no_difference_later_ones_are(
    venue: PracticeProcess,
) -> None:
    """F-061, I-5: an account need not be empty when its run is opened."""
    venue.admin("POST", "/balance", {"asset": "BTC", "delta": "0.75"})
    run = run_ensure(Configuration(), actor="test")
    assert run.opening_balances == {"BTC": "0.75", "USDT": "10000.0"}
    assert run.starting_cash_quote == Decimal(10_000)
    reconciler = started(run)._reconciler  # type: ignore[attr-defined]
    for _ in range(2):
        assert reconciler.reconcile().differences == {}
    venue.admin("POST", "/balance", {"asset": "BTC", "delta": "0.25"})
    reconciler.reconcile()
    reconciler._monotonic = lambda: time.monotonic() + 30
    assert reconciler.reconcile().differences == {"BTC": Decimal("0.25")}
    told = Alert.objects.filter(code="BALANCE_DIFFERENCE", resolved_at__isnull=True)
    assert told.count() == 1
    venue.admin("POST", "/balance", {"asset": "BTC", "delta": "-0.25"})
    ControlState.objects.update(state="ACTIVE")
    reconciler.reconcile()
    assert told.count() == 0


def test_a_promotion_is_taken_between_events_and_said_with_its_moment(
    venue: PracticeProcess,
) -> None:
    """ORC-16, D-18: the running session goes on with the new model; who spoke is on record."""
    run = run_ensure(Configuration(), actor="test")
    session = started(run)
    venue.step()
    session.advance()
    scope = scope_of(run.venue, run.timeframe_ms)
    row = model_keep(model=trained(), scope=scope, actor="test")
    table_of(code=CODE, scope=scope)
    moves = [
        Move("", ModelStage.CHAMPION, ModelStage.GUARD, "for the test", {}),
        Move(row.version, ModelStage.CANDIDATE, ModelStage.CHAMPION, "for the test", {}),
    ]
    moves_apply(code=CODE, scope=scope, moves=moves, actor="test")
    before = SymbolCursor.objects.filter(run=run).order_by("-last_bar_close_at").first()
    venue.step()
    session.advance()
    told = {e.source: (e.kind, e.text, e.at) for e in EvolutionEvent.objects.filter(run=run)}
    assert before is not None
    assert told == {
        CODE: ("seated", f"champion is {row.version}, was untrained", before.last_bar_close_at),
        f"{CODE}@base": ("seated", "guard is untrained, was nobody", before.last_bar_close_at),
    }
    analysis = Analysis.objects.filter(run=run).order_by("-bar_close_at").first()
    assert analysis is not None
    asked = [name for name, _ in analysis_document(analysis)["panel"]["asked"]]
    assert CODE in asked and f"{CODE}@base" in asked
    spoke = {o["source"]: o["version"] for o in analysis_document(analysis)["opinions"]}
    assert spoke.get(CODE, row.version) == row.version
    # a rebuilt session sits as the rows say, and says nothing new
    again = started(run)
    venue.step()
    again.advance()
    assert EvolutionEvent.objects.filter(run=run).count() == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda learned: learned.update(scoreboard={"rings": "none"}),
        lambda learned: learned.pop("pending"),
        lambda learned: learned.update(credits=[["x"]]),
        lambda learned: learned.clear(),
    ],
)
def test_a_learned_state_that_cannot_be_read_keeps_no_session_from_starting(
    venue: PracticeProcess, damage: Any
) -> None:
    """ORC-17, I-26: what is held needs its exits; the session learns anew and says so."""
    run = run_ensure(Configuration(), actor="test")
    session = started(run)
    for _ in range(2):
        venue.step()
        session.advance()
    stored = SessionState.objects.get(run=run)
    damage(stored.payload["pipeline"])
    stored.save()
    again = started(run)
    assert Incident.objects.filter(where="learned state").count() == 1
    before = Analysis.objects.filter(run=run).count()
    venue.step()
    again.advance()
    assert Analysis.objects.filter(run=run).count() > before
    assert "scoreboard" in SessionState.objects.get(run=run).payload["pipeline"]
