"""Errors of this room."""

from accounts.errors import Refused


class SilenceRefused(Refused):
    """A silence that may not be made or ended as asked."""

    status = 400
    reason_code = "silence_refused"
