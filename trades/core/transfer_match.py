"""Whether what a person declared and what the venue lists are one and the same transfer."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

#: Who asks for the adjustments that the venue's lists call for.
VENUE_ACTOR = "venue"
#: A declaration and a listed transfer further apart than this are two.
WINDOW = timedelta(days=3)
#: People declare what they sent, the venue lists what arrived: a fee lies between.
TOLERANCE = Decimal("0.01")


def declares(declared: Decimal, listed: Decimal, fee: Decimal) -> bool:
    """True where both amounts (signed, of one asset) go the same way and differ by the listed fee
    or ``TOLERANCE`` of what is listed at most."""
    if declared * listed <= 0:
        return False
    return abs(declared - listed) <= max(fee, abs(listed) * TOLERANCE)
