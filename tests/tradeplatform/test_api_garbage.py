"""Garbage over HTTP, on every route of the resolver: an answer with its reason, and no trace."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from django.urls import get_resolver

from accounts.parsers import MAX_BODY_BYTES
from tests.accounts.callers import by_token
from tests.tradeplatform.test_api_permissions import (
    PATHS,
    digest_of_the_database,
    is_posted_to,
)
from tests.trades.rows import make_everything

pytestmark = pytest.mark.django_db
POSTED = [path for path in PATHS if is_posted_to(path)]
# Never what a field of ours takes, whatever it is called.
VALUES = (
    b"NaN", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"9" * 5_000, b"true", b"null", b"[]",
    b"{}", b'{"a": {"b": [1]}}', b'"\\u0000"', b'"\\ud800"', b'"' + b"x" * 20_000 + b'"', b"-1",
)  # fmt: skip
BODIES = (
    b"{", b"null", b"0", b'"text"', b"[1, 2]", b"\x00\xff\xfe", b"\xef\xbb\xbf{}",
    b"[" * 5_000, b'{"a":' * 40 + b"1" + b"}" * 40, b'{"reason": "a", "reason": "b"}',
    b'{"reason": "' + b"x" * MAX_BODY_BYTES + b'"}',
)  # fmt: skip
QUERIES = (
    "page_size=1e400", "page_size=NaN", "page_size=-1", "page_size=99999999999999999999",
    "cursor=%00", "cursor=" + "A" * 4_000, "since=NaN", "since=9999999999999999999999999",
    "until=-1e400", "run=%00", "symbol=%00%ff", "symbol[$ne]=1", "limit=1%27%20OR%201=1--",
    "%00=1", "a=" + "x" * 6_000,
)  # fmt: skip


@functools.cache
def published() -> Any:
    """Return the document; it is made anew for each request, which takes half a second."""
    return by_token("viewer").get("/api/v1/schema/", HTTP_ACCEPT="application/json").json()


def fields_of(path: str) -> list[str]:
    """Return the fields of a route's body as the published document names them."""
    document = published()
    wanted = get_resolver().resolve(path).route.removeprefix("api/v1/")
    for name, verbs in document["paths"].items():
        pattern = name.removeprefix("/api/v1/").replace("{", "<").replace("}", ">")
        if "post" in verbs and pattern == _without_kinds(wanted):
            content = verbs["post"].get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            named = schema.get("$ref", "").rsplit("/", 1)[-1]
            found = document["components"]["schemas"].get(named, schema)
            return sorted(found.get("properties", {}))
    raise AssertionError(f"{path} is not in the document")


def _without_kinds(route: str) -> str:
    for kind in ("slug", "uuid", "int", "str"):
        route = route.replace(f"<{kind}:", "<")
    return route


def judged(answer: Any, sent: str) -> None:
    """A client's error, as a problem document that says what was wrong."""
    assert 400 <= answer.status_code < 500, (sent, answer.status_code, answer.content[:300])
    document = json.loads(answer.content)
    assert document["status"] == answer.status_code, sent
    assert document["detail"] or document["errors"], sent
    if document["reason_code"] == "invalid":
        assert all(error["field"] and error["detail"] for error in document["errors"]), sent


@pytest.mark.parametrize("path", POSTED)
def test_garbage_for_each_field_is_refused_by_name_and_changes_nothing(path: str) -> None:
    """F-104, SEC-42: NaN, 1e400, depth, NUL, wrong types, in each field of each body."""
    make_everything()
    client, fields = by_token("admin"), fields_of(path)
    before = digest_of_the_database()
    for field in fields or ["reason"]:
        for value in VALUES:
            body = b'{"' + field.encode() + b'": ' + value + b"}"
            answer = client.generic("POST", path, body, content_type="application/json")
            judged(answer, f"{field}: {value[:40]!r}")
    assert digest_of_the_database() == before


@pytest.mark.parametrize("path", POSTED)
def test_a_body_that_is_none_is_refused_and_changes_nothing(path: str) -> None:
    """F-104, SEC-42."""
    make_everything()
    client = by_token("admin")
    before = digest_of_the_database()
    # nothing of what is asked for is a preview where every field has a default; it changes nothing
    for body in (b"", b'{"__proto__": {"admin": true}}'):
        answer = client.generic("POST", path, body, content_type="application/json")
        assert answer.status_code < 500
    for body in BODIES:
        judged(client.generic("POST", path, body, content_type="application/json"), repr(body[:40]))
    assert digest_of_the_database() == before


@pytest.mark.parametrize("path", PATHS)
def test_garbage_in_a_query_is_never_an_error_of_ours(path: str) -> None:
    """F-104, SEC-42: refused by name, or where a route takes no query, not looked at."""
    make_everything()
    client = by_token("admin")
    before = digest_of_the_database()
    for query in QUERIES:
        answer = client.get(f"{path}?{query}")
        if answer.status_code >= 400 and answer.status_code != 404:
            judged(answer, query)
        assert answer.status_code < 500, (query, answer.content[:300])
    assert digest_of_the_database() == before


@pytest.mark.parametrize(
    "garbage",
    ["%00", "%ff%fe", "..%2f..%2fetc", "x" * 3_000, "NaN", "-1", "1e400", "'--", "%F0%9F"],
)
def test_garbage_in_a_path_is_not_found(garbage: str) -> None:
    """F-104: names, numbers and UUIDs of every route that takes one."""
    make_everything()
    client = by_token("admin")
    taking = [path for path in PATHS if any(s in path for s in ("ema-trend", "/1/", "0001"))]
    assert len(taking) > 5
    before = digest_of_the_database()
    for path in taking:
        for sample in ("ema-trend", "00000000-0000-0000-0000-000000000001", "/1/"):
            if sample in path:
                put = f"/{garbage}/" if sample == "/1/" else garbage
                bad = path.replace(sample, put)
                judged(client.get(bad), bad)
                judged(client.post(bad, {"reason": "r"}, format="json"), bad)
    assert digest_of_the_database() == before
