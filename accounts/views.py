"""Logging in and out: password, second step, and the one-time link of the first administrator."""

from __future__ import annotations

import time
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from accounts.backends import login_succeeded
from accounts.errors import LoginLinkRefused
from accounts.second_factor import code_accept, is_enrolled
from accounts.services import login_link_is_valid, login_link_use

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
SECOND_STEP_FOR_S = 300
_PENDING = "login_waits_for_code"


class LoginPage(LoginView):
    """Name and password. Who has a second step is logged in only after it."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        login_succeeded(user.get_username())
        if not is_enrolled(user):
            return super().form_valid(form)
        self.request.session[_PENDING] = {
            "user": user.pk,
            "at": int(time.time()),
            # a password changed in between makes the first step worthless
            "hash": user.get_session_auth_hash(),
            "next": self.get_success_url(),
        }
        return redirect("login-code")


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def login_code(request: HttpRequest) -> HttpResponse:
    """Ask for the code; wrong ones count towards the same lock as wrong passwords."""
    pending = request.session.get(_PENDING)
    user = _waiting_user(pending)
    if user is None:
        request.session.pop(_PENDING, None)
        return redirect("login")
    if request.method == "GET":
        return render(request, "accounts/login_code.html")
    credentials = {"username": user.get_username()}
    if not AxesProxyHandler.is_allowed(request, credentials):
        request.axes_locked_out = True  # type: ignore[attr-defined]
        return render(request, "accounts/login_code.html")
    if not code_accept(user, request.POST.get("code", "")[:64]):
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        return render(request, "accounts/login_code.html", {"is_wrong": True})
    del request.session[_PENDING]
    login(request, user, backend=MODEL_BACKEND)
    return redirect(pending["next"])


def _waiting_user(pending: Any) -> Any:
    if not isinstance(pending, dict) or time.time() - pending["at"] > SECOND_STEP_FOR_S:
        return None
    user = get_user_model().objects.filter(pk=pending["user"], is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), pending["hash"]):
        return None
    return user


@require_GET
def admin_login(request: HttpRequest) -> HttpResponse:
    """Lead to the one login there is: the admin's own would know no second step."""
    if request.user.is_authenticated:
        raise PermissionDenied("the admin pages are for administrators")
    return redirect_to_login(request.GET.get("next") or "/admin/")


@never_cache
@sensitive_post_parameters("password", "repeat")
@require_http_methods(["GET", "POST"])
def login_link(request: HttpRequest, token: str) -> HttpResponse:
    """Let the link's holder choose a name and password; looking at the page uses nothing up."""
    username = request.POST.get("username", "").strip()
    context = {"is_valid": login_link_is_valid(token), "username": username}
    if request.method == "GET" or not context["is_valid"]:
        status = 200 if context["is_valid"] else 410
        return render(request, "accounts/login_link.html", context, status=status)
    password = request.POST.get("password", "")
    try:
        if password != request.POST.get("repeat", ""):
            raise LoginLinkRefused("the two passwords were not the same")
        user = login_link_use(token, username, password)
    except LoginLinkRefused as error:
        context["error"] = str(error)
        # not 400: Django logs the path of a bad request, and this path is a secret
        return render(request, "accounts/login_link.html", context)
    login(request, user, backend=MODEL_BACKEND)
    return redirect("overview")
