"""What every page's template may use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Scope
from accounts.roles import reaches, user_scope
from monitoring import selectors


def strip(request: HttpRequest) -> dict[str, Any]:
    """Offer the mode strip; read only by templates that show it, and only for readers."""
    code = request.GET.get("run")
    return {
        "strip": SimpleLazyObject(lambda: selectors.strip(selectors.run_shown(code))),
        "may_operate": SimpleLazyObject(lambda: reaches(user_scope(request.user), Scope.OPERATE)),
    }
