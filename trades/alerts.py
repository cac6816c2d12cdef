"""What the order path wants a person to hear of, and which brake it pulls by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from engine.flattening import LEFT_OPEN
from engine.ports import TradingState

# A position without its stop at the venue; one alert a position.
UNPROTECTED = "UNPROTECTED"
STOP_REFUSED = "STOP_REFUSED"
TRANSFERS_UNREADABLE = "TRANSFERS_UNREADABLE"
# Open orders at the venue that hold entries back for as long as they are there.
OTHER_DEPLOYMENT, UNKNOWN_OWN_ORDER = "OTHER_DEPLOYMENT", "UNKNOWN_OWN_ORDER"
# An order in a symbol that the venue does not trade any more.
ORDER_UNREAD = "ORDER_UNREAD"
# What stopped a scope until a person lets it go on; the subject is that scope.
REJECTIONS_HALT, SYMBOL_CLOSED = "REJECTIONS_HALT", "SYMBOL_CLOSED"
# Money without protection: what is told of one position must not hide the next one.
WITHOUT_PROTECTION = frozenset({UNPROTECTED, STOP_REFUSED, LEFT_OPEN})


@dataclass(frozen=True, slots=True)
class Alert:
    """One finding of the order path.

    ``subject`` names the order, trade or asset, so that a repeated finding is one alert.
    ``brake`` is the state this finding calls for in ``scope``, None where a notice is enough.
    """

    code: str
    subject: str
    text: str
    scope: str = "global"
    brake: TradingState | None = None


Alarm = Callable[[Alert], None]
Over = Callable[[str, Collection[str]], None]
"""Hears a code and the subjects that still stand: what else was told under that code is over."""


def nobody_hears(code: str, standing: Collection[str]) -> None:
    """The ``Over`` of whoever keeps no alerts."""


class ControlWatch(Protocol):
    """Hears of breakers and of every change of the control state."""

    def alarm(self, alert: Alert) -> None: ...

    def control_changed(self, scope: str, state: TradingState, reason: str) -> None:
        """Called once a change, by whoever made it, at the first event after it."""
