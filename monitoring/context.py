"""What every page's template may use."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest

from accounts.models import Scope
from accounts.roles import reaches, user_scope
from accounts.second_factor import is_enrolled
from monitoring import selectors
from monitoring.shown import run_of_page


def strip(request: HttpRequest) -> dict[str, Any]:
    """Offer the mode strip. Templates call what is callable, so a page without the strip costs
    nothing, and one that uses it many times reads it once."""
    return {
        "strip": cache(lambda: selectors.strip(run_of_page(request))),
        "accounts": cache(selectors.account_choices),
        "has_second_step": cache(lambda: is_enrolled(request.user)),
        "may_administer": cache(lambda: reaches(user_scope(request.user), Scope.ADMIN)),
        "may_operate": cache(lambda: reaches(user_scope(request.user), Scope.OPERATE)),
    }
