"""A person's own page: password, second step, where they are logged in."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts import second_factor, totp
from accounts.errors import PreferenceRefused, SecondFactorRefused
from accounts.models import Palette, Theme
from accounts.pages import back_to, is_same_person, needs_login
from accounts.preferences import FIELDS, PAGE_SIZES, preference_save, zone_names
from accounts.sessions import session_end, session_list, session_rekey, session_row
from accounts.users import password_set

WRONG = "Nothing was changed: the password or the code was wrong."


@require_GET
@needs_login
def account_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs_login
def preferences_change(request: HttpRequest) -> HttpResponse:
    """Set how one's own pages look; holds from the next page on."""
    given = {name: request.POST[name] for name in FIELDS if name in request.POST}
    try:
        preference_save(user=request.user, values=given, actor=request.user.get_username())
    except PreferenceRefused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(request, "Your pages look so from now on.")
    return back_to(request, "account")


@sensitive_post_parameters("password", "code", "new", "repeat")
@require_POST
@needs_login
def password_change(request: HttpRequest) -> HttpResponse:
    """Set one's own password; every other login of the person ends."""
    new = request.POST.get("new", "")
    if not is_same_person(request):
        messages.error(request, WRONG)
        return redirect("account")
    try:
        if new != request.POST.get("repeat", ""):
            raise ValidationError("The two new passwords were not the same.")
        password_set(
            user=request.user,
            password=new,
            actor=request.user.get_username(),
            reason="by the person",
            keep=request.session.session_key,
        )
    except ValidationError as error:
        messages.error(request, "Nothing was changed: " + " ".join(error.messages))
        return redirect("account")
    former = request.session.session_key
    update_session_auth_hash(request, request.user)
    session_rekey(former, request.session.session_key)
    messages.success(request, "The password is changed; every other login of yours has ended.")
    return redirect("account")


@require_POST
@needs_login
def totp_start(request: HttpRequest) -> HttpResponse:
    try:
        if is_same_person(request):
            second_factor.enrolment_start(request.user)
        else:
            messages.error(request, WRONG)
    except SecondFactorRefused as error:
        messages.error(request, f"Nothing was changed: {error}")
    return redirect("account")


@require_POST
@needs_login
def totp_finish(request: HttpRequest) -> HttpResponse:
    """Check the first code; the answer shows the recovery codes once."""
    try:
        codes = second_factor.enrolment_finish(request.user, request.POST.get("code", "")[:16])
    except SecondFactorRefused as error:
        messages.error(request, f"Nothing was changed: {error}")
        return redirect("account")
    return _page(request, codes)


@require_POST
@needs_login
def recovery_codes(request: HttpRequest) -> HttpResponse:
    if not second_factor.is_enrolled(request.user) or not is_same_person(request):
        messages.error(request, WRONG)
        return redirect("account")
    return _page(request, second_factor.recovery_codes_renew(request.user))


@require_POST
@needs_login
def totp_remove(request: HttpRequest) -> HttpResponse:
    if not is_same_person(request):
        messages.error(request, WRONG)
        return redirect("account")
    second_factor.second_factor_remove(
        request.user, actor=request.user.get_username(), reason="by the person"
    )
    messages.success(request, "The second step is off: the password alone logs you in.")
    return redirect("account")


@require_POST
@needs_login
def own_session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of one's own logins; those of others are not found (SEC-10)."""
    row = session_list(request.user).filter(pk=session_id).first()
    if row is None:
        raise Http404("no such login of yours")
    session_end(row, actor=request.user.get_username())
    messages.success(request, "That login has ended.")
    return redirect("account")


def _page(request: HttpRequest, codes: list[str] | None = None) -> HttpResponse:
    user = request.user
    secret = second_factor.enrolment_secret(user)
    here = session_row(request.session.session_key)
    context = {
        "page": "account",
        "is_enrolled": second_factor.is_enrolled(user),
        "codes_left": second_factor.recovery_codes_left(user),
        "codes": codes,
        "secret": totp.in_groups(secret) if secret else "",
        "uri": totp.enrolment_uri(secret, user.get_username()) if secret else "",
        "sessions": session_list(user),
        "here": here.pk if here else 0,
        "zones": zone_names(),
        "themes": Theme.choices,
        "palettes": Palette.choices,
        "page_sizes": PAGE_SIZES,
    }
    return render(request, "accounts/account.html", context)
