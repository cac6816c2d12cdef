"""The ping that an address outside misses when trading is not well."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.services import alert_acknowledge, alert_raise, heartbeat
from notifications.core.config import PingSettings
from notifications.models import Channel
from notifications.ping import NAME, DeadManPing, ping_of
from notifications.services import channels_sync
from tests.monitoring.factories import make_run

pytestmark = pytest.mark.django_db
URL = "https://hc-ping.com/0123456789abcdef"
RULES = PingSettings(url_env="NOTIFY_PING_URL", every_seconds=60)


class Outside:
    def __init__(self) -> None:
        self.status, self.posts = 200, 0
        self.ping = DeadManPing(RULES, URL, post=self.post)
        self.now = timezone.now()
        channels_sync([self.ping.found], now=self.now)

    def post(self, url, body, hosts):
        assert (url, list(hosts)) == (URL, ["hc-ping.com"])
        self.posts += 1
        return self.status

    def beats(self, *components: str, at=None) -> None:
        for component in components:
            heartbeat(component=component, expected_every_s=10, at=at or self.now)

    def look(self, **later: float) -> str:
        self.now += timedelta(**later)
        return self.ping.look(self.now)


def test_it_pings_at_its_pace_while_trading_is_healthy():
    """F-025"""
    outside, _ = Outside(), make_run()
    outside.beats("trading", "watchdog")
    assert outside.look() == "sent"
    assert outside.look(seconds=30) == "not yet"
    outside.beats("trading", "watchdog")
    assert outside.look(seconds=31) == "trading is late"
    assert outside.posts == 1
    outside.beats("trading", "watchdog")
    assert outside.look(seconds=29) == "not yet"
    assert outside.look(seconds=31) == "trading is late"
    outside.beats("trading")
    assert outside.look(seconds=61) == "trading is late"
    assert outside.posts == 1
    row = Channel.objects.get(name=NAME)
    assert row.address_shown == "https://hc-ping.com/…"
    assert row.last_error.startswith("withheld: trading is")


def test_a_silent_worker_an_ailing_venue_or_no_run_withholds_it_until_it_is_over():
    """F-025: also a critical alert, until somebody has seen it."""
    outside = Outside()
    outside.beats("trading", "watchdog", at=outside.now + timedelta(hours=1))
    assert outside.look() == "no run is open"
    make_run()
    alert = alert_raise(code="AUTH", severity="critical", text="keys refused", dedupe_key="a")
    assert outside.look(minutes=1) == "open alert AUTH"
    alert_acknowledge(alert_id=alert.pk, actor="ada")
    assert outside.look(minutes=1) == "sent"
    alert_raise(code="VENUE_UNAVAILABLE", severity="warning", text="gone", dedupe_key="v")
    assert outside.look(minutes=1) == "open alert VENUE_UNAVAILABLE"
    assert outside.posts == 1


def test_an_address_that_does_not_take_it_is_shown_as_failing():
    """F-098"""
    outside, _ = Outside(), make_run()
    outside.beats("trading", "watchdog")
    outside.status = 404
    assert outside.look() == "the address answered 404"
    assert Channel.objects.get(name=NAME).fails_in_a_row == 1


def test_without_its_address_it_is_shown_as_unusable():
    ping, found = ping_of(RULES, {})
    assert ping is None
    assert [row.problem for row in found] == ["NOTIFY_PING_URL is not set where the notifier runs"]
    assert ping_of(None, {}) == (None, [])
