"""The kill switch while Redis is dead: a row in the database, read before each send."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.types.orders import Rejection
from tests.accounts.callers import by_session, by_token
from tests.trades.order_factory import held_fence, make_intent, make_run, write_intent
from trades import oms
from trades.models import ControlState

pytestmark = pytest.mark.django_db
NOBODY = "redis://127.0.0.1:1/0"


def by_api() -> Any:
    client = by_token("operator")
    return lambda: client.post("/api/v1/control/halt", {"reason": "no broker"}, format="json")


def by_page() -> Any:
    client = by_session("operator")
    given = {"scope": "global", "state": "HALTED", "reason": "no broker"}
    return lambda: client.post("/control/", given)


@pytest.mark.parametrize("way", [by_api, by_page])
def test_a_halt_works_with_redis_dead_and_the_next_send_is_refused(
    way: Any, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """F-103, I-9, F-021: the answer comes at once, and the row is what the send reads."""
    settings.REDIS_URL = settings.CELERY_BROKER_URL = NOBODY
    run = make_run()
    fence, intent = held_fence(run), make_intent()
    write_intent(run, intent)
    halt = way()
    client_is_warm = by_token("viewer").get("/api/v1/risk/").status_code
    assert client_is_warm == 200
    began_s = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        assert halt().status_code in (200, 302)
    assert time.monotonic() - began_s < 3.0
    assert ControlState.objects.get().state == "HALTED"
    refused = oms.claim_for_send(intent.client_order_id, fence)
    assert isinstance(refused, Rejection)
    assert not refused.by_venue and "HALTED" in f"{refused.code} {refused.message}"
