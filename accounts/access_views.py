"""Users, tokens and logins of everybody: for administrators, each change with a reason."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import audit_head, audit_verify
from accounts.errors import Refused
from accounts.exports import csv_text
from accounts.models import AuditEvent, LoginSession, Scope
from accounts.pages import is_same_person, needs, page_of, query_of
from accounts.roles import ROLES
from accounts.selectors import audit_actions, audit_list, token_get, token_list, user_rows
from accounts.services import token_create, token_revoke, user_create
from accounts.sessions import session_end, session_list
from accounts.users import user_set_active, user_set_role

WRONG = "Nothing was changed: the password or the code was wrong."
AUDIT_FILTERS = ("actor", "action", "object_type", "object_id")
AUDIT_COLUMNS = (
    *("seq", "at", "actor", "action", "object_type", "object_id", "reason", "before", "after"),
    *("request_id", "ip_address", "row_hash"),
)
EXPORTED_EVENTS = 10_000
TOKEN_DAYS = (7, 30, 90, 365)


@require_GET
@needs(Scope.ADMIN)
def access_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@sensitive_post_parameters("password", "code", "new")
@require_POST
@needs(Scope.ADMIN)
def user_add(request: HttpRequest) -> HttpResponse:
    if not is_same_person(request):
        return _refused(request, WRONG)
    role = request.POST.get("role", "")
    if role not in ROLES:
        return _refused(request, f"role was {role[:20]!r}, allowed: {', '.join(ROLES)}")
    try:
        user = user_create(
            username=request.POST.get("username", "").strip(),
            password=request.POST.get("new", ""),
            role=role,
            actor=request.user.get_username(),
        )
    except ValidationError as error:
        return _refused(request, "Nobody was added: " + " ".join(error.messages))
    messages.success(request, f"{user.get_username()} may log in as {role}.")
    return redirect("access")


@require_POST
@needs(Scope.ADMIN)
def user_change(request: HttpRequest) -> HttpResponse:
    """Set a role, or let in and keep out."""
    user = User.objects.filter(pk=_posted_id(request, "user")).first()
    if user is None:
        raise Http404("no such user")
    if not is_same_person(request):
        return _refused(request, WRONG)
    given = {"actor": request.user.get_username(), "reason": request.POST.get("reason", "")[:500]}
    try:
        act = request.POST.get("act", "")
        if act == "role":
            changed = user_set_role(user=user, role=request.POST.get("role", ""), **given)
        elif act in ("activate", "deactivate"):
            changed = user_set_active(user=user, is_active=act == "activate", **given)
        else:
            return _refused(request, f"act was {act[:20]!r}, allowed: role, activate, deactivate")
    except Refused as error:
        return _refused(request, f"Nothing was changed: {error}")
    messages.success(
        request, f"{user.get_username()} is changed." if changed else "Nothing to change."
    )
    return redirect("access")


@sensitive_post_parameters("password", "code")
@require_POST
@needs(Scope.ADMIN)
def token_add(request: HttpRequest) -> HttpResponse:
    """Make a token; the answer shows it once."""
    if not is_same_person(request):
        return _refused(request, WRONG)
    days = request.POST.get("days", "")
    if days and days not in map(str, TOKEN_DAYS):
        return _refused(request, f"days were {days[:10]!r}, allowed: {TOKEN_DAYS} or none")
    try:
        row, token = token_create(
            name=request.POST.get("name", ""),
            scope=request.POST.get("scope", ""),
            actor=request.user.get_username(),
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
        )
    except Refused as error:
        return _refused(request, f"No token was made: {error}")
    return _page(request, made=row.name, token=token)


@require_POST
@needs(Scope.ADMIN)
def token_end(request: HttpRequest) -> HttpResponse:
    """Revoke a token; it only takes away, so it asks for no password."""
    token = token_get(_posted_id(request, "token"))
    if token is None:
        raise Http404("no such token")
    reason = request.POST.get("reason", "").strip()[:500]
    if not reason:
        return _refused(request, "Nothing was changed: reason was empty.")
    token_revoke(token=token, actor=request.user.get_username(), reason=reason)
    messages.success(request, f"{token.name} works no longer.")
    return redirect("access")


@require_POST
@needs(Scope.ADMIN)
def any_session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    row = LoginSession.objects.select_related("user").filter(pk=session_id).first()
    if row is None:
        raise Http404("no such login")
    session_end(row, actor=request.user.get_username(), reason="by an administrator")
    messages.success(request, f"That login of {row.user.get_username()} has ended.")
    return redirect("access")


@require_GET
@needs(Scope.ADMIN)
def audit_page(request: HttpRequest) -> HttpResponse:
    """The audit trail with filters; ``verify=1`` walks the chain as well."""
    filters = _audit_filters(request)
    rows = _audit_rows(filters)
    is_asked = request.GET.get("verify") == "1"
    context = {
        "page": "audit",
        "rows": page_of(request, rows),
        "filters": filters,
        "query": query_of(request),
        "actions": audit_actions(),
        "head": audit_head(),
        "is_verified": is_asked,
        "broken": audit_verify() if is_asked else None,
    }
    return render(request, "accounts/audit.html", context)


@require_GET
@needs(Scope.ADMIN)
def audit_csv(request: HttpRequest) -> HttpResponse:
    """The newest events that fit the filters, as a table for a spreadsheet."""
    rows = _audit_rows(_audit_filters(request))[:EXPORTED_EVENTS]
    text = csv_text(AUDIT_COLUMNS, ([getattr(row, c) for c in AUDIT_COLUMNS] for row in rows))
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return answer


def _audit_filters(request: HttpRequest) -> dict[str, str]:
    return {
        name: request.GET.get(name, "").replace("\x00", "").strip()[:120] for name in AUDIT_FILTERS
    }


def _audit_rows(filters: dict[str, str]) -> QuerySet[AuditEvent]:
    return audit_list(**{name: value or None for name, value in filters.items()})


def _posted_id(request: HttpRequest, name: str) -> int:
    """Return a posted row number; 0, which no row has, where it was none."""
    text = request.POST.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 16 else 0


def _page(request: HttpRequest, *, made: str = "", token: str = "") -> HttpResponse:
    context = {
        "page": "access",
        "users": user_rows(),
        "roles": list(ROLES),
        "scopes": Scope.values,
        "days": TOKEN_DAYS,
        "tokens": token_list(),
        "now": timezone.now(),
        "sessions": session_list(),
        "made": made,
        "token": token,
    }
    return render(request, "accounts/access.html", context)


def _refused(request: HttpRequest, text: str) -> HttpResponse:
    messages.error(request, text)
    return redirect("access")
