from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from trades import failpoints
from trades.failpoints import FailpointRaised, arm, disarm, failpoint, parse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _harmless_afterwards() -> Iterator[None]:
    yield
    disarm()


def test_nothing_happens_where_nothing_is_armed() -> None:
    for name in failpoints.NAMES:
        failpoint(name)


def test_nth_passage_strikes_and_the_others_do_not() -> None:
    arm(parse("fills.mid=raise@2"))
    failpoint("fills.mid")
    with pytest.raises(FailpointRaised, match=r"fills\.mid"):
        failpoint("fills.mid")
    failpoint("fills.mid")


def test_disarmed_places_are_harmless_for_a_live_run() -> None:
    arm(parse("oms.before_send=raise"))
    disarm()
    failpoint("oms.before_send")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("oms.befor_send=raise", "named 'oms.befor_send', allowed: "),
        ("fills.mid=explode", "had 'explode', allowed: kill9, raise, sleep:SECONDS"),
        ("fills.mid=sleep:soon", "had 'sleep:soon', allowed"),
        ("fills.mid=raise@0", "had @0, allowed: a whole number from 1"),
    ],
)
def test_misspelt_failpoint_is_refused_at_start(text: str, sentence: str) -> None:
    """F-087: a place that does not exist would prove nothing."""
    with pytest.raises(ImproperlyConfigured, match=re.escape(sentence)):
        parse(text)


def test_kill9_ends_the_process_with_sigkill() -> None:
    code = "from trades.failpoints import arm, failpoint, parse\n"
    code += "arm(parse('fills.mid=kill9'))\nfailpoint('fills.mid')\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_every_place_in_the_code_is_named_in_the_list() -> None:
    """A call with an unknown name could never be armed; a name without a call proves nothing."""
    called = set()
    for path in (*(ROOT / "trades").rglob("*.py"), *(ROOT / "optimization").rglob("*.py")):
        called.update(re.findall(r'failpoint\("([a-z_.0-9]+)"\)', path.read_text()))
    assert called == failpoints.NAMES
