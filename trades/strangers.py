"""Open orders on our account that this platform did not send: told of, never adopted (F-012)."""

from __future__ import annotations

from collections.abc import Callable

from engine.types.orders import OrderState
from trades import models
from trades.alerts import OTHER_DEPLOYMENT, UNKNOWN_OWN_ORDER, Alarm, Alert, Over
from trades.brokers.venue_client import VenueClient

_HEX = frozenset("0123456789abcdef")


class Strangers:
    """Compares the venue's open orders with our rows, symbol by symbol."""

    def __init__(
        self,
        client: VenueClient,
        installation: str,
        alarm: Alarm,
        over: Over,
        *,
        gap_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        """``gap_s`` is how long an order must have been absent, at every look, to be gone: a list
        that lacks one once proves nothing (F-047)."""
        self._client = client
        self._installation = installation
        self._alarm = alarm
        self._over = over
        self._gap_s = gap_s
        self._monotonic = monotonic
        self._seen_s: dict[str, float] = {}
        self._first_look_s: float | None = None
        self._found: set[str] = set()

    def look(self, symbol: str) -> list[str]:
        """Tell of each open order on a symbol that is not ours; return their names, in order.

        Raises:
            SourceUnavailable, VenueRefused: the venue's list could not be read.
        """
        words = {row.word.client_order_id: row.word for row in self._client.open_orders(symbol)}
        ours = models.Order.objects.filter(client_order_id__in=words)
        strange = sorted(set(words) - set(ours.values_list("client_order_id", flat=True)))
        return [self._tell(symbol, words[client_order_id]) for client_order_id in strange]

    def hold_entries(self) -> bool:
        """Call once every symbol was looked at: True where an order of another deployment, or one
        with our own mark, was found, so that nobody may add risk. What is gone is told as over."""
        # stamped together: a pass over many symbols may itself take longer than the gap
        now_s = self._monotonic()
        self._seen_s.update(dict.fromkeys(self._found, now_s))
        if self._first_look_s is None:
            self._first_look_s = now_s
        self._seen_s = {n: at_s for n, at_s in self._seen_s.items() if now_s - at_s < self._gap_s}
        standing = set(self._seen_s)
        if now_s - self._first_look_s >= self._gap_s:
            self._over(OTHER_DEPLOYMENT, standing)
            self._over(UNKNOWN_OWN_ORDER, standing)
        found, self._found = self._found, set()
        return bool(found)

    def _tell(self, symbol: str, word: OrderState) -> str:
        client_id = word.client_order_id
        name = client_id or f"venue order {word.venue_order_id}"
        if not _looks_like_ours(client_id):
            text = f"open order {name} on {symbol} was not sent by this platform"
            self._alarm(Alert("EXTERNAL_ORDER", name, text))
            return name
        if client_id.startswith(self._installation):
            text = f"open order {name} on {symbol} carries our mark but is not in our database"
            self._alarm(Alert(UNKNOWN_OWN_ORDER, name, text))
        else:
            text = f"open order {name} on {symbol} is another deployment's; entries are held"
            self._alarm(Alert(OTHER_DEPLOYMENT, name, text))
        self._found.add(name)
        return name


def _looks_like_ours(client_order_id: str) -> bool:
    return len(client_order_id) == 32 and set(client_order_id) <= _HEX
