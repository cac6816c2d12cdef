"""What every page's template may use of the person who looks at it."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from accounts.preferences import preference_of


def person(request: HttpRequest) -> dict[str, Any]:
    """Offer the person's preferences and the name of the zone its times are shown in.

    Templates call what is callable, so an answer without a page asks for nothing.
    """
    return {
        "preference": partial(preference_of, getattr(request, "user", None)),
        "zone": timezone.get_current_timezone_name,
    }
