from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from accounts.models import ApiToken, LoginSession
from accounts.services import digest_of, token_create, token_revoke
from accounts.sessions import sessions_end_all
from monitoring.consumers import (
    CALLER_CHECK_S,
    MAX_INBOUND_A_SECOND,
    MAX_INBOUND_BYTES,
    StreamConsumer,
)
from monitoring.hub import SOCKETS_PER_CALLER, Hub
from monitoring.routing import websocket_urlpatterns
from tests.monitoring import factories as make
from tradeplatform.origins import SameOriginOnly, may_connect

pytestmark = pytest.mark.django_db(transaction=True)
HOST = "testserver:8000"


class Socket:
    """A client's end of one socket, in this process."""

    def __init__(
        self, application: Any, *, cookie: str = "", origin: str | None = None, token: str = ""
    ) -> None:
        headers = [(b"host", HOST.encode())]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        if cookie:
            headers.append((b"cookie", f"sessionid={cookie}".encode()))
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        self.end = ApplicationCommunicator(
            application,
            {"type": "websocket", "path": "/ws/stream/", "scheme": "ws", "headers": headers},
        )

    async def open(self) -> dict:
        await self.end.send_input({"type": "websocket.connect"})
        return await self.end.receive_output(timeout=5)

    async def send(self, text: str) -> None:
        await self.end.send_input({"type": "websocket.receive", "text": text})

    async def read(self) -> dict:
        message = await self.end.receive_output(timeout=5)
        return orjson.loads(message["text"]) if message.get("text") else message

    async def leave(self) -> None:
        await self.end.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.end.wait(timeout=5)


@pytest.fixture
async def application(redis_process, keys, settings):
    from channels.auth import AuthMiddlewareStack

    settings.ALLOWED_HOSTS = ["testserver"]

    async def snapshot() -> dict:
        return {"hello": "world"}

    hub = Hub(redis_process.url, snapshot, keys=keys)
    app = SameOriginOnly(AuthMiddlewareStack(URLRouter(websocket_urlpatterns(hub))))
    app.hub = hub  # type: ignore[attr-defined]
    yield app
    await hub.stop()


@database_sync_to_async
def session_of(role: str | None = "viewer", username: str = "vera") -> str:
    user = make.make_user(username, role)
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    now = timezone.now()
    LoginSession.objects.create(
        user=user, digest=digest_of(str(store.session_key)), created_at=now, last_seen_at=now
    )
    return str(store.session_key)


def socket(application, cookie: str = "", origin: str | None = f"http://{HOST}") -> Socket:
    return Socket(application, cookie=cookie, origin=origin)


async def test_a_stranger_is_closed_with_4401_and_hears_nothing(application):
    """SEC-15: authentication happens in connect."""
    stranger = socket(application)
    assert (await stranger.open())["type"] == "websocket.accept"
    closing = await stranger.read()
    assert (closing["type"], closing["code"]) == ("websocket.close", 4401)
    assert application.hub.n_sockets == 0


async def test_a_user_without_a_role_is_closed_with_4403(application):
    """SEC-15: logged in is not allowed in."""
    client = socket(application, await session_of(role=None))
    await client.open()
    assert (await client.read())["code"] == 4403


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.test",
        "http://testserver",
        "http://testserver:8001",
        "https://testserver:8000",
        "http://testserver:8000.evil.test",
    ],
)
async def test_a_page_from_elsewhere_is_refused_before_the_login_is_looked_at(application, origin):
    """SEC-14: scheme, host and port must all be ours; none and null are not."""
    client = socket(application, await session_of(), origin=origin)
    assert (await client.open())["type"] == "websocket.close"


async def test_an_origin_behind_a_tls_proxy_is_accepted_when_it_is_listed(settings):
    settings.ALLOWED_HOSTS = ["desk.example"]
    scope = {
        "scheme": "ws",
        "headers": [(b"host", b"desk.example"), (b"origin", b"https://desk.example")],
    }
    settings.CSRF_TRUSTED_ORIGINS = []
    assert not may_connect(scope)
    settings.CSRF_TRUSTED_ORIGINS = ["https://desk.example"]
    assert may_connect(scope)


async def test_a_host_that_is_not_ours_is_refused_whatever_its_origin(settings):
    """SEC-14: a rebound name has an origin that matches its own host."""
    settings.ALLOWED_HOSTS = ["testserver"]
    headers = [(b"host", b"evil.test"), (b"origin", b"http://evil.test")]
    assert not may_connect({"scheme": "ws", "headers": headers})


async def test_a_reader_gets_a_snapshot_and_then_deltas(application, publisher):
    client = socket(application, await session_of())
    await client.open()
    snapshot = await client.read()
    assert (snapshot["topic"], snapshot["data"]) == ("snapshot", {"hello": "world"})
    await asyncio.to_thread(publisher.publish, "decisions", {"id": "a"})
    delta = await client.read()
    assert set(delta) == {"seq", "topic", "at", "data"}
    assert (delta["topic"], delta["data"]) == ("decisions", {"id": "a"})
    await client.leave()
    assert application.hub.n_sockets == 0


@database_sync_to_async
def new_token() -> tuple[ApiToken, str]:
    return token_create(name="script", scope="read", actor="ada")


async def test_a_script_reads_with_a_bearer_token_and_without_an_origin(application, publisher):
    """SEC-27: in the header, never in the address."""
    _, token = await new_token()
    client = Socket(application, token=token)
    assert (await client.open())["type"] == "websocket.accept"
    assert (await client.read())["topic"] == "snapshot"
    await client.leave()


async def test_a_token_does_not_open_the_door_to_a_foreign_page(application):
    """SEC-14"""
    _, token = await new_token()
    client = Socket(application, token=token, origin="http://evil.test")
    assert (await client.open())["type"] == "websocket.close"


async def test_an_invented_token_is_a_stranger_even_beside_a_good_cookie(application):
    client = Socket(application, token="tp_invented", cookie=await session_of())
    await client.open()
    assert (await client.read())["code"] == 4401


async def test_a_revoked_token_is_closed_at_the_next_check(application, monkeypatch):
    """SEC-17"""
    monkeypatch.setattr(StreamConsumer, "caller_check_s", 0.05)
    row, token = await new_token()
    client = Socket(application, token=token)
    await client.open()
    await client.read()
    await database_sync_to_async(token_revoke)(token=row, actor="ada")
    assert (await client.read())["code"] == 4401


async def test_subscribing_narrows_the_topics_and_since_replays_what_was_missed(
    application, publisher
):
    client = socket(application, await session_of())
    await client.open()
    await client.read()
    for topic in ("bars", "alerts", "bars", "alerts"):
        await asyncio.to_thread(publisher.publish, topic, {})
    first = await client.read()
    for _ in range(3):
        await client.read()
    await client.send(orjson.dumps({"subscribe": ["alerts"], "since": first["seq"]}).decode())
    again = [await client.read(), await client.read()]
    assert [frame["topic"] for frame in again] == ["alerts", "alerts"]
    assert [frame["seq"] - first["seq"] for frame in again] == [1, 3]


async def test_a_ping_is_answered_with_the_current_number(application):
    client = socket(application, await session_of())
    await client.open()
    await client.read()
    await client.send('{"ping": 41}')
    assert (await client.read())["pong"] == 41


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * (MAX_INBOUND_BYTES + 1), 1009),
        ("not json", 1007),
        ("[]", 1007),
        ('{"subscribe": ["gossip"]}', 1007),
        ('{"subscribe": "bars"}', 1007),
        ('{"since": "1; drop"}', 1007),
        ('{"since": true}', 1007),
        ('{"epoch": 5}', 1007),
    ],
)
async def test_a_bad_message_closes_its_socket(application, message, code):
    """SEC-16: inbound frames are small and known."""
    client = socket(application, await session_of())
    await client.open()
    await client.read()
    await client.send(message)
    assert (await client.read())["code"] == code


async def test_a_flood_of_messages_closes_its_socket(application):
    """SEC-16: at most ten messages a second."""
    client = socket(application, await session_of())
    await client.open()
    await client.read()
    for i in range(MAX_INBOUND_A_SECOND + 1):
        await client.send(f'{{"ping": {i}}}')
    answers = [await client.read() for _ in range(MAX_INBOUND_A_SECOND + 1)]
    assert answers[-1].get("code") == 4429


async def test_one_user_may_hold_only_so_many_sockets(application):
    """SEC-16: twenty sockets a user; the next is refused, the others stay."""
    cookie = await session_of()
    clients = [socket(application, cookie) for _ in range(SOCKETS_PER_CALLER + 1)]
    for client in clients:
        await client.open()
    closing = await clients[-1].read()
    assert closing["code"] == 4408
    assert application.hub.n_sockets == SOCKETS_PER_CALLER
    for client in clients[:-1]:
        await client.leave()


@pytest.mark.parametrize(
    "act", ["logout", "ended", "idle", "password", "deactivate", "role", "delete"]
)
async def test_a_user_who_may_no_longer_read_is_closed_at_the_next_check(
    application, monkeypatch, act
):
    """F-105, SEC-17: the open socket asks again; here every 50 ms instead of every minute."""
    assert StreamConsumer.caller_check_s == CALLER_CHECK_S <= 60.0
    monkeypatch.setattr(StreamConsumer, "caller_check_s", 0.05)
    cookie = await session_of()
    client = socket(application, cookie)
    await client.open()
    await client.read()
    await asyncio.sleep(0.2)
    assert await client.end.receive_nothing(timeout=0.1)
    await database_sync_to_async(_end_access)(act, cookie)
    assert (await client.read())["code"] == 4401


def _end_access(act: str, cookie: str) -> None:
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.get(username="vera")
    if act == "logout":
        SessionStore(cookie).flush()
    elif act == "ended":
        sessions_end_all(user, actor="ada", reason="lost laptop")
    elif act == "idle":
        LoginSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=31))
    elif act == "password":
        user.set_password("another long password")
        user.save()
    elif act == "deactivate":
        user.is_active = False
        user.save()
    elif act == "delete":
        user.delete()
    else:
        user.groups.clear()
