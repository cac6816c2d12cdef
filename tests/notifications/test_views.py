"""The page and the API: what stands there, who may send a test, and what is never shown."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from monitoring.models import Alert
from notifications.core.config import ChannelSettings, Notifications
from notifications.models import Channel, ChannelKind, Message
from notifications.services import (
    FoundChannel,
    channel_failed,
    channels_sync,
    notifier_forget,
    unheard_tell,
)
from tests.accounts.callers import by_session, by_token
from tests.notifications.scene import Scene
from trades.services import control_set

pytestmark = pytest.mark.django_db
PAGE, API = "/notifications/", "/api/v1/notifications/"


def some_messages() -> Scene:
    scene = Scene("phone", "mail", kinds={"control": "silent"})
    scene.heard["mail"].fails("error=550")
    control_set(scope="global", state="HALTED", actor="ada", reason="rates look odd")
    scene.look()
    return scene


def test_the_page_shows_channels_messages_and_why():
    some_messages()
    channels_sync(
        [
            FoundChannel("phone", ChannelKind.CHAT, "tgram://…"),
            FoundChannel("mail", ChannelKind.CHAT, "NOTIFY_M", "NOTIFY_M is not set"),
        ],
        now=timezone.now(),
    )
    client = by_session("viewer")
    text = client.get(PAGE).content.decode()
    for said in ("tgram://…", "NOTIFY_M is not set", "Trading HALTED: global", "error=550, 1 try"):
        assert said in text
    assert "silently" in text
    assert "Send test" not in text, "a viewer sends none"
    only = client.get(f"{PAGE}?channel=phone&state=sent").content.decode()
    assert "error=550" not in only.split('id="messages"')[1]


def test_the_page_says_what_to_do_where_no_channel_is_configured():
    text = by_session("viewer").get(PAGE).content.decode()
    assert "No channel is configured" in text and "No message yet" in text


def test_what_reaches_no_channel_at_all_is_said_on_the_page_for_as_long_as_it_is_so():
    """CTL-21: an alert of its own as well, which stands on the overview."""
    phone = ChannelSettings(url_env="NOTIFY_PHONE_URL")
    viewer = by_session("viewer")
    heard = Notifications(channels={"phone": phone})
    deaf = Notifications(channels={"phone": phone}, kinds={"control": False})
    said = "no channel is told of trading being halted"
    unheard_tell(heard, ["phone"], now=timezone.now())
    assert not Alert.objects.exists()
    unheard_tell(deaf, ["phone"], now=timezone.now())
    assert said in viewer.get(PAGE).content.decode()
    assert Alert.objects.get().code == "NOTIFICATIONS_UNHEARD"
    unheard_tell(heard, ["phone"], now=timezone.now())
    assert said not in viewer.get(PAGE).content.decode()
    unheard_tell(deaf, ["phone"], now=timezone.now())
    notifier_forget(now=timezone.now())
    assert not Alert.objects.filter(resolved_at__isnull=True).exists()


def test_a_test_message_is_an_administrators_and_audited():
    """SEC-9, SEC-33"""
    scene = Scene()
    asked = {"channel": "phone", "reason": "new phone"}
    assert by_session("operator").post(f"{PAGE}test/", asked).status_code == 403
    answer = by_session("admin").post(f"{PAGE}test/", asked, follow=True)
    assert "Queued on phone" in answer.content.decode()
    event = AuditEvent.objects.get(action="notifications.test")
    assert (event.actor, event.object_id, event.reason) == ("admin-user", "phone", "new phone")
    # the request took its own time: the message is due by the wall's clock, not by the scene's
    scene.look(hours=1)
    assert scene.phone.subjects == ["Test message"]


def test_a_test_of_what_cannot_be_used_says_why():
    channels_sync(
        [
            FoundChannel("mail", ChannelKind.CHAT, "NOTIFY_M", "NOTIFY_M is not set"),
            FoundChannel("telegram-bot", ChannelKind.TELEGRAM, "listens to ada"),
            FoundChannel("dead-man-ping", ChannelKind.PING, "https://hc-ping.com/…"),
        ],
        now=timezone.now(),
    )
    client = by_session("admin")
    refused = (("pager", "allowed: mail"), ("telegram-bot", "allowed: mail"))
    refused += (("dead-man-ping", "allowed: mail"), ("mail", "NOTIFY_M is not set"))
    for channel, why in refused:
        asked = {"channel": channel, "reason": "x"}
        text = client.post(f"{PAGE}test/", asked, follow=True).content.decode()
        assert "Nothing was sent" in text and why in text
    assert not Message.objects.exists()


def test_the_api_lists_channels_and_messages_by_filter():
    some_messages()
    client = by_token("viewer")
    channels = client.get(f"{API}channels/").json()["results"]
    assert [(row["name"], row["state"], row["waiting"]) for row in channels] == [
        ("mail", "failing", 1),
        ("phone", "up", 0),
    ]
    (row,) = client.get(f"{API}?channel=mail").json()["results"]
    assert (row["state"], row["why"], row["tries"]) == ("queued", "error=550", 1)
    assert client.get(f"{API}?state=gone").status_code == 400


def test_the_api_takes_a_test_once_a_key():
    """SEC-44"""
    Scene()
    client = by_token("admin")
    ask = {"path": f"{API}channels/phone/test", "data": {"reason": "x"}, "format": "json"}
    for _ in range(2):
        answer = client.post(**ask, headers={"Idempotency-Key": "one"})
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert Message.objects.filter(kind="test").count() == 1
    problem = client.post(f"{API}channels/pager/test", {"reason": "x"}, format="json")
    assert (problem.status_code, problem.json()["reason_code"]) == (400, "notification_refused")


def test_a_channel_that_is_not_configured_any_more_leaves_the_page_and_keeps_its_messages():
    scene = some_messages()
    for _ in range(2):
        channel_failed("mail", "error=550", now=scene.now)
    channels_sync([FoundChannel("phone", ChannelKind.CHAT, "tgram://…")], now=timezone.now())
    assert [row["name"] for row in by_token("viewer").get(f"{API}channels/").json()["results"]] == [
        "phone"
    ]
    assert Message.objects.filter(channel="mail").exists()
    assert not Channel.objects.get(name="mail").is_active
