"""Halts trading: only cancels, until somebody resumes it."""

from __future__ import annotations

from engine.ports import TradingState
from tradeplatform.control_command import ControlCommand


class Command(ControlCommand):
    help = __doc__
    state = TradingState.HALTED
