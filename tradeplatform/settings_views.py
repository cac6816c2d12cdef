"""The page Settings: what holds and why; changes are shown as a difference before they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Refused, SettingsRefused
from accounts.models import Scope, SettingsSource
from accounts.pages import is_same_person, needs
from accounts.roles import reaches, user_scope
from accounts.settings_sections import (
    Field,
    Section,
    review,
    review_carry_out,
    review_of_version,
    versions_of,
)
from monitoring.shown import run_of_page
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.settings_page import (
    AccountGone,
    changeable,
    environment_rows,
    plain_digits,
    setting_groups,
)

PAGE = "settings"


@require_GET
@needs(Scope.READ)
def settings_page(request: HttpRequest) -> HttpResponse:
    groups, fault = [], ""
    try:
        groups = setting_groups(run_of_page(request))
    except AccountGone as error:
        fault = str(error)
    except ConfigurationError as error:
        # the line repeats what stands in the file, be it a secret in the wrong place
        may_know = reaches(user_scope(request.user), Scope.ADMIN)
        fault = str(error) if may_know else f"{Path(settings.CONFIG_FILE).name} cannot be read"
    context = {"page": PAGE, "groups": groups, "fault": fault, "environment": environment_rows()}
    return render(request, "tradeplatform/settings.html", context)


@require_GET
@needs(Scope.READ)
def section_page(request: HttpRequest, name: str) -> HttpResponse:
    """One section that is changed here: its form for an administrator, and its history."""
    return _form_page(request, _section(name), entered={})


@require_POST
@needs(Scope.ADMIN)
def section_review(request: HttpRequest, name: str) -> HttpResponse:
    """Show what a form, or going back to a version, would change; writes nothing."""
    section, actor = _section(name), request.user.get_username()
    version = request.POST.get("version", "")
    try:
        if version:
            number = int(version) if version.isdecimal() and len(version) < 9 else -1
            found = review_of_version(section, number, actor=actor)
        else:
            found = review(section, _posted(section, request.POST), actor=actor)
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
        if version:
            return redirect("settings-section", name)
        return _form_page(request, section, entered=request.POST, status=400)
    context = {
        "page": PAGE,
        "section": section,
        "review": found,
        "rows": [(name, _entry(before), _entry(after)) for name, before, after in found.changes],
        "back_to_version": version,
    }
    return render(request, "tradeplatform/settings_review.html", context)


@sensitive_post_parameters("password", "code")
@require_POST
@needs(Scope.ADMIN)
def section_save(request: HttpRequest, name: str) -> HttpResponse:
    """Make a change that was looked at, with a reason and the password."""
    section = _section(name)
    if not is_same_person(request):
        messages.error(request, "Nothing was changed: the password or the code was wrong.")
        return redirect("settings-section", name)
    try:
        names = review_carry_out(
            section,
            request.POST.get("token", ""),
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
            source=SettingsSource.PAGE,
        )
    except Refused as refused:
        messages.error(request, f"Nothing was changed: {refused}")
    else:
        messages.success(request, f"Changed: {', '.join(names)}.")
    return redirect("settings-section", name)


def _form_page(
    request: HttpRequest, section: Section, *, entered: Mapping[str, str], status: int = 200
) -> HttpResponse:
    """Return the form; what was entered stays in it, right or wrong."""
    holding = section.holding()
    fields = [
        (field, entered.get(field.name, _entry(holding[field.name])), _entry(field.default))
        for field in section.fields()
    ]
    context = {
        "page": PAGE,
        "section": section,
        "fields": fields,
        "versions": versions_of(section.name),
    }
    return render(request, "tradeplatform/settings_section.html", context, status=status)


def _section(name: str) -> Section:
    section = changeable().get(name)
    if section is None:
        raise Http404("no such section")
    return section


def _posted(section: Section, posted: Mapping[str, str]) -> dict[str, Any]:
    return {
        f.name: _value(section, f, posted[f.name]) for f in section.fields() if f.name in posted
    }


def _value(section: Section, field: Field, text: str) -> Any:
    """Return a form's text as the kind of value the setting has.

    Raises:
        SettingsRefused: it is none of that kind.
    """
    text = text.strip()
    if isinstance(field.default, bool) and text in ("true", "false"):
        return text == "true"
    if isinstance(field.default, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(field.default, bool):
        try:
            return float(text)
        except ValueError:
            pass
    where = f"{section.name}.{field.name}"
    raise SettingsRefused(f"{where} was {text[:60]!r}, allowed: {field.allowed}")


def _entry(value: Any) -> str:
    """Return a value as its form field has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else plain_digits(value)
