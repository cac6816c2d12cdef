"""The way from simulated to live: who is shown it, and where one stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.first_steps import first_steps, is_new_here
from tests.monitoring.factories import make_run, make_user

pytestmark = pytest.mark.django_db


def test_whoever_came_today_is_led_until_something_else_than_practice_was_traded():
    now = timezone.now()
    assert is_new_here(now - timedelta(hours=1), now)
    assert not is_new_here(now - timedelta(days=2), now)
    make_run()
    assert is_new_here(now, now)
    make_run(mode="paper", venue="kraken")
    assert not is_new_here(now, now)


def test_the_steps_say_where_the_run_stands_and_what_live_asks_of_it():
    assert first_steps(None)["now"] == "practice"
    run = make_run(mode="paper", venue="kraken", config={"risk": {"paper_days": 3}})
    assert first_steps(run) == {"now": "paper", "paper_days": 3, "paper_trades": 100}


def test_the_overview_of_a_fresh_installation_shows_the_steps_with_what_to_put_where(client):
    """Without a run too; the page Preflight shows them for good."""
    client.force_login(make_user("vera", "viewer"))
    for address in ("/", "/preflight/"):
        page = client.get(address).content.decode()
        assert "three steps" in page
        for part in ("mode: paper", "manage.py preflight", "TRADEPLATFORM_LIVE_ARMED=true"):
            assert part in page, (address, part)


def test_who_has_read_the_steps_hides_them_from_the_overview_for_oneself_alone(client):
    """Preflight goes on showing them, and the account page brings them back."""
    vera, olga = make_user("vera", "viewer"), make_user("olga", "operator")
    client.force_login(vera)
    assert "Hide this" in client.get("/").content.decode()
    hidden = client.post("/account/preferences/", {"shows_steps": "false", "next": "/"})
    assert hidden["Location"] == "/"
    assert "three steps" not in client.get("/").content.decode()
    preflight = client.get("/preflight/").content.decode()
    assert "three steps" in preflight and "Hide this" not in preflight
    client.post("/account/preferences/", {"shows_steps": "true"})
    assert "three steps" in client.get("/").content.decode()
    client.force_login(olga)
    assert "three steps" in client.get("/").content.decode()
