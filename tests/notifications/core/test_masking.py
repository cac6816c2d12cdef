"""What may be shown of an address, and that nothing else of it leaves."""

from __future__ import annotations

import pytest

from notifications.core.masking import scrubbed, shown_address

ADDRESSES = {
    "tgram://123456789:AAabcdefg_hijklmnop/12315544/": "tgram://…",
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js": "discord://…",
    "mailtos://ada:s3cret-word@mail.example.org?to=ada@example.org": "mailtos://…",
    "https://hooks.example.org/T0AAAA/B1BBBB": "https://hooks.example.org/…",
    "https://ada:s3cret-word@hooks.example.org/x": "https://hooks.example.org/…",
    "s3cret-word": "not an address",
    "https://[": "https://…",
}


@pytest.mark.parametrize(("url", "shown"), ADDRESSES.items())
def test_of_an_address_the_scheme_shows_and_the_host_where_it_is_no_token(
    url: str, shown: str
) -> None:
    """SEC-32"""
    assert shown_address(url) == shown


@pytest.mark.parametrize("url", [url for url in ADDRESSES if "://" in url and "[" not in url])
def test_a_text_that_quotes_any_part_of_an_address_loses_it(url: str) -> None:
    """SEC-32: whole, without its scheme, or one token of it."""
    tokens = ("AAabcdefg_hijklmnop", "JHMHI8qBe7bk2ZwO5U711o3dV_js", "s3cret-word", "T0AAAA")
    for text in (url, url.partition("://")[2], *(token for token in tokens if token in url)):
        left = scrubbed(f"error=401 at {text} (denied)", [url])
        assert not [token for token in tokens if token in left], left
        assert left.startswith("error=401 at ")


def test_plain_words_stay() -> None:
    said = "Failed to send to mail.example.org: Unauthorized, error=401"
    assert scrubbed(said, ["mailtos://ada:s3cret-word@mail.example.org"]) == said
