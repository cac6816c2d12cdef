"""How one person wants the pages: time zone, theme, palette, rows a page, first steps. What is
traded, counted and stored goes by UTC whatever stands here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.errors import PreferenceRefused
from accounts.models import Palette, Preference, Theme

UTC_NAME = "UTC"
PAGE_SIZES = (25, 50, 100, 200)
_NOT_PLACES = ("Etc/", "SystemV/", "US/", "posix/", "right/")
FIELDS = ("time_zone", "theme", "palette", "page_size", "shows_steps")
_FLAGS = {"true": True, "false": False}


@cache
def zone_names() -> tuple[str, ...]:
    """Return what a person may choose: UTC first, then each place by name."""
    places = {name for name in available_timezones() if "/" in name}
    return (UTC_NAME, *sorted(name for name in places if not name.startswith(_NOT_PLACES)))


def preference_of(user: Any) -> Preference:
    """Return what a person chose; the defaults, unsaved, for whoever chose nothing or is nobody.

    Kept on the user, which lives for one request.
    """
    if user is None or not user.is_authenticated:
        return Preference()
    known: Preference | None = getattr(user, "_preference_of_pages", None)
    if known is None:
        known = Preference.objects.filter(user_id=user.pk).first() or Preference(user_id=user.pk)
        user._preference_of_pages = known
    return known


def zone_of_pages(user: Any) -> ZoneInfo:
    """Return the zone a person's pages show; UTC where this machine does not know it any more."""
    try:
        return ZoneInfo(preference_of(user).time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(UTC_NAME)


def preference_save(*, user: User, values: Mapping[str, object], actor: str) -> Preference:
    """Change what is named, audited; the same again writes nothing.

    Raises:
        PreferenceRefused: an unknown name or value; nothing is changed then.
    """
    good = {name: _checked(name, value) for name, value in values.items()}
    row = Preference.objects.filter(user=user).first() or Preference(user=user)
    before = {name: getattr(row, name) for name in good}
    if before == good and row.pk is not None:
        return row
    for name, value in good.items():
        setattr(row, name, value)
    row.changed_at = timezone.now()
    with transaction.atomic():
        row.save()
        audit_record(
            actor=actor,
            action="preferences.change",
            object_type="user",
            object_id=user.get_username(),
            before=before,
            after=good,
        )
    return row


def _checked(name: str, value: object) -> str | int:
    allowed: tuple[str | int, ...]
    match name:
        case "time_zone":
            allowed = zone_names()
        case "theme":
            allowed = tuple(Theme.values)
        case "palette":
            allowed = tuple(Palette.values)
        case "page_size":
            allowed = PAGE_SIZES
            value = int(value) if isinstance(value, str) and value.isdecimal() else value
        case "shows_steps":
            allowed = tuple(_FLAGS.values())
            value = _FLAGS.get(value, value) if isinstance(value, str) else value
        case _:
            raise PreferenceRefused(f"preference was {name[:40]!r}, allowed: {', '.join(FIELDS)}")
    for one in allowed:
        if type(one) is type(value) and one == value:
            return one
    shown = "UTC or a place such as Europe/Berlin" if name == "time_zone" else _listed(allowed)
    raise PreferenceRefused(f"{name} was {str(value)[:60]!r}, allowed: {shown}")


def _listed(values: tuple[str | int, ...]) -> str:
    names = {flag: name for name, flag in _FLAGS.items()}
    return ", ".join(names[one] if isinstance(one, bool) else str(one) for one in values)
