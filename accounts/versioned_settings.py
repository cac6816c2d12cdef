"""Settings that people change at run time: versioned rows, audited in the same transaction.

The configuration file gives the first version. A file whose content changed since it was last
taken over is a change like any other, and the later act wins (D-31).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone

from accounts.audit import audit_record
from accounts.errors import SettingsRefused
from accounts.models import SettingsSource, SettingsVersion

FILE_ACTOR = "configuration file"
# Sent on commit with ``section`` and ``values``: a room above tells the screens.
settings_changed = Signal()


def settings_newest(section: str) -> SettingsVersion | None:
    """Return the version that holds; None where nobody has ever set the section."""
    return SettingsVersion.objects.filter(section=section).order_by("-version").first()


def settings_digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a section's canonical JSON."""
    text = json.dumps(dict(values), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def settings_change(
    *,
    section: str,
    values: Mapping[str, Any],
    actor: str,
    reason: str,
    source: str,
    expected_version: int | None = None,
) -> SettingsVersion:
    """Write the next version of a section, or return the newest where nothing would change.

    Args:
        values: the whole section, checked by the room it belongs to.
        expected_version: the version the person looked at; another one is refused.

    Raises:
        SettingsRefused: no reason, or somebody else changed the section meanwhile.
    """
    if not reason.strip():
        raise SettingsRefused(f"reason was empty, a change of {section} needs one")
    last = settings_newest(section)
    number = last.version if last else 0
    if expected_version is not None and expected_version != number:
        raise SettingsRefused(
            f"{section} was at version {number}, you looked at {expected_version}; look again",
            reason_code="changed_meanwhile",
        )
    if last is not None and last.digest == settings_digest(values):
        return last
    return _write(section, number + 1, values, actor, reason.strip(), source, last)


def settings_adopt_file(*, section: str, values: Mapping[str, Any]) -> SettingsVersion | None:
    """Take the file's section over where it differs from the file last taken over.

    Returns the new version, or None where the file is as it was: then what people changed since
    goes on holding.
    """
    of_file = SettingsVersion.objects.filter(section=section, source=SettingsSource.FILE)
    known = of_file.order_by("-version").first()
    if known is not None and known.digest == settings_digest(values):
        return None
    last = settings_newest(section)
    reason = "the file was read for the first time" if known is None else "the file was changed"
    number = last.version + 1 if last else 1
    return _write(section, number, values, FILE_ACTOR, reason, SettingsSource.FILE, last)


def _write(
    section: str,
    number: int,
    values: Mapping[str, Any],
    actor: str,
    reason: str,
    source: str,
    last: SettingsVersion | None,
) -> SettingsVersion:
    before = dict(last.values) if last else {}
    changed = [key for key in sorted({*values, *before}) if values.get(key) != before.get(key)]
    now = timezone.now()
    try:
        with transaction.atomic():
            row = SettingsVersion.objects.create(
                section=section,
                version=number,
                values=dict(values),
                actor=actor[:120],
                reason=reason,
                source=source,
                digest=settings_digest(values),
                changed_at=now,
            )
            audit_record(
                actor=actor,
                action="settings.change",
                object_type="settings",
                object_id=section,
                reason=reason,
                before={key: before.get(key) for key in changed},
                after={key: values.get(key) for key in changed}
                | {"version": number, "source": source},
                at=now,
            )
            transaction.on_commit(
                lambda: settings_changed.send(sender=None, section=section, values=dict(values))
            )
    except IntegrityError as error:
        raise SettingsRefused(
            f"{section} was changed by somebody else, version {number} is there already",
            reason_code="changed_meanwhile",
        ) from error
    return row
