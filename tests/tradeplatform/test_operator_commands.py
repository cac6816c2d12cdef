"""The commands by which a person without a browser asks something of a run."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.trades.rows import SYMBOL, make_everything
from trades.models import ControlState, EntryLock, OperatorRequest

pytestmark = pytest.mark.django_db


def said(*words: str, **given: object) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=io.StringIO(), **given)
    return out.getvalue()


def test_a_position_is_listed_and_closed_by_its_id() -> None:
    """D-59."""
    make_everything()
    listed = json.loads(said("positions", "--json").splitlines()[-1])["positions"]
    assert [p["id"] for p in listed] == ["ema-trend:BTC-USDT"]
    assert "ema-trend:BTC-USDT  BUY 0.5 at 100" in said("positions")
    said("close", "ema-trend:BTC-USDT", "--fraction", "0.5", "--reason", "news")
    row = OperatorRequest.objects.get()
    assert (row.actor, row.reason, row.payload["fraction"]) == ("command line", "news", "0.5")


def test_flatten_shows_and_acts_only_with_the_token_it_gave() -> None:
    """CTL-13."""
    make_everything()
    shown = said("flatten")
    assert "ema-trend BUY 0.5 BTC/USDT, result about 4.895 USDT" in shown
    assert not ControlState.objects.exists()
    token = re.search(r"--confirm (\S+)", shown)
    assert token is not None
    said("flatten", "--confirm", token[1], "--reason", "leaving")
    assert ControlState.objects.get().state == "REDUCING"
    assert OperatorRequest.objects.get().kind == "flatten"


def test_locks_money_and_gains_have_their_commands(tmp_path: Path) -> None:
    """D-59."""
    make_everything()
    shown = said("lock", SYMBOL, "--reason", "listing", "--until", "2030-01-01")
    lock = EntryLock.objects.get()
    assert shown == f"{lock.pk}  {SYMBOL} by command line until 2030-01-01 00:00 UTC: listing\n"
    assert said("lock", "--lift", str(lock.pk), "--reason", "over") == ""
    said("adjust", "--asset", "USDT", "--amount=-100", "--reason", "rent")
    assert OperatorRequest.objects.get().payload == {"asset": "USDT", "amount": "-100"}
    said("gains", "--year", "2026", "--csv", str(tmp_path / "gains.csv"))
    assert (tmp_path / "gains.csv").read_text().startswith("symbol,quantity_base,acquired_at")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("close", "nobody:X", "--reason", "x"), "position was 'nobody:X', allowed"),
        (("close", "ema-trend:BTC-USDT", "--quantity", "lots", "--reason", "x"), "allowed: a numb"),
        (("close", "ema-trend:BTC-USDT", "--reason", " "), "reason had 0 characters"),
        (("flatten", "--scope", "moon"), "scope was 'moon', allowed: global"),
        (("flatten", "--confirm", "x", "--reason", "x"), "the token was none of a preview"),
        (("lock", "DOGE/USDT", "--reason", "x"), "allowed: global, or symbol: with one of"),
        (("lock", SYMBOL, "--until", "soon", "--reason", "x"), "until was 'soon'"),
        (("lock", "--lift", "99", "--reason", "x"), "lock was 99, allowed"),
        (("adjust", "--asset", "DOGE", "--amount", "1", "--reason", "x"), "asset was 'DOGE'"),
        (("adjust", "--asset", "USDT", "--amount", "inf", "--reason", "x"), "amount was inf"),
        (("gains", "--year", "1"), "year was 1, allowed"),
        (("gains", "--year", "2026", "--csv", "/nowhere/x.csv"), "cannot be written"),
    ],
)
def test_wrong_use_is_one_line_and_changes_nothing(words: tuple[str, ...], text: str) -> None:
    """SEC-43: exit code 2, no traceback."""
    make_everything()
    with pytest.raises(CommandError, match=re.escape(text)) as refused:
        said(*words)
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)
    assert not OperatorRequest.objects.exists()
    assert not EntryLock.objects.exists()
