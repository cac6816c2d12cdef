"""Halts trading: nothing new is sent, only cancels, until somebody resumes it. Stops that rest at
the broker stay and may fill."""

from __future__ import annotations

from engine.ports import TradingState
from tradeplatform.control_command import ControlCommand


class Command(ControlCommand):
    help = __doc__
    state = TradingState.HALTED
