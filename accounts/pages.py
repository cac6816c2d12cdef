"""What the pages of every room share: who may look, and is it still the same person?"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import Scope
from accounts.roles import reaches, user_scope

View = Callable[..., HttpResponse]


def needs(scope: Scope, *, is_data: bool = False) -> Callable[[View], View]:
    """Ask for a login and a role; data answers with a status, a page with the login form."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                if is_data:
                    return JsonResponse({"detail": "Log in first."}, status=401)
                return redirect_to_login(request.get_full_path())
            if not reaches(user_scope(request.user), scope):
                raise PermissionDenied(f"this needs the scope {scope}")
            return view(request, *args, **kwargs)

        return checked

    return decorate


def is_same_person(request: HttpRequest) -> bool:
    """Through the login backends, so that wrong tries count towards the lock-out (SEC-19)."""
    user = authenticate(
        request,
        username=request.user.get_username(),
        password=request.POST.get("password", ""),
    )
    return user is not None and user.pk == request.user.pk


def back_to(request: HttpRequest, otherwise: str) -> HttpResponse:
    """Return to the page the form named, where it is one of ours."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(target if is_ours else otherwise)
