"""What a page needs of a section of settings that people change at run time: its fields, what
holds, a diff before saving, its versions. Each room brings its own section; the rules of what a
value may be stay there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from django.core import signing

from accounts.errors import SettingsRefused
from accounts.models import SettingsVersion

_SALT = "settings-review"
REVIEW_LASTS_S = 900
VERSIONS_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: what it is in words, its default, and what it may be in words."""

    name: str
    default: Any
    help: str
    allowed: str


class Section(Protocol):
    """A section of settings as the page of settings sees it."""

    name: str
    title: str

    def fields(self) -> Sequence[Field]: ...

    def holding(self) -> Mapping[str, Any]:
        """Return the values that hold now, by name, a default where nobody set one."""

    def checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return changes as they would be stored.

        Raises:
            Refused: an unknown name or a value that is not allowed, in one line.
        """

    def change(
        self, *, changes: Mapping[str, Any], actor: str, reason: str, source: str, expected: int
    ) -> None:
        """Write the next version.

        Raises:
            Refused: as ``checked``; no reason; or ``expected`` is not the newest version.
        """


class Change(NamedTuple):
    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Review:
    """What a change would do, with the token that makes it. ``changes`` is never empty."""

    changes: tuple[Change, ...]
    token: str


def versions_of(section: str) -> list[SettingsVersion]:
    """Return the newest versions of a section, newest first."""
    rows = SettingsVersion.objects.filter(section=section).order_by("-version")
    return list(rows[:VERSIONS_SHOWN])


def review(section: Section, changes: Mapping[str, Any], *, actor: str) -> Review:
    """Say what would change; writes nothing.

    Raises:
        SettingsRefused: nothing would change.
        Refused: as ``Section.checked``.
    """
    good, now = section.checked(changes), section.holding()
    found = tuple(
        Change(name, now.get(name), good[name]) for name in sorted(good) if good[name] != now[name]
    )
    if not found:
        raise SettingsRefused(
            "nothing would change, allowed: another value than the one that holds"
        )
    signed = {
        "section": section.name,
        "changes": {change.name: change.after for change in found},
        "version": _newest(section.name),
        "actor": actor,
    }
    return Review(found, signing.dumps(signed, salt=_SALT, compress=True))


def review_of_version(section: Section, version: int, *, actor: str) -> Review:
    """Say what going back to a version would change: to its values, and to the default of what it
    does not name.

    Raises:
        SettingsRefused: no such version, or it is as what holds.
    """
    row = SettingsVersion.objects.filter(section=section.name, version=version).first()
    if row is None:
        raise SettingsRefused(f"version was {version}, which {section.name} never had")
    changes = {f.name: row.values.get(f.name, f.default) for f in section.fields()}
    return review(section, changes, actor=actor)


def review_carry_out(
    section: Section, token: str, *, actor: str, reason: str, source: str
) -> tuple[str, ...]:
    """Make a change that was reviewed; return the names that changed.

    Raises:
        SettingsRefused: the token is too old, of another person or section, or somebody changed
            the section since.
    """
    try:
        signed = signing.loads(token, salt=_SALT, max_age=REVIEW_LASTS_S)
    except signing.BadSignature:
        raise SettingsRefused(
            "the review was older than 15 minutes or not ours; look again"
        ) from None
    if (signed["section"], signed["actor"]) != (section.name, actor):
        raise SettingsRefused("the review was of another section or another person; look again")
    section.change(
        changes=signed["changes"],
        actor=actor,
        reason=reason,
        source=source,
        expected=signed["version"],
    )
    return tuple(signed["changes"])


def _newest(section: str) -> int:
    row = SettingsVersion.objects.filter(section=section).order_by("-version").first()
    return row.version if row else 0
