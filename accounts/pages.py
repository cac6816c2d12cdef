"""What the pages of every room share: who may look, and is it still the same person?"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.backends import login_succeeded
from accounts.models import Scope
from accounts.preferences import preference_of
from accounts.roles import reaches, user_scope
from accounts.second_factor import code_accept, is_enrolled
from accounts.sessions import session_confirm

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


def needs_login(view: View) -> View:
    """Ask for a login and for no role: one's own access is one's own affair."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return checked


def page_of(request: HttpRequest, rows: Any) -> Any:
    """Return the page of rows that the address names, as long as the person wants pages."""
    size = preference_of(request.user).page_size
    return Paginator(rows, size).get_page(request.GET.get("page"))


def query_of(request: HttpRequest) -> str:
    """Return the address's filters without the page number, for the links to other pages."""
    query = request.GET.copy()
    query.pop("page", None)
    return query.urlencode()


def is_same_person(request: HttpRequest) -> bool:
    """Ask the posted ``password``, and ``code`` of whoever has a second step (SEC-19)."""
    return confirm_person(
        request, request.POST.get("password", ""), code=request.POST.get("code", "")
    )


def confirm_person(request: Any, password: str, *, code: str) -> bool:
    """Return whether the person at this session showed again who it is; notes it if so.

    Through the login backends, so that wrong tries count towards the lock-out. A code is looked
    at, and used up, only after the right password.
    """
    name = request.user.get_username()
    user = authenticate(request, username=name, password=password)
    if user is None or user.pk != request.user.pk:
        return False
    login_succeeded(name)
    if is_enrolled(user) and not code_accept(user, code):
        return False
    session_confirm(request)
    return True


def back_to(request: HttpRequest, otherwise: str) -> HttpResponse:
    """Return to the page the form named, where it is one of ours."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(target if is_ours else otherwise)
