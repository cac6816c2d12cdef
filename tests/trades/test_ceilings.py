"""Lowering the hard ceilings in two steps, and raising them again no further than the file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, SettingsVersion
from engine.ports import TradingState
from engine.risk import RiskLimits
from tests.trades.rows import make_run
from tests.trades.test_gate import NOON_MS, Notes
from trades import ceiling_changes
from trades.ceiling_changes import DELAY, Preview, ceiling_confirm, ceiling_preview
from trades.ceilings import SECTION, ceiling_list, filed_limits, standing, stored_ceilings
from trades.errors import CeilingRaised, CeilingRefused, PreviewStale, RequestRefused
from trades.gate import DatabaseGatekeeper
from trades.models import TradingRun
from trades.selectors import automatic_holds

pytestmark = pytest.mark.django_db
FILE = {"max_position_size": 0.1, "max_total_drawdown": 0.2, "max_open_positions": 5}


@pytest.fixture
def run() -> TradingRun:
    return make_run(config={"risk": {**FILE, "max_slippage": 0.005}})


def looked(run: TradingRun, **changes: Any) -> Preview:
    return ceiling_preview(run=run, changes=changes, actor="ann")


def changed(run: TradingRun, *, may_raise: bool = False, **changes: Any) -> SettingsVersion:
    token = looked(run, **changes).token
    return ceiling_confirm(
        run=run, token=token, actor="ann", reason="rough week", may_raise=may_raise
    )


def in_force(run: TradingRun) -> RiskLimits:
    return stored_ceilings(filed_limits(run))


def test_a_lower_ceiling_holds_at_once_and_is_kept_as_a_version_with_its_audit_row(
    run: TradingRun,
) -> None:
    """CTL-22, SEC-33: who, when, why, before and after."""
    row = changed(run, max_position_size=Decimal("0.05"), max_open_positions=2)
    assert (in_force(run).max_position_size, in_force(run).max_open_positions) == (
        Decimal("0.05"),
        2,
    )
    assert (row.section, row.version, row.actor, row.reason) == (SECTION, 1, "ann", "rough week")
    event = AuditEvent.objects.get(action="settings.change")
    assert event.after["ceilings"] == {"max_open_positions": "2", "max_position_size": "0.05"}
    assert in_force(run).max_drawdown == Decimal("0.2")


def test_the_first_step_changes_nothing(run: TradingRun) -> None:
    """SEC-45: two steps."""
    preview = looked(run, max_position_size=Decimal("0.05"))
    (change,) = preview.changes
    assert (change.filed, change.before, change.after) == (
        Decimal("0.1"),
        Decimal("0.1"),
        Decimal("0.05"),
    )
    assert not preview.raises
    assert in_force(run).max_position_size == Decimal("0.1")
    assert not SettingsVersion.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_position_size": Decimal("0.11")}, "the file's ceiling is 0.1: only the file"),
        ({"cash_reserve": Decimal("0.05")}, "the file's ceiling is 0.1"),
        ({"max_position_size": Decimal(0)}, "max_position_size was"),
        ({"max_position_size": "NaN"}, "max_position_size was"),
        ({"max_position_size": True}, "allowed: a number"),
        ({"max_position_size": "lots"}, "allowed: a number"),
        ({"max_open_positions": Decimal("1.5")}, "allowed: a whole number"),
        ({"max_slippage": Decimal("0.001")}, "limit was 'max_slippage', allowed:"),
        ({"max_position_size": Decimal("0.1")}, "nothing would change"),
        ({}, "nothing would change"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(
    run: TradingRun, changes: dict[str, Any], words: str
) -> None:
    """SEC-45, SEC-43: never above the file's."""
    with pytest.raises(CeilingRefused, match=words):
        looked(run, **changes)


def test_raising_again_needs_to_be_let_and_counts_after_its_delay(run: TradingRun) -> None:
    """CTL-22, SEC-45, SEC-19: up to the file's ceiling, ten minutes later."""
    changed(run, max_position_size=Decimal("0.05"))
    with pytest.raises(CeilingRaised, match="max_position_size would let more be risked"):
        changed(run, max_position_size=Decimal("0.08"))
    changed(run, max_position_size=None, may_raise=True)
    assert in_force(run).max_position_size == Decimal("0.05")
    (row,) = [r for r in ceiling_list(run) if r.at is not None]
    assert (row.name, row.holds, row.will_hold) == (
        "max_position_size",
        Decimal("0.05"),
        Decimal("0.1"),
    )
    later = timezone.now() + DELAY
    assert standing(later).overrides == {}
    assert standing(later - timedelta(seconds=30)).overrides == {
        "max_position_size": Decimal("0.05")
    }


def test_a_lowering_takes_the_place_of_a_raise_that_waits(run: TradingRun) -> None:
    """CTL-22: the stricter act is never undone by an older one; other raises go on waiting."""
    changed(run, max_position_size=Decimal("0.05"), max_open_positions=2)
    changed(run, max_position_size=None, max_open_positions=None, may_raise=True)
    waits = standing(timezone.now()).raises_at
    changed(run, max_position_size=Decimal("0.03"))
    now, then = standing(timezone.now()), standing(timezone.now() + DELAY)
    assert now.overrides == {"max_position_size": Decimal("0.03"), "max_open_positions": 2}
    assert now.raises_at == waits
    assert then.overrides == {"max_position_size": Decimal("0.03")}
    assert looked(run, max_open_positions=2).changes, "the raise that waits can be taken back"


def test_a_preview_is_good_once_for_its_person_and_its_version(
    run: TradingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-45: what was looked at is what is made."""
    token = looked(run, max_position_size=Decimal("0.05")).token
    given = {"run": run, "token": token, "reason": "x", "may_raise": False}
    with pytest.raises(PreviewStale, match="another person"):
        ceiling_confirm(**given, actor="bob")
    with pytest.raises(RequestRefused, match="reason"):
        ceiling_confirm(**{**given, "reason": " "}, actor="ann")
    with pytest.raises(PreviewStale, match="none of a preview"):
        ceiling_confirm(**{**given, "token": token + "x"}, actor="ann")
    changed(run, max_open_positions=3)
    with pytest.raises(PreviewStale, match="look again"):
        ceiling_confirm(**given, actor="ann")
    monkeypatch.setattr(ceiling_changes, "GOOD_FOR_S", -1)
    with pytest.raises(PreviewStale, match="older than"):
        ceiling_confirm(**given, actor="ann")


def test_a_file_that_became_stricter_meanwhile_holds(run: TradingRun) -> None:
    """D-31: ceilings come from the file; an override that is looser by now counts for nothing."""
    changed(run, max_position_size=Decimal("0.05"))
    run.config = {"risk": {**FILE, "max_position_size": 0.02}}
    assert in_force(run).max_position_size == Decimal("0.02")


def test_back_to_one_accounts_file_does_not_raise_the_other_account_further() -> None:
    """CTL-22, SEC-45, D-59: one section for all, so each account is shown and none is raised
    beyond the number that was asked for."""
    wide = make_run(config={"risk": {**FILE, "max_position_size": 0.1}})
    narrow = make_run(account="second", config={"risk": {**FILE, "max_position_size": 0.05}})
    changed(wide, max_position_size=Decimal("0.04"))
    preview = looked(narrow, max_position_size=Decimal("0.05"))
    shown = {c.account: (c.before, c.after, c.raises) for c in preview.changes}
    both = (Decimal("0.04"), Decimal("0.05"), True)
    assert shown == {"second": both, "main": both}
    changed(narrow, max_position_size=Decimal("0.05"), may_raise=True)
    later = standing(timezone.now() + DELAY).overrides
    assert later == {"max_position_size": Decimal("0.05")}
    given_up = {c.account: c.after for c in looked(narrow, max_position_size=None).changes}
    assert given_up == {"second": Decimal("0.05"), "main": Decimal("0.1")}


def test_what_raises_another_account_alone_is_a_raise_too() -> None:
    """SEC-45, D-59: nothing changes for the account that was asked of."""
    wide = make_run(config={"risk": {**FILE, "max_position_size": 0.1}})
    changed(wide, max_position_size=Decimal("0.08"))
    narrow = make_run(account="second", config={"risk": {**FILE, "max_position_size": 0.05}})
    with pytest.raises(CeilingRaised, match="max_position_size"):
        changed(narrow, max_position_size=None)
    token = looked(narrow, max_position_size=None).token
    make_run(account="third", config={"risk": FILE})
    with pytest.raises(PreviewStale, match="other runs"):
        ceiling_confirm(run=narrow, token=token, actor="ann", reason="x", may_raise=True)


@pytest.mark.parametrize(
    ("ceilings", "words"),
    [
        ({"max_position_size": "x"}, "max_position_size was 'x', no number"),
        ({"max_position_size": "-1"}, "max_position_size must be"),
        ({"max_open_positions": "NaN"}, "max_open_positions was 'NaN', no number"),
        ({"max_of_yore": "0.1"}, "limit was 'max_of_yore', allowed"),
    ],
)
def test_a_stored_ceiling_that_is_no_limit_holds_entries_and_lets_exits_go_on(
    run: TradingRun, ceilings: dict[str, str], words: str
) -> None:
    """D-03: the event goes on by the file and the other ceilings; no new risk until a person's
    next change leaves the odd one out."""
    changed(run, loss_streak=2)
    values = {"ceilings": {**ceilings, "loss_streak": "2"}, "raise": None}
    SettingsVersion.objects.update(values=values)
    assert in_force(run) == replace(filed_limits(run), loss_streak=2)
    watch = Notes()
    gate = DatabaseGatekeeper(run, lambda: True, watch)
    gate.observe(NOON_MS)
    gate.observe(NOON_MS)
    assert gate.trading_state("BTC/USDT", "ema-trend") is TradingState.REDUCING
    (alert,) = watch.alerts
    assert alert.code == "CEILING_UNREADABLE" and words in alert.text
    assert words in automatic_holds(run)[-1]
    changed(run, loss_streak=1)
    gate.observe(NOON_MS)
    assert gate.trading_state("BTC/USDT", "ema-trend") is TradingState.ACTIVE


def test_all_books_of_an_event_judge_by_one_reading_and_the_next_event_reads_anew(
    run: TradingRun, django_assert_num_queries: Any
) -> None:
    """CTL-22: what a person lowered holds from the next event on, without a question a book."""
    gate = DatabaseGatekeeper(run, lambda: True, Notes())
    gate.observe(NOON_MS)
    changed(run, max_open_positions=2)
    with django_assert_num_queries(0):
        assert gate.ceilings(filed_limits(run)).max_open_positions == 5
    gate.observe(NOON_MS)
    with django_assert_num_queries(0):
        assert gate.ceilings(filed_limits(run)).max_open_positions == 2
