"""The page Notifications: where messages go, what was told, and why something was not."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Scope
from accounts.pages import needs, page_of, query_of
from accounts.roles import reaches, user_scope
from notifications.errors import NotificationRefused
from notifications.models import MessageState
from notifications.selectors import channel_rows, message_list, unheard_now
from notifications.services import TAKE_MESSAGES, channel_test


@require_GET
@needs(Scope.READ)
def notification_page(request: HttpRequest) -> HttpResponse:
    channels = channel_rows(timezone.now())
    names = [row["name"] for row in channels]
    channel = request.GET.get("channel", "")
    state = request.GET.get("state", "")
    chosen = {
        "channel": channel if channel in names else "",
        "state": state if state in MessageState.values else "",
    }
    context = {
        "page": "notifications",
        "channels": channels,
        "unheard": unheard_now(),
        "rows": page_of(request, message_list(**chosen)),
        "query": query_of(request),
        "chosen": chosen,
        "names": names,
        "states": MessageState.values,
        "may_test": [
            row["name"] for row in channels if row["kind"] in TAKE_MESSAGES and not row["problem"]
        ],
        "may_administer": reaches(user_scope(request.user), Scope.ADMIN),
    }
    return render(request, "notifications/notifications.html", context)


@require_POST
@needs(Scope.ADMIN)
def channel_try(request: HttpRequest) -> HttpResponse:
    """Queue a test message on one channel; audited with the reason given."""
    try:
        message = channel_test(
            channel=request.POST.get("channel", "")[:40],
            actor=request.user.get_username(),
            reason=request.POST.get("reason", "")[:500],
        )
    except NotificationRefused as refused:
        messages.error(request, f"Nothing was sent: {refused}")
    else:
        messages.success(
            request, f"Queued on {message.channel}; load this page again in a few seconds."
        )
    return redirect("notifications")
