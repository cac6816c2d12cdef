"""The calls the order path makes on a venue, over an unmodified ccxt client.

Reads are repeated by the one back-off and raise where there is no answer; a write is made once
and its outcome is a value. A silence that the venue asked for holds for every call.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from engine.types.orders import OrderIntent, OrderState, Rejection, Unanswered
from market.ccxt_client import Unavailable, ask
from trades.brokers import retry
from trades.brokers.ccxt_values import (
    VenueTrade,
    client_id_out,
    exact,
    order_arguments,
    order_word,
    trade_value,
)
from trades.errors import VenueRefused

logger = logging.getLogger(__name__)
T = TypeVar("T")
TRADES_PER_PAGE = 500
MAX_PAGES = 50
# ccxt calls a key that was revoked after a success "throttled": by its code it is a refusal.
AUTH_CODES = frozenset({"-2014", "-2015", "AuthenticationError", "PermissionDenied"})


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An open order on the venue, whoever sent it."""

    symbol: str
    word: OrderState


class VenueClient:
    """Implements what broker and reconciliation need; one instance a trading session."""

    def __init__(
        self,
        client: Any,
        *,
        back_off: retry.BackOff | None = None,
        clock: retry.Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._back_off = back_off or retry.BackOff()
        self._clock = clock or retry.Clock(time.monotonic, time.sleep)
        # seeded: the dice only spread retries, and a test must repeat
        self._rng = rng or random.Random(1)  # noqa: S311
        self._quiet_until_s = float("-inf")

    @property
    def timeout_s(self) -> float:
        """How long one request may wait for its answer."""
        return float(self._client.timeout) / 1000

    def silence_s(self) -> float:
        """Seconds for which the venue asked us to be silent; 0 where it did not."""
        return max(0.0, self._quiet_until_s - self._clock.monotonic())

    def load(self) -> None:
        """Load the market list, so that no later write hides a read."""
        self._read(self._client.load_markets)

    def send(self, intent: OrderIntent) -> OrderState | Rejection | Unanswered:
        """Send one order, once. Whatever is not an explicit answer is ``Unanswered``."""
        arguments, params = order_arguments(self._client.id, intent)
        row = self._write(lambda: self._client.create_order(*arguments, params))
        if isinstance(row, Rejection | Unanswered):
            return row
        if not row.get("id"):
            return Unanswered("the venue's answer named no order")
        return order_word(self._client.id, row)

    def cancel(self, symbol: str, client_order_id: str) -> Rejection | Unanswered | None:
        """Ask for a cancel; None where the venue took it. What became of the order is a query."""
        theirs = client_id_out(self._client.id, client_order_id)
        answer = self._write(
            lambda: self._client.cancel_order(theirs, symbol, {"clientOrderId": theirs})
        )
        return answer if isinstance(answer, Rejection | Unanswered) else None

    def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderState | None:
        """Return the venue's word, or None where it answers that it knows no such order."""
        theirs = client_id_out(self._client.id, client_order_id)
        return self._order(
            lambda: self._client.fetch_order(theirs, symbol, {"clientOrderId": theirs})
        )

    def order_by_venue_id(self, symbol: str, venue_order_id: str) -> OrderState | None:
        """Return the venue's word, or None where it answers that it knows no such order."""
        return self._order(lambda: self._client.fetch_order(venue_order_id, symbol))

    def trades_since(self, symbol: str, since_ms: int) -> list[VenueTrade]:
        """Return the account's executions from ``since_ms`` on, each once, oldest first."""
        found: dict[str, VenueTrade] = {}
        quote = symbol.rpartition("/")[2]
        for _ in range(MAX_PAGES):
            page = self._read_rows(self._client.fetch_my_trades, symbol, since_ms, TRADES_PER_PAGE)
            fresh = [trade_value(row, quote) for row in page if str(row["id"]) not in found]
            found.update((trade.trade_id, trade) for trade in fresh)
            if len(page) < TRADES_PER_PAGE or not fresh:
                break
            since_ms = max(trade.ts_ms for trade in fresh)
        return sorted(found.values(), key=lambda t: (t.ts_ms, len(t.trade_id), t.trade_id))

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        rows = self._read_rows(self._client.fetch_open_orders, symbol)
        return [VenueOrder(symbol, order_word(self._client.id, row)) for row in rows]

    def balances(self) -> dict[str, Decimal]:
        """Return what the account holds of each asset, free and locked together."""
        answer = self._read(self._client.fetch_balance)
        return {asset: exact(total) for asset, total in answer["total"].items() if total}

    def _order(self, call: Callable[[], Mapping[str, Any]]) -> OrderState | None:
        answer = self._asked(call)
        if isinstance(answer, Rejection):
            if answer.message.startswith("OrderNotFound"):
                return None
            raise VenueRefused(answer.code, answer.message)
        return order_word(self._client.id, answer)

    def _read_rows(self, method: Callable[..., T], *arguments: object) -> Sequence[Any]:
        rows: Any = self._read(lambda: method(*arguments))
        return list(rows)

    def _read(self, call: Callable[[], T]) -> T:
        answer = self._asked(call)
        if isinstance(answer, Rejection):
            raise VenueRefused(answer.code, answer.message)
        return answer

    def _asked(self, call: Callable[[], T]) -> T | Rejection:
        silence_s = self.silence_s()
        if silence_s > 0:
            raise retry.VenuePaused(
                f"the venue asked for {silence_s:.0f} s of silence", self._quiet_until_s
            )
        try:
            return retry.read(
                lambda: _by_code(ask(self._client, call, writes=False)),
                back_off=self._back_off,
                clock=self._clock,
                rng=self._rng,
            )
        except retry.VenuePaused as paused:
            self._quiet_until_s = max(self._quiet_until_s, paused.resume_s)
            raise

    def _write(self, call: Callable[[], T]) -> T | Rejection | Unanswered:
        answer = _by_code(ask(self._client, call, writes=True))
        if not isinstance(answer, Unavailable):
            return answer
        if answer.retry_after_s is not None:
            self._quiet_until_s = self._clock.monotonic() + answer.retry_after_s
        # Throttled or out of time: most likely not acted on, but only a query can say so.
        return Unanswered(f"{answer.code}: {answer.reason}")


def _by_code(
    answer: T | Rejection | Unanswered | Unavailable,
) -> T | Rejection | Unanswered | Unavailable:
    if isinstance(answer, Unavailable) and answer.code in AUTH_CODES:
        return Rejection(answer.code, answer.reason)
    return answer
