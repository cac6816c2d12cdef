"""What the admin pages of all rooms share: read-only tables, links, JSON, asking for a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.errors import Refused
from accounts.fields import ExactDecimalField
from accounts.pages import is_same_person
from accounts.second_factor import is_enrolled

NOTHING = "none"


class ReadOnlyAdmin(ModelAdmin):
    """Rows that services and the trading loop write: the admin looks, searches and links."""

    list_per_page = 50
    # counting millions of rows would make each page slow
    show_full_result_count = False
    list_filter_submit = False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [self._shown(name) for name in super().get_list_display(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": self._all_shown(options["fields"])})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _all_shown(self, names: Iterable[Any]) -> list[Any]:
        return [
            tuple(self._all_shown(name)) if isinstance(name, list | tuple) else self._shown(name)
            for name in names
        ]

    def _shown(self, name: Any) -> Any:
        """Return a column of exact money as one without the padding to twelve places."""
        if not isinstance(name, str) or hasattr(self, name):
            return name
        try:
            field = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            return name
        return _plain(field) if isinstance(field, ExactDecimalField) else name

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@cache
def _plain(field: ExactDecimalField) -> Callable[[Any], str]:
    name = field.name

    def plain(row: Any) -> str:
        value = getattr(row, name)
        return NOTHING if value is None else format(value.normalize() + Decimal(0), "f")

    plain.__name__ = name
    return admin.display(plain, description=field.verbose_name, ordering=name)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Stored with the change and in the audit log.",
    )


class SamePersonForm(ReasonForm):
    """A reason, and the password again: for what lets more be traded than before (SEC-19)."""

    password = forms.CharField(
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
        help_text="Yours, again: this lets more be traded than before.",
    )

    code = forms.CharField(
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code"}),
        help_text="Of your authenticator app.",
    )

    def __init__(self, data: Any = None, *, request: HttpRequest) -> None:
        super().__init__(data)
        self._request = request
        if not is_enrolled(request.user):
            del self.fields["code"]

    def clean_password(self) -> str:
        if not is_same_person(self._request):
            raise forms.ValidationError("The password or the code was wrong.")
        return ""


Act = Callable[[Any, str, str], object]


def asked_with_reason(
    model_admin: ModelAdmin,
    request: HttpRequest,
    queryset: QuerySet[Any],
    *,
    verb: str,
    effect: str,
    act: Act,
    named: Callable[[Any], str] = str,
    loosens: bool = False,
) -> HttpResponse:
    """Show the page that names the rows and asks why, and for the password where the act lets more
    be traded; with them given, act on each row and go back to the list."""
    answered = "apply" in request.POST
    posted = request.POST if answered else None
    form = SamePersonForm(posted, request=request) if loosens else ReasonForm(posted)
    opts = model_admin.model._meta
    back = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    if answered and form.is_valid():
        for row in queryset:
            try:
                act(row, request.user.get_username(), form.cleaned_data["reason"])
            except Refused as refused:
                model_admin.message_user(request, str(refused), messages.ERROR)
            else:
                model_admin.message_user(
                    request, f"Done for {named(row)}: {verb}.", messages.SUCCESS
                )
        return HttpResponseRedirect(back)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{verb.capitalize()}: why?",
        "opts": opts,
        "verb": verb,
        "effect": effect,
        "rows": [(row.pk, named(row)) for row in queryset],
        "form": form,
        "action_name": request.POST.get("action", ""),
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "back": back,
    }
    return TemplateResponse(request, "accounts/admin_reason.html", context)


def link_to(obj: Any, text: str = "") -> SafeString | str:
    """Return a link to a row's admin page."""
    if obj is None:
        return NOTHING
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    return format_html('<a href="{}">{}</a>', url, text or str(obj))


def links_to(objs: Iterable[Any]) -> SafeString | str:
    """Return links to several rows, one a line."""
    found = SafeString("")
    for obj in objs:
        found += format_html("<div>{}</div>", link_to(obj))
    return found or NOTHING


def link_to_list(model: Any, text: str, **query: Any) -> SafeString:
    """Return a link to a filtered or searched list of another model."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(query), text)


def pretty_json(value: Any) -> SafeString:
    """Return JSON as escaped, indented text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return format_html('<pre style="white-space: pre-wrap">{}</pre>', text)
