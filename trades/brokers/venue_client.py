"""The calls the order path makes on a venue, over an unmodified ccxt client.

Reads are repeated by the one back-off and raise where there is no answer; a write is made once
and its outcome is a value. A silence that the venue asked for holds for every call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from engine.types.orders import OrderIntent, OrderState, Rejection, Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask, is_clock_refusal
from market.rate_budget import NO_BUDGET, SILENT, SPENT, Budget, Urgency
from market.venues import KEY_CODES, Meaning, venue_of
from trades.brokers import retry
from trades.brokers.ccxt_values import (
    Prices,
    VenueTrade,
    VenueTransfer,
    client_id_out,
    exact,
    order_arguments,
    order_word,
    trade_value,
    transfer_value,
)
from trades.brokers.trade_pages import trade_rows
from trades.errors import VenueRefused

T = TypeVar("T")
# The method and ccxt's word for it, by whether it lists deposits.
_TRANSFERS = {
    True: ("fetch_deposits", "fetchDeposits"),
    False: ("fetch_withdrawals", "fetchWithdrawals"),
}
_ONCE = retry.BackOff(attempts=1)
# ccxt's words for a key, where a venue's code is not in the table.
_KEY_WORDS = ("AuthenticationError", "PermissionDenied", "AccountSuspended", "AccountNotEnabled")


def refuses_keys(code: str, message: str) -> bool:
    """True where the venue refused not this request but our keys or account (F-052)."""
    return code in KEY_CODES or code in _KEY_WORDS or message.startswith(_KEY_WORDS)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an order may not leave now, and for how long at least."""

    code: str
    reason: str


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
        budget: Budget = NO_BUDGET,
    ) -> None:
        self._client = client
        self._venue = venue_of(client.id)
        self._budget = budget
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
        own_s = self._quiet_until_s - self._clock.monotonic()
        return max(0.0, own_s, self._budget.silence_s())

    def hold(self, intent: OrderIntent) -> Hold | None:
        """Return why this order should not be sent now: a silence, or, for an entry, a spent
        budget. Exits draw on what entries may not touch (F-049)."""
        silence_s = self.silence_s()
        if silence_s > 0:
            return Hold(SILENT, f"the venue asked for {silence_s:.0f} s of silence")
        urgency = _urgency(intent)
        wait_s = self._budget.wait_s("create_order", urgency)
        if wait_s > urgency.patience_s:
            return Hold(SPENT, f"the request budget has room for this in {wait_s:.1f} s")
        return None

    def load(self) -> None:
        """Load the market list and the kind of account, so that no later write hides a read.

        Raises:
            VenueRefused: the account reads a market buy's quantity as money to spend.
        """
        self._read("load_markets", self._client.load_markets)
        if self._venue.unified_call and self._client.check_required_credentials(False):
            kinds = self._read("account_kind", getattr(self._client, self._venue.unified_call))
            if not any(kinds):
                text = f"{self._venue.id} account is a classic one, allowed: a unified account"
                raise VenueRefused("ACCOUNT_KIND", text)

    def markets(self) -> Mapping[str, Any]:
        """Return the market list as the venue gives it now; the client goes on by it."""
        return self._read("load_markets", lambda: self._client.load_markets(True))

    def send(self, intent: OrderIntent) -> OrderState | Rejection | Unanswered:
        """Send one order, once. Whatever is not an explicit answer is ``Unanswered``."""
        arguments, params = order_arguments(self._client.id, intent)
        urgency = _urgency(intent)
        row = self._write(
            "create_order", urgency, lambda: self._client.create_order(*arguments, params)
        )
        if isinstance(row, Rejection | Unanswered):
            return row
        if not row.get("id"):
            return self._without_id(row)
        return order_word(self._client.id, row)

    def cancel(
        self, symbol: str, client_order_id: str, *, is_stop: bool = False
    ) -> Rejection | Unanswered | None:
        """Ask for a cancel; None where the venue took it. What became of the order is a query."""
        theirs = client_id_out(self._client.id, client_order_id)
        params = self._client_id_params(theirs, is_stop)
        first = theirs if self._venue.cancel_by == "id" else None
        answer = self._write(
            "cancel_order",
            Urgency.CANCEL,
            lambda: self._client.cancel_order(first, symbol, params),
        )
        return answer if isinstance(answer, Rejection | Unanswered) else None

    def order_by_client_id(
        self, symbol: str, client_order_id: str, *, is_stop: bool = False
    ) -> OrderState | None:
        """Return the venue's word, or None where it answers that it knows no such order."""
        theirs = client_id_out(self._client.id, client_order_id)
        params = self._client_id_params(theirs, is_stop)
        if self._venue.lookup == ("fetch_order",):
            return self._order(lambda: self._client.fetch_order(theirs, symbol, params))
        return self._listed(
            self._venue.lookup, symbol, params, lambda w: w.client_order_id == client_order_id
        )

    def order_by_venue_id(self, symbol: str, venue_order_id: str) -> OrderState | None:
        """Return the venue's word, or None where it answers that it knows no such order."""
        if self._venue.lookup_venue_id == ("fetch_order",):
            return self._order(lambda: self._client.fetch_order(venue_order_id, symbol))
        params = {self._venue.venue_id_param: venue_order_id}
        return self._listed(
            self._venue.lookup_venue_id,
            symbol,
            params,
            lambda w: w.venue_order_id == venue_order_id,
        )

    def trades_since(self, symbol: str, since_ms: int) -> list[VenueTrade]:
        """Return the account's executions from ``since_ms`` on, each once, oldest first."""
        quote, rows = symbol.rpartition("/")[2], self._venue.page_rows

        def fetch(since: int, params: dict[str, Any]) -> tuple[Sequence[Any], int | None]:
            page = self._read_rows("fetch_my_trades", symbol, since, rows, params)
            return page, self._total()

        now_ms = int(self._client.milliseconds())
        found = [
            trade_value(row, quote) for row in trade_rows(self._venue, fetch, since_ms, now_ms)
        ]
        return sorted(found, key=lambda t: (t.ts_ms, len(t.trade_id), t.trade_id))

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        rows = self._read_rows("fetch_open_orders", symbol)
        return [VenueOrder(symbol, order_word(self._client.id, row)) for row in rows]

    def quote(self, symbol: str) -> tuple[float, float] | str:
        """Return the best (bid, ask) of now, or why there is none; asked once, never repeated."""
        prices = self.prices(symbol, Urgency.ENTRY)
        return prices if isinstance(prices, str) else (prices.bid, prices.ask)

    def prices(self, symbol: str, urgency: Urgency = Urgency.STATE) -> Prices | str:
        """Return the prices of now, or why there are none; asked once, never repeated."""
        answer = self._once(
            "fetch_ticker", urgency, lambda: self._client.fetch_ticker(symbol), writes=False
        )
        if isinstance(answer, Rejection):
            return f"{answer.code}: {answer.message}"
        if isinstance(answer, Unavailable | Unanswered):
            return answer.reason
        bid, ask, last = (answer.get(name) for name in ("bid", "ask", "last"))
        if bid is None or ask is None:
            return f"bid was {bid}, ask was {ask}"
        return Prices(float(bid), float(ask), None if last is None else float(last))

    def venue_ms(self) -> int:
        """Return the venue's time in UTC milliseconds.

        Raises:
            SourceUnavailable: the venue did not answer.
        """
        return int(self._read("fetch_time", self._client.fetch_time))

    @property
    def can_count_down(self) -> bool:
        """True where the venue cancels everything of ours unless it hears from us."""
        return bool(self._client.has.get("cancelAllOrdersAfter"))

    def cancel_all_after(self, seconds: float) -> str:
        """Start the venue's countdown anew (0 ends it); return why not, empty where it did."""
        answer = self._once(
            "cancel_all_orders_after",
            Urgency.CANCEL,
            lambda: self._client.cancel_all_orders_after(round(seconds * 1000)),
            writes=True,
        )
        if isinstance(answer, Rejection):
            return f"{answer.code}: {answer.message}"
        return answer.reason if isinstance(answer, Unavailable | Unanswered) else ""

    def balances(self) -> dict[str, Decimal]:
        """Return what the account holds of each asset, free and locked together."""
        return self.account()[0]

    def account(self) -> tuple[dict[str, Decimal], str]:
        """Return the balances and the venue's name of the account, empty where the answer to a
        question for balances has none."""
        answer = self._read("fetch_balance", self._client.fetch_balance)
        held = {asset: exact(total) for asset, total in answer["total"].items() if total}
        said = answer.get("info")
        return held, str(said.get("uid") or "") if isinstance(said, Mapping) else ""

    @property
    def credits_trading_wallet(self) -> bool:
        """False where deposits arrive in a wallet that ``balances`` does not read."""
        return not self._venue.has_funding_wallet

    def has_room_for_transfers(self, *, is_deposit: bool) -> bool:
        """True where a list of transfers may be asked for without anything waiting behind it."""
        method = _TRANSFERS[is_deposit][0]
        return self.silence_s() <= 0 and self._budget.wait_s(method, Urgency.POLL) <= 0

    def transfers_since(self, since_ms: int, *, is_deposit: bool) -> list[VenueTransfer]:
        """Return deposits, or withdrawals, from ``since_ms`` on, oldest first, those on their way
        among them; none where the venue's client cannot ask. Asked once, behind everything else.

        Raises:
            SourceUnavailable, VenueRefused: no answer, or a refusal.
        """
        method, name = _TRANSFERS[is_deposit]
        if not self._client.has.get(name):
            return []
        call = getattr(self._client, method)
        rows: Any = self._read(method, lambda: call(None, since_ms), Urgency.POLL, _ONCE)
        found = (transfer_value(row, is_deposit=is_deposit) for row in rows)
        return sorted((t for t in found if t is not None), key=lambda t: (t.ts_ms, t.venue_id))

    def _without_id(self, row: Mapping[str, Any]) -> Rejection | Unanswered:
        """Judge an answer that names no order: OKX may refuse inside an answer that is good."""
        info = row.get("info") or {}
        code = str(info.get("sCode") or "")
        perhaps = self._venue.meaning_of(code) in (Meaning.DUPLICATE, Meaning.UNKNOWN)
        if row.get("status") == "rejected" and code and not perhaps:
            return Rejection(code, str(info.get("sMsg") or "refused without a reason"))
        return Unanswered(f"the venue's answer named no order, code was {code!r}")

    def _client_id_params(self, theirs: str, is_stop: bool) -> dict[str, Any]:
        query = self._venue.stop_query if is_stop else {}
        return {self._venue.client_id_param: theirs, **query}

    def _order(self, call: Callable[[], Mapping[str, Any]]) -> OrderState | None:
        answer = self._asked("fetch_order", call)
        if isinstance(answer, Rejection):
            if answer.message.startswith("OrderNotFound"):
                return None
            raise VenueRefused(answer.code, answer.message)
        return order_word(self._client.id, answer)

    def _listed(
        self,
        methods: Sequence[str],
        symbol: str,
        params: Mapping[str, Any],
        is_it: Callable[[OrderState], bool],
    ) -> OrderState | None:
        """Look an order up in the venue's lists: it moves from one to the next, so a miss in the
        second is believed only after the first was asked again."""
        for method in (*methods, methods[0]):
            rows = self._read_rows(method, symbol, None, None, dict(params))
            words = [order_word(self._client.id, row) for row in rows]
            found = next((word for word in words if is_it(word)), None)
            if found is not None:
                return found
        return None

    def _total(self) -> int | None:
        """Return the venue's own count of what it pages through, where its answer has one."""
        answer = self._client.last_json_response
        result = answer.get("result") if isinstance(answer, dict) else None
        count = result.get("count") if isinstance(result, dict) else None
        return None if count is None else int(count)

    def _read_rows(self, method: str, *arguments: object) -> Sequence[Any]:
        call = getattr(self._client, method)
        rows: Any = self._read(method, lambda: call(*arguments))
        return list(rows)

    def _read(
        self,
        name: str,
        call: Callable[[], T],
        urgency: Urgency = Urgency.STATE,
        back_off: retry.BackOff | None = None,
    ) -> T:
        answer = self._asked(name, call, urgency, back_off)
        if isinstance(answer, Rejection):
            raise VenueRefused(answer.code, answer.message)
        return answer

    def _asked(
        self,
        name: str,
        call: Callable[[], T],
        urgency: Urgency = Urgency.STATE,
        back_off: retry.BackOff | None = None,
    ) -> T | Rejection:
        silence_s = self.silence_s()
        if silence_s > 0:
            until_s = self._clock.monotonic() + silence_s
            raise retry.VenuePaused(f"the venue asked for {silence_s:.0f} s of silence", until_s)
        try:
            return retry.read(
                lambda: self._once(name, urgency, call, writes=False),
                back_off=back_off or self._back_off,
                clock=self._clock,
                rng=self._rng,
            )
        except retry.VenuePaused as paused:
            self._quiet_until_s = max(self._quiet_until_s, paused.resume_s)
            raise

    def _write(
        self, name: str, urgency: Urgency, call: Callable[[], T]
    ) -> T | Rejection | Unanswered:
        answer = self._once(name, urgency, call, writes=True)
        if not isinstance(answer, Unavailable):
            return answer
        if not answer.was_sent and urgency is Urgency.ENTRY:
            return Rejection(answer.code, answer.reason, by_venue=False)
        if answer.retry_after_s is not None:
            self._quiet_until_s = self._clock.monotonic() + answer.retry_after_s
        # Throttled or out of time: most likely not acted on, but only a query can say so.
        return Unanswered(f"{answer.code}: {answer.reason}")

    def _once(
        self, name: str, urgency: Urgency, call: Callable[[], T], *, writes: bool
    ) -> T | Rejection | Unanswered | Unavailable:
        gate = self._budget.gate(name, urgency)
        answer = ask(self._client, call, writes=writes, gate=gate)
        if isinstance(answer, Unavailable) and is_clock_refusal(self._client.id, answer.code):
            self._set_clock()
        return answer

    def _set_clock(self) -> None:
        """Measure our difference to the venue: asking again with the same clock never heals."""
        if self._venue.uses_clock:
            gate = self._budget.gate("fetch_time", Urgency.STATE)
            ask(self._client, self._client.load_time_difference, writes=False, gate=gate)


def _urgency(intent: OrderIntent) -> Urgency:
    return Urgency.EXIT if intent.purpose.reduces_risk else Urgency.ENTRY
