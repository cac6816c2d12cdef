"""Errors of this room."""

from __future__ import annotations

from accounts.errors import Refused


class ResourcesRefused(Refused):
    """Something that was asked of the optimizer and is not done: what, its value, what is
    allowed."""

    status = 400
    reason_code = "optimizer_refused"


class ActionFailed(Exception):
    """An action that could not be carried out; the message is one line."""
