"""The ways out: which addresses are used, what leaves, and what is said when it does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.telegram import NotifyTelegram

from accounts.errors import OutboundRefused
from notifications.core.config import ChannelSettings, Notifications
from notifications.errors import ChannelUnusable, DeliveryFailed, MessageRefused
from notifications.models import ChannelKind
from notifications.transports import Outgoing, Transport, post_guarded, secret_of, transports
from tests.notifications.fake_services import fake_service

DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
WEBHOOK = "https://hooks.example.org/T0AAAA111/B1BBBB222"
MESSAGE = Outgoing("[warning] Alert X", "it happened", "warning")


def rules(*hosts: str, **channels: str) -> Notifications:
    return Notifications(
        channels={
            name: ChannelSettings(url_env=variable, hosts=hosts)
            for name, variable in channels.items()
        }
    )


def one(url: str, *hosts: str, post: object = post_guarded) -> Transport:
    usable, found = transports(
        rules(*hosts, phone="NOTIFY_PHONE"),
        environment={"NOTIFY_PHONE": url},
        post=post,  # type: ignore[arg-type]
    )
    if not usable:
        raise ChannelUnusable(found[0].problem)
    return usable["phone"]


def test_a_chat_message_reaches_its_service_over_the_wire(monkeypatch):
    """The plugin is apprise's own; only the host is this machine's."""
    with fake_service(status=204) as service:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{service.url}/api/webhooks")
        channel = one(DISCORD)
        channel.send(MESSAGE)
    ((path, body),) = service.posts
    assert path.startswith("/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js")
    assert "it happened" in str(body) and "[warning] Alert X" in str(body)
    assert "github" not in str(body), "no pictures from other people's servers"
    assert channel.found.address_shown == "discord://…"
    assert "JHMHI8" not in repr(channel)


def test_a_refusal_is_told_in_the_services_words_without_the_address(monkeypatch, caplog, capfd):
    """SEC-32: apprise logs it itself; neither that nor our reason holds a token."""
    with fake_service(status=401) as service:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{service.url}/api/webhooks")
        with pytest.raises(DeliveryFailed, match="401") as refused:
            one(DISCORD).send(MESSAGE)
    said = str(refused.value) + caplog.text + "".join(capfd.readouterr())
    assert "JHMHI8" not in said and "4174216298" not in said


def test_telegram_gets_our_words_as_text_and_cut_where_it_is_too_long(monkeypatch):
    """F-098: a sign of markup in a text, or its length, keeps no message from arriving."""
    with fake_service() as service:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{service.url}/bot")
        channel = one("tgram://123456789:abcdefg_hijklmnop/42")
        for text in ("BTC <60k & falling", "<&" * 2_500, "a price\n" * 700):
            channel.send(Outgoing("[CRITICAL] BTC <60k>", text, "critical"))
        short, dense, long = service.said()
    assert short == "<b>[CRITICAL] BTC \u203960k\u203a</b>\r\nBTC &lt;60k &amp; falling"
    for said in (dense, long):
        assert 2_000 < len(said) <= 4_096
        # nothing but the bold of the title is markup, and no sign of ours is cut in two
        rest = said.replace("<b>", "").replace("</b>", "")
        assert not re.search(r"<|&(?!(lt|gt|amp|quot|nbsp|#\d+);)", rest)
        assert said.endswith("…")


def test_a_message_the_service_will_not_take_is_told_from_a_service_that_does_not_work(
    monkeypatch,
):
    """F-098"""
    for status, kind in ((400, MessageRefused), (500, DeliveryFailed)):
        with fake_service(status=status) as service:
            monkeypatch.setattr(NotifyTelegram, "notify_url", f"{service.url}/bot")
            with pytest.raises(DeliveryFailed) as failed:
                one("tgram://123456789:abcdefg_hijklmnop/42").send(MESSAGE)
        assert type(failed.value) is kind


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/x",
        "jsons://hooks.example.org/x",
        "xml://10.0.0.1",
        "form://169.254.169.254",
        "apprise://localhost/token",
        "syslog://",
        "dbus://",
        "http://hooks.example.org/x",
        "file:///etc/passwd",
        "s3cret-pasted-here",
    ],
)
def test_what_posts_to_any_address_or_acts_on_this_machine_is_not_used(url):
    """SEC-41: apprise knows a hundred services; six of them lead nowhere but where they say."""
    with pytest.raises(ChannelUnusable, match="allowed: https://, discord://") as refused:
        one(url)
    assert "s3cret" not in str(refused.value)


def test_a_known_services_own_address_is_that_service_and_any_other_is_a_webhook():
    native = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
    assert one(native).found.kind is ChannelKind.CHAT
    assert one(WEBHOOK).found.kind is ChannelKind.WEBHOOK
    assert one(WEBHOOK).found.address_shown == "https://hooks.example.org/…"


def test_a_webhook_gets_one_json_object_at_a_listed_host():
    posts: list[tuple[str, bytes, Sequence[str]]] = []

    def post(url: str, body: bytes, hosts: Sequence[str]) -> int:
        posts.append((url, body, hosts))
        return 202

    one(WEBHOOK, "hooks.example.org", post=post).send(MESSAGE)
    ((url, body, hosts),) = posts
    assert (url, list(hosts)) == (WEBHOOK, ["hooks.example.org"])
    assert body == (
        b'{"title": "[warning] Alert X", "text": "it happened", "severity": "warning",'
        b' "silent": false}'
    )


@pytest.mark.parametrize(
    ("url", "hosts", "why"),
    [
        (WEBHOOK, (), "the host was 'hooks.example.org', allowed: none"),
        (WEBHOOK, ("other.example.org",), "allowed: other.example.org"),
        ("https://127.0.0.1/x", ("127.0.0.1",), "leads to 127.0.0.1, allowed: public"),
        ("https://169.254.169.254/x", ("169.254.169.254",), "allowed: public addresses"),
        ("https://localhost/x", ("localhost",), "allowed: public addresses"),
        ("https://hooks.example.org:22/x", ("hooks.example.org",), "the port was 22"),
    ],
)
def test_a_webhook_to_ourselves_to_a_neighbour_or_to_an_unlisted_host_does_not_leave(
    url, hosts, why
):
    """SEC-41: through the house's guard, with nothing between."""
    with pytest.raises(DeliveryFailed, match=why.replace("(", r"\(")):
        one(url, *hosts).send(MESSAGE)


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (500, "the webhook answered 500"),
        (302, "the webhook answered 302"),
        (OSError(111, "Connection refused"), "no answer: Connection refused"),
        (TimeoutError(), "no answer: TimeoutError"),
        (OutboundRefused("the host was 'x', allowed: y"), "the host was 'x', allowed: y"),
        (
            UnicodeEncodeError("ascii", "/gehéim", 4, 5, "x"),
            "the address cannot .*: UnicodeEncodeError",
        ),
        (400, "the webhook answered 400"),
        (OSError(5, f"at {WEBHOOK}"), r"no answer: at \[removed\]"),
    ],
)
def test_a_webhook_that_fails_says_why_and_follows_no_redirect(ends, why):
    """F-098, SEC-41"""

    def post(url: str, body: bytes, hosts: Sequence[str]) -> int:
        if isinstance(ends, Exception):
            raise ends
        return int(ends)

    with pytest.raises(DeliveryFailed, match=f"^{why}$"):
        one(WEBHOOK, "hooks.example.org", post=post).send(MESSAGE)


def test_a_channel_without_its_secret_is_shown_with_its_problem_and_the_others_work(tmp_path: Path):
    (tmp_path / "url").write_text(f"{DISCORD}\n")
    usable, found = transports(
        rules(a="NOTIFY_A", b="NOTIFY_B"), environment={"NOTIFY_B_FILE": str(tmp_path / "url")}
    )
    assert list(usable) == ["b"]
    assert [(row.name, row.problem) for row in found] == [
        ("a", "NOTIFY_A is not set where the notifier runs"),
        ("b", ""),
    ]
    with pytest.raises(ChannelUnusable, match="NOTIFY_C_FILE was not readable"):
        secret_of("NOTIFY_C", {"NOTIFY_C_FILE": str(tmp_path / "none")})
