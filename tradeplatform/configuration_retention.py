"""The section ``retention``: how long what nobody needs for trading is kept."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Days = Annotated[float, Meta(ge=1.0, le=3650.0)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days of wall time."""

    messages_days: Days = 30.0
    """Of the outbox: sent, suppressed or given up; what still waits stays."""
    candles_days: Days = 3650.0
    """Of stored candles, by the venue's clock; the newest 10,000 of each symbol stay anyway."""
    packed_logs_days: Days = 90.0
    """Rotated logs are packed at night; packed ones older than this are deleted."""
