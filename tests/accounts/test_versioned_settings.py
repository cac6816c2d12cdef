"""Settings that people change at run time: versions, the file, two people at once."""

import pytest

from accounts.errors import SettingsRefused
from accounts.models import AuditEvent, SettingsVersion
from accounts.versioned_settings import settings_adopt_file, settings_change, settings_newest

pytestmark = pytest.mark.django_db
FILE = {"enabled": False, "threshold": 0.6}


def change(values, **given):
    fields = {"section": "s", "actor": "ada", "reason": "because", "source": "page"}
    return settings_change(values=values, **fields | given)


def test_each_change_is_a_version_with_who_when_old_new_and_why():
    """OPT-55, SEC-33"""
    change(FILE)
    row = change({**FILE, "threshold": 0.7}, reason="fewer trades")
    assert (row.version, row.actor, row.source) == (2, "ada", "page")
    audit = AuditEvent.objects.first()
    assert (audit.action, audit.object_id, audit.reason) == ("settings.change", "s", "fewer trades")
    assert audit.before == {"threshold": 0.6}
    assert audit.after == {"threshold": 0.7, "version": 2, "source": "page"}
    assert audit.at == row.changed_at


def test_the_same_values_are_no_change():
    change(FILE)
    assert change(dict(reversed(FILE.items()))).version == 1
    assert AuditEvent.objects.count() == 1


def test_a_change_needs_a_reason():
    with pytest.raises(SettingsRefused, match="reason was empty"):
        change(FILE, reason=" ")
    assert SettingsVersion.objects.count() == 0


def test_who_looked_at_an_older_version_is_told():
    change(FILE)
    change({**FILE, "enabled": True})
    with pytest.raises(SettingsRefused, match="at version 2, you looked at 1"):
        change({**FILE, "threshold": 0.9}, expected_version=1)


def test_the_later_act_wins_and_a_changed_file_is_an_act():
    """D-31"""
    assert settings_adopt_file(section="s", values=FILE).source == "file"
    change({**FILE, "enabled": True})
    assert settings_adopt_file(section="s", values=FILE) is None
    assert settings_newest("s").values["enabled"] is True
    row = settings_adopt_file(section="s", values={**FILE, "threshold": 0.5})
    assert (row.version, row.reason) == (3, "the file was changed")
    assert settings_newest("s").values == {"enabled": False, "threshold": 0.5}
    assert settings_adopt_file(section="s", values={**FILE, "threshold": 0.5}) is None
