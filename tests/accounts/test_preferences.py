"""How one person's pages look, and that nothing else goes by it."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from accounts.audit import audit_record
from accounts.errors import PreferenceRefused
from accounts.models import AuditEvent, Preference
from accounts.preferences import preference_of, preference_save, zone_names, zone_of_pages
from monitoring.decision_views import moment_asked
from tests.accounts.callers import by_session

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def admin():
    client = by_session("admin")
    audit_record(actor="ada", action="token.create", at=NOON)
    return client


def choose(client, **values):
    return client.post(reverse("account-preferences"), values, follow=True)


def test_a_page_shows_its_times_in_the_chosen_zone_and_names_it(admin):
    assert "2026-03-01 12:00:00" in admin.get("/audit/").content.decode()
    choose(admin, time_zone="Asia/Kolkata")
    page = admin.get("/audit/").content.decode()
    assert "2026-03-01 17:30:00" in page
    assert "At, Asia/Kolkata" in page
    assert 'data-zone="Asia/Kolkata"' in page


def test_what_programs_read_stays_utc_whatever_the_person_chose(admin):
    """The API and the next request of somebody else do not inherit a zone."""
    choose(admin, time_zone="Asia/Kolkata")
    rows = admin.get("/api/v1/audit/").json()["results"]
    assert {row["at"] for row in rows if row["action"] == "token.create"} == {
        "2026-03-01T12:00:00Z"
    }
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_time_typed_on_a_page_is_meant_in_the_zone_the_page_shows():
    """A filter that read UTC beside a column in another zone would leave out what it shows."""
    with timezone.override(zone_of_pages(_person(time_zone="Asia/Kolkata"))):
        assert moment_asked("2026-03-01T17:30") == NOON
        assert moment_asked("2026-03-01T12:00:00+00:00") == NOON
    assert moment_asked("2026-03-01T12:00") == NOON


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("theme", "pink"),
        ("palette", ""),
        ("page_size", "1000000"),
        ("page_size", True),
        ("shows_steps", "perhaps"),
        ("shows_steps", 1),
        ("nonsense", "1"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_and_changes_nothing(name, value):
    user = User.objects.create_user("vera")
    with pytest.raises(PreferenceRefused, match=r"was .*allowed") as refused:
        preference_save(user=user, values={"theme": "dark", name: value}, actor="vera")
    assert "\n" not in str(refused.value)
    assert not Preference.objects.exists()


def test_a_change_is_audited_once_and_the_same_again_writes_nothing():
    """SEC-33"""
    user = User.objects.create_user("vera")
    for _ in range(2):
        preference_save(user=user, values={"palette": "okabe-ito"}, actor="vera")
    event = AuditEvent.objects.get(action="preferences.change")
    assert (event.before, event.after) == ({"palette": "standard"}, {"palette": "okabe-ito"})


def test_pages_are_as_long_as_the_person_wants_them(admin):
    for number in range(30):
        audit_record(actor="ada", action="token.create", object_id=str(number))
    choose(admin, page_size="25", palette="okabe-ito", theme="light")
    answer = admin.get("/audit/")
    assert len(answer.context["rows"]) == 25
    assert 'data-palette="okabe-ito"' in answer.content.decode()
    assert 'data-theme-choice="light"' in answer.content.decode()


def test_a_zone_this_machine_forgot_is_utc_and_breaks_no_page():
    assert str(zone_of_pages(_person(time_zone="Gone/Away"))) == "UTC"


def test_one_person_s_choice_is_nobody_else_s():
    _person(time_zone="Asia/Kolkata")
    other = User.objects.create_user("other")
    assert preference_of(other).time_zone == "UTC"
    assert zone_names()[0] == "UTC"
    assert {"Europe/Berlin", "America/New_York"} <= set(zone_names())


def _person(**values):
    user = User.objects.create_user("vera")
    Preference.objects.create(user=user, **values)
    return user
