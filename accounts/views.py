"""Logging in and out, and the one-time link of the first administrator."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.errors import LoginLinkRefused
from accounts.services import login_link_is_valid, login_link_use

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class LoginPage(LoginView):
    template_name = "accounts/login.html"
    redirect_authenticated_user = True


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
