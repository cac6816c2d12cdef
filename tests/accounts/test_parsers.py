"""JSON as strictly as it is defined."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from accounts.parsers import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    BodyTooLarge,
    StrictJSONParser,
    strict_json,
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"cap": NaN}', "not_finite"),
        (b'{"cap": Infinity}', "not_finite"),
        (b'{"cap": -Infinity}', "not_finite"),
        (b'{"cap": 1e999}', "not_finite"),
        (b'{"cap": 1e-400}', "too_small"),
        (b'{"cap": -0.01e-999}', "too_small"),
        (b'{"cap": 1, "cap": 2}', "duplicate_key"),
        (b'{"a": {"b": 1, "b": 1}}', "duplicate_key"),
        (b"{'cap': 1}", "malformed_json"),
        (b"", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (rb'{"reason": "\ud800"}', "malformed_json"),
        (b"1" * 5_000, "malformed_json"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
        (b"[" * 200_000, "too_deep"),
    ],
)
def test_what_json_leaves_open_is_refused(body, code):
    """SEC-42, SEC-43"""
    with pytest.raises(ParseError) as refused:
        strict_json(body)
    assert refused.value.detail.code == code


@pytest.mark.parametrize("body", [b"0.0", b"-0.0", b"0e9", b"0.000e-400", b"5e-324"])
def test_a_zero_is_a_zero_and_the_smallest_number_is_read(body):
    """SEC-42"""
    assert strict_json(body) == float(body)


def test_the_deepest_allowed_body_is_read():
    """SEC-42"""
    assert strict_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_brackets_inside_text_are_not_depth():
    """SEC-42"""
    assert strict_json(b'{"reason": "' + b"[{" * 100 + b'\\"["}') == {"reason": "[{" * 100 + '"['}


def test_a_body_above_the_bound_is_refused_and_one_at_it_is_read():
    """SEC-42"""
    body = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'
    assert StrictJSONParser().parse(io.BytesIO(body)) == "x" * (MAX_BODY_BYTES - 2)
    with pytest.raises(BodyTooLarge):
        StrictJSONParser().parse(io.BytesIO(body + b" "))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_never_a_crash(body):
    """SEC-42"""
    try:
        strict_json(body)
    except ParseError as refused:
        assert refused.status_code == 400
