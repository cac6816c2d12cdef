"""The Python client: what it sends, how often, and what it raises. The network is a script."""

from __future__ import annotations

import io
import json
from email.message import Message
from urllib.error import HTTPError, URLError

import pytest

from tradeplatform_client import (
    Client,
    Forbidden,
    Invalid,
    NotAuthenticated,
    NotFound,
    Problem,
    Refused,
    TooManyRequests,
    UnexpectedAnswer,
    Unreachable,
)


class Answer(io.BytesIO):
    status = 200


class Network:
    """Answers in turn with what it was given: bytes, a document, or an exception."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def open(self, request, timeout):
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def close(self):
        pass


def refusal(status, document=None, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document or {}).encode()
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return HTTPError("http://127.0.0.1", status, "", message, io.BytesIO(body))


def problem(status, **fields):
    given = {"reason_code": "because", "detail": "it was so", "request_id": "r1", "title": "No"}
    return refusal(status, given | fields)


def client_of(*answers, **given):
    pauses = []
    client = Client("http://127.0.0.1:1", "tp_secret", pause=pauses.append, **given)
    client._opener = Network(*answers)
    client.pauses = pauses
    return client


def test_the_token_travels_in_the_header_and_nowhere_else():
    """SEC-27"""
    client = client_of({"results": []})
    client.get("runs/", symbol="BTC/USDT", run=None, standing=True)
    (request,) = client._opener.asked
    assert request.get_header("Authorization") == "Bearer tp_secret"
    assert request.full_url == "http://127.0.0.1:1/api/v1/runs/?symbol=BTC%2FUSDT&standing=true"
    assert "tp_secret" not in repr(client)


@pytest.mark.parametrize("address", ["ftp://x", "x", "http://", "http://example.com"])
def test_an_address_that_would_show_the_token_is_refused(address):
    with pytest.raises(ValueError, match="address was"):
        Client(address, "tp_secret")


def test_plain_http_to_another_machine_has_to_be_wished_for():
    assert Client("http://example.com", "t", allow_plain_http=True).address == "http://example.com"
    assert Client("https://example.com/", "t").address == "https://example.com"


def test_a_list_is_read_page_by_page_to_its_end():
    client = client_of(
        {"results": [{"n": 1}, {"n": 2}], "next_cursor": "abc"},
        {"results": [{"n": 3}], "next_cursor": ""},
    )
    assert [row["n"] for row in client.each("orders/", page_size=2, side="BUY")] == [1, 2, 3]
    first, second = (request.full_url for request in client._opener.asked)
    assert "cursor" not in first
    assert second.endswith("page_size=2&cursor=abc&side=BUY")


def test_a_repeat_of_a_change_carries_the_same_key_and_another_change_another():
    """F-102"""
    client = client_of(URLError("cut"), {"state": "HALTED"}, {"state": "ACTIVE"})
    assert client.halt("because")["state"] == "HALTED"
    client.resume("again")
    keys = [request.get_header("Idempotency-key") for request in client._opener.asked]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 32
    assert client.pauses == [0.2]


def test_a_change_nobody_answered_tells_the_key_to_ask_again_with():
    """F-102"""
    client = client_of(*[TimeoutError("slow")] * 3)
    with pytest.raises(Unreachable) as raised:
        client.flatten({"scope": "global", "token": "seen"}, "because")
    sent = {request.get_header("Idempotency-key") for request in client._opener.asked}
    assert sent == {raised.value.key}
    assert client.pauses == [0.2, 0.4]
    client._opener.answers = [{"state": "HALTED"}]
    client.post("control/flatten", {"scope": "global"}, key=raised.value.key)
    assert client._opener.asked[-1].get_header("Idempotency-key") == raised.value.key


def test_reading_carries_no_key():
    client = client_of({})
    client.get("risk/")
    assert client._opener.asked[0].get_header("Idempotency-key") is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, NotAuthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Refused),
        (413, Problem),
        (500, Problem),
    ],
)
def test_a_problem_document_is_an_exception_by_its_status(status, kind):
    client = client_of(problem(status, errors=[{"field": "scope", "detail": "was x"}]))
    with pytest.raises(Problem) as raised:
        client.get("risk/")
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.reason_code, error.request_id) == (status, "because", "r1")
    assert (error.errors[0].field, error.errors[0].detail) == ("scope", "was x")
    assert client.pauses == [], "what the platform says itself is final"


def test_too_many_requests_say_when_to_come_back():
    client = client_of(refusal(429, {"reason_code": "throttled"}, Retry_After="900"))
    with pytest.raises(TooManyRequests) as raised:
        client.get("risk/")
    assert raised.value.retry_after_s == 900.0


def test_a_gateway_that_lost_the_platform_for_a_moment_is_asked_again():
    client = client_of(refusal(502, b"<html>"), refusal(503, b""), {"state": "ACTIVE"})
    assert client.risk() == {"state": "ACTIVE"}


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[1]", refusal(302, b""), refusal(504, b"<html>"), refusal(404, b"{}")],
    ids=["html", "list", "redirect", "gateway", "no problem document"],
)
def test_what_is_not_the_platform_is_said_so(answer):
    with pytest.raises(UnexpectedAnswer):
        client_of(answer, retries=0).get("risk/")


def test_a_redirect_is_not_followed_with_the_token():
    """SEC-27: it would take the token along to wherever it points."""
    handlers = list(Client("http://127.0.0.1:1", "t")._opener.handlers)
    (redirects,) = [h for h in handlers if hasattr(h, "redirect_request")]
    assert redirects.redirect_request(None, None, 302, "", {}, "http://evil.test") is None


def test_a_number_that_json_cannot_carry_is_refused_before_it_is_sent():
    """SEC-43"""
    client = client_of()
    with pytest.raises(ValueError, match="JSON"):
        client.post("adjustments/", {"amount": float("nan")})
    assert client._opener.asked == []
