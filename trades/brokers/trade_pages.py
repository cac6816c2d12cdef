"""The account's trades page by page, so that none is skipped, whatever end a venue starts at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from market.venues import Paging, Venue

Row = dict[str, Any]
#: ``(since_ms, params) -> (rows, total)``; total is the venue's own count, None without one.
Fetch = Callable[[int, dict[str, Any]], tuple[Sequence[Row], int | None]]
MAX_PAGES = 50
SECOND_MS = 1_000


def trade_rows(venue: Venue, fetch: Fetch, since_ms: int, now_ms: int) -> Iterator[Row]:
    """Yield each execution from ``since_ms`` on once, in no promised order."""
    walk = {
        Paging.FORWARD: _forward,
        Paging.BACKWARD: _backward,
        Paging.OFFSET: _by_offset,
    }[venue.paging]
    seen: set[str] = set()
    for page in walk(venue, fetch, since_ms, now_ms, seen):
        for row in page:
            if str(row["id"]) not in seen:
                seen.add(str(row["id"]))
                yield row


def _forward(
    venue: Venue, fetch: Fetch, since_ms: int, now_ms: int, seen: set[str]
) -> Iterator[Sequence[Row]]:
    for _ in range(MAX_PAGES):
        page, _total = fetch(since_ms, {})
        is_last = len(page) < venue.page_rows or not _fresh(page, seen)
        yield page
        if is_last:
            return
        since_ms = max(int(row["timestamp"]) for row in page)


def _backward(
    venue: Venue, fetch: Fetch, since_ms: int, now_ms: int, seen: set[str]
) -> Iterator[Sequence[Row]]:
    """Walk spans of time the venue allows, each from its newest page to its oldest."""
    span_ms = venue.trades_span_ms or max(1, now_ms - since_ms + 1)
    for start_ms in range(since_ms, max(now_ms, since_ms + 1), span_ms):
        # the newest span stays open at its end: our clock may be behind the venue's
        is_newest = start_ms + span_ms >= now_ms
        params = {} if is_newest else {"until": start_ms + span_ms}
        for _ in range(MAX_PAGES):
            page, _total = fetch(start_ms, params)
            is_last = len(page) < venue.page_rows or not _fresh(page, seen)
            yield page
            if is_last:
                break
            params = {"until": min(int(row["timestamp"]) for row in page)}


def _by_offset(
    venue: Venue, fetch: Fetch, since_ms: int, now_ms: int, seen: set[str]
) -> Iterator[Sequence[Row]]:
    """The venue counts the trades of all symbols; its start is a whole second, exclusive."""
    for number in range(MAX_PAGES):
        offset = number * venue.page_rows
        page, total = fetch(since_ms - SECOND_MS, {"ofs": offset} if offset else {})
        yield [row for row in page if int(row["timestamp"]) >= since_ms]
        if total is None or offset + venue.page_rows >= total:
            return


def _fresh(page: Sequence[Row], seen: set[str]) -> bool:
    return any(str(row["id"]) not in seen for row in page)
