"""Named places where a test may kill, fail or delay this process (T2).

Nothing happens unless TRADEPLATFORM_FAILPOINTS names the place; a live run disarms them all.
The variable reads ``name=action[@nth]``, comma separated; actions are ``kill9``, ``raise`` and
``sleep:SECONDS``. ``@nth`` strikes on the nth passage of this process only, otherwise on each.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from trades.errors import TradesError

VARIABLE = "TRADEPLATFORM_FAILPOINTS"
# One list, so that a misspelt name is refused at start instead of proving nothing.
NAMES = frozenset(
    {
        "signal.after_persist",
        "event.before_commit",
        "event.after_commit",
        "oms.before_claim",
        "oms.before_send",
        "oms.after_send",
        "oms.after_record",
        "fills.before",
        "fills.mid",
        "fills.after",
        "cancel.before_send",
        "cancel.after_send",
        "stop.between",
        "recon.start",
        "recon.each_step",
        "recon.end",
        "lease.after_take",
        "opt.mid_update",
    }
)


class FailpointRaised(TradesError):
    """The failure that a ``raise`` action asks for."""


@dataclass(slots=True)
class Armed:
    """One armed place: what happens, on which passage (0 = each), and how often it was passed."""

    act: Callable[[str], None]
    nth: int
    passed: int = 0

    def pass_by(self, name: str) -> None:
        self.passed += 1
        if self.nth in (0, self.passed):
            self.act(name)


def parse(text: str) -> dict[str, Armed]:
    """Read the variable.

    Raises:
        ImproperlyConfigured: an unknown place or action; the message names what is allowed.
    """
    armed: dict[str, Armed] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = entry.partition("=")
        action, _, nth = rest.partition("@")
        if name not in NAMES:
            raise ImproperlyConfigured(
                f"{VARIABLE} named {name!r}, allowed: {', '.join(sorted(NAMES))}"
            )
        if nth and not (nth.isdigit() and int(nth) > 0):
            raise ImproperlyConfigured(f"{VARIABLE} had @{nth}, allowed: a whole number from 1")
        armed[name] = Armed(_action(action), int(nth or 0))
    return armed


def _action(text: str) -> Callable[[str], None]:
    verb, _, argument = text.partition(":")
    if verb == "kill9" and not argument:
        return _kill
    if verb == "raise" and not argument:
        return _raise
    if verb == "sleep" and argument.replace(".", "", 1).isdigit():
        seconds = float(argument)
        return lambda _name: time.sleep(seconds)
    raise ImproperlyConfigured(f"{VARIABLE} had {text!r}, allowed: kill9, raise, sleep:SECONDS")


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(name: str) -> None:
    raise FailpointRaised(f"failpoint {name} was armed to raise")


# Read once a process: the look-up below must cost nothing in a run that arms nothing.
_armed: dict[str, Armed] = parse(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Do what was armed for ``name``; nothing otherwise."""
    armed = _armed.get(name)
    if armed is not None:
        armed.pass_by(name)


def arm(places: Mapping[str, Armed]) -> None:
    """Replace what is armed in this process (tests)."""
    disarm()
    _armed.update(places)


def disarm() -> None:
    """Make every place harmless for the life of this process; a live run does so first."""
    _armed.clear()
