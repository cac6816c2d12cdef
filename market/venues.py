"""One table of what differs between venues: ids, look-ups, paging, stops, errors, limits.

Nothing else in the tree asks which venue it talks to. What was never met on the real venue is
listed in ``docs/venues.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from market.key_rights import (
    Rights,
    binance_rights,
    bybit_rights,
    kraken_rights,
    okx_rights,
)

DAY_MS = 86_400_000


class Meaning(StrEnum):
    """What a venue's error code tells about a request, where ccxt's class does not say it."""

    DUPLICATE = "duplicate"
    """An order with this client id is already there: look it up, never call it refused."""
    UNKNOWN = "unknown"
    """The venue does not know itself whether it acted."""
    LATER = "later"
    """Refused before it was looked at: throttled, banned or in maintenance."""
    CLOCK = "clock"
    """Refused before it was looked at: our clock must be set by the venue's first."""
    KEYS = "keys"
    """Key, signature, address or permission is refused."""
    ABSENT = "absent"
    """No such order."""


class Paging(StrEnum):
    """How the account's trades are paged so that none is skipped."""

    FORWARD = "forward"
    """Oldest first from a time on: the next page begins at the last trade's time."""
    BACKWARD = "backward"
    """Newest first: the next page ends at the oldest trade's time."""
    OFFSET = "offset"
    """Newest first, all symbols together, by number of trades to leave out."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a venue publishes: at most ``units`` in any ``window_s``. ``name`` tells who shares."""

    name: str
    units: float
    window_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The published limits by kind of call, and what a call costs where that is not 1."""

    public: Limit
    private: Limit
    orders: Limit
    costs: Mapping[str, float] = field(default_factory=dict)

    def of(self, call: str) -> tuple[Limit, float]:
        """Return the limit that a ccxt method spends from, and how much of it."""
        cost = self.costs.get(call, 1.0)
        if call in _ORDER_CALLS:
            return self.orders, cost
        return (self.private if call in _PRIVATE_CALLS else self.public), cost


_ORDER_CALLS = frozenset({"create_order", "cancel_order"})
_PRIVATE_CALLS = frozenset(
    {
        "fetch_balance",
        "fetch_my_trades",
        "fetch_order",
        "fetch_open_orders",
        "fetch_closed_orders",
        "fetch_canceled_and_closed_orders",
        "fetch_deposits",
        "fetch_withdrawals",
        "key_rights",
        "account_kind",
    }
)


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Venue:
    """How one venue differs. Times are milliseconds; ``params`` are ccxt's extra parameters."""

    id: str
    limits: Limits
    codes: tuple[re.Pattern[str], ...]
    """Where an error's text carries the venue's code; the first pattern that matches counts."""
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, bool] = field(default_factory=dict)
    """Parts of ccxt's ``has`` that are switched off: calls a key for trading may not make."""
    has_sandbox: bool = False
    uses_clock: bool = True
    """False where requests are ordered by a nonce: their clock is not compared with ours."""
    has_passphrase: bool = False
    client_id_param: str = "clientOrderId"
    """The name under which an order's look-up and cancel carry our id."""
    spell_out: Callable[[str], str] = _unchanged
    spell_in: Callable[[str], str] = _unchanged
    raw_client_id: str | None = None
    """The venue's own field of our id where ccxt puts something else into ``clientOrderId``."""
    child_client_id: str | None = None
    """The field with our id in the order that a triggered stop became, where that is another."""
    cancel_by: str = "id"
    """``id``: ccxt wants an id beside the parameter; ``param``: the parameter alone."""
    lookup: tuple[str, ...] = ("fetch_order",)
    """The methods asked in turn for one order; more than one are lists, filtered by our id."""
    lookup_venue_id: tuple[str, ...] = ("fetch_order",)
    venue_id_param: str = ""
    has_stops: bool = True
    """False: no stop order that rests and sells at the market was ever sent there; stops are then
    judged at bars' closes."""
    follows_stop_limits: bool = False
    """True: an order keeps id and list when its stop is reached, so that what rests is seen."""
    filled_field: str | None = None
    """The field of what an order filled; without it the row is a stop's, whose child fills."""
    stop_param: str = "stopLossPrice"
    target_param: str = "takeProfitPrice"
    """The names of the price that a stop or a take-profit waits for."""
    stop_client_id_param: str = "clientOrderId"
    stop_query: Mapping[str, Any] = field(default_factory=dict)
    """What look-up and cancel of a stop order carry besides."""
    order_params: Mapping[str, Any] = field(default_factory=dict)
    market_params: Mapping[str, Any] = field(default_factory=dict)
    """What a market order carries so that its quantity is read in base, never in quote."""
    fee_asset_field: str | None = None
    """The field of a trade that names its fee's asset where ccxt does not read it."""
    paging: Paging = Paging.FORWARD
    page_rows: int = 500
    trades_span_ms: int | None = None
    """The longest span of time one request for trades may ask for."""
    rights_call: str = ""
    sandbox_tells_rights: bool = True
    read_rights: Callable[[Any], Rights] | None = None
    has_funding_wallet: bool = False
    """Deposits and withdrawals go through a wallet apart from the one that is traded."""
    unified_call: str = ""
    """A ccxt method that asks what kind of account this is, made once before the first order."""

    def code_of(self, text: str) -> str:
        """Return the venue's code in an error's text, empty where there is none."""
        for pattern in self.codes:
            if (match := pattern.search(text)) is not None:
                return match[1]
        return ""

    def meaning_of(self, code: str) -> Meaning | None:
        """Return what a code means; Kraken's carry details after a second colon."""
        found = self.meanings.get(code)
        return found if found is not None else self.meanings.get(":".join(code.split(":")[:2]))


# --- the venues ---------------------------------------------------------------------------------

_WEIGHT = Limit("weight", 6_000, 60)
BINANCE = Venue(
    id="binance",
    limits=Limits(
        public=_WEIGHT,
        private=_WEIGHT,
        orders=Limit("orders", 100, 10),
        costs={
            "load_markets": 20,
            "fetch_ohlcv": 2,
            "fetch_order_book": 5,
            "fetch_trades": 25,
            "fetch_balance": 20,
            "fetch_my_trades": 20,
            "fetch_order": 4,
            "fetch_open_orders": 6,
            # ten a second, counted apart from the weight there
            "fetch_withdrawals": 200,
        },
    ),
    codes=(re.compile(r'"code"\s*:\s*"?(-?\d+)'),),
    meanings={
        "-1003": Meaning.LATER,
        "-1006": Meaning.UNKNOWN,
        "-1007": Meaning.UNKNOWN,
        "-1015": Meaning.LATER,
        "-1021": Meaning.CLOCK,
        "-2013": Meaning.ABSENT,
        "-2014": Meaning.KEYS,
        "-2015": Meaning.KEYS,
    },
    # one call to load markets; nothing that needs futures or margin permissions
    options={
        "defaultType": "spot",
        "fetchMarkets": {"types": ["spot"]},
        "fetchMargins": False,
        "fetchCurrencies": False,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "recvWindow": 5000,
    },
    has_sandbox=True,
    follows_stop_limits=True,
    rights_call="sapi_get_account_apirestrictions",
    sandbox_tells_rights=False,
    read_rights=binance_rights,
)
KRAKEN = Venue(
    id="kraken",
    limits=Limits(
        public=Limit("ip", 60, 60),
        # the starter tier's counter: up to 15, minus one in three seconds
        private=Limit("counter", 15, 45),
        orders=Limit("engine", 60, 60),
        costs={
            "fetch_my_trades": 2,
            "fetch_closed_orders": 1,
            "load_markets": 2,
            "key_rights": 1,
        },
    ),
    codes=(re.compile(r'"error"\s*:\s*\[\s*"([^"]+)"'),),
    meanings={
        "EAPI:Rate limit exceeded": Meaning.LATER,
        "EOrder:Rate limit exceeded": Meaning.LATER,
        "EGeneral:Temporary lockout": Meaning.LATER,
        "EGeneral:Too many requests": Meaning.LATER,
        "EAPI:Invalid nonce": Meaning.CLOCK,
        "EAPI:Invalid key": Meaning.KEYS,
        "EAPI:Invalid signature": Meaning.KEYS,
        "EGeneral:Permission denied": Meaning.KEYS,
        "EAPI:Feature disabled": Meaning.KEYS,
        "EOrder:Unknown order": Meaning.ABSENT,
        "EOrder:Invalid order": Meaning.ABSENT,
        "EService:Unavailable": Meaning.UNKNOWN,
        "EService:Busy": Meaning.UNKNOWN,
        "EService:Timeout": Meaning.UNKNOWN,
        "EGeneral:Internal error": Meaning.UNKNOWN,
        "EGeneral:Unknown error": Meaning.UNKNOWN,
        # Kraken checks cl_ord_id among open orders; how it words that was never met, so every
        # complaint about the id counts as "already there" and is looked up
        "EOrder:Duplicate order": Meaning.DUPLICATE,
        "EOrder:Duplicate cl_ord_id": Meaning.DUPLICATE,
        "EGeneral:Invalid arguments:cl_ord_id": Meaning.DUPLICATE,
    },
    uses_clock=False,
    follows_stop_limits=True,
    raw_client_id="cl_ord_id",
    # an order is found by its txid only; the lists take our id
    lookup=("fetch_open_orders", "fetch_closed_orders"),
    # what a sale costs is taken in base unless asked otherwise, and ccxt calls every fee quote
    order_params={"oflags": "fciq"},
    paging=Paging.OFFSET,
    page_rows=50,
    rights_call="private_post_getapikeyinfo",
    read_rights=kraken_rights,
)
BYBIT = Venue(
    id="bybit",
    limits=Limits(
        public=Limit("ip", 600, 5), private=Limit("uid", 10, 1), orders=Limit("orders", 10, 1)
    ),
    codes=(re.compile(r'"retCode"\s*:\s*"?(\d+)'), re.compile(r'"ret_code"\s*:\s*"?(\d+)')),
    meanings={
        "10000": Meaning.UNKNOWN,
        "10002": Meaning.CLOCK,
        "10003": Meaning.KEYS,
        "10004": Meaning.KEYS,
        "10005": Meaning.KEYS,
        "10006": Meaning.LATER,
        "10009": Meaning.LATER,
        "10010": Meaning.KEYS,
        "10016": Meaning.UNKNOWN,
        "10018": Meaning.LATER,
        "10429": Meaning.LATER,
        "33004": Meaning.KEYS,
        "12141": Meaning.DUPLICATE,
        "110072": Meaning.DUPLICATE,
        "170141": Meaning.DUPLICATE,
        "110001": Meaning.ABSENT,
        "170143": Meaning.ABSENT,
        "170213": Meaning.ABSENT,
        "170007": Meaning.UNKNOWN,
        "170146": Meaning.UNKNOWN,
        "170147": Meaning.UNKNOWN,
    },
    options={"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "recvWindow": 5000},
    features={"fetchCurrencies": False},
    has_sandbox=True,
    client_id_param="orderLinkId",
    cancel_by="param",
    lookup=("fetch_open_orders", "fetch_canceled_and_closed_orders"),
    lookup_venue_id=("fetch_open_orders", "fetch_canceled_and_closed_orders"),
    venue_id_param="orderId",
    stop_param="triggerPrice",
    target_param="triggerPrice",
    stop_query={"trigger": True},
    # the default unit of a spot market buy is the quote coin
    market_params={"marketUnit": "baseCoin"},
    fee_asset_field="feeCurrency",
    paging=Paging.BACKWARD,
    page_rows=100,
    trades_span_ms=7 * DAY_MS,
    rights_call="private_get_v5_user_query_api",
    read_rights=bybit_rights,
    has_funding_wallet=True,
    unified_call="is_unified_enabled",
)
OKX = Venue(
    id="okx",
    limits=Limits(
        public=Limit("ip", 20, 2), private=Limit("uid", 10, 2), orders=Limit("orders", 60, 2)
    ),
    codes=(re.compile(r'"sCode"\s*:\s*"([1-9]\d*)"'), re.compile(r'"code"\s*:\s*"(\d+)"')),
    meanings={
        "50001": Meaning.UNKNOWN,
        "50004": Meaning.UNKNOWN,
        "50011": Meaning.LATER,
        "50013": Meaning.UNKNOWN,
        "50026": Meaning.UNKNOWN,
        "50061": Meaning.LATER,
        "50101": Meaning.KEYS,
        "50102": Meaning.CLOCK,
        "50105": Meaning.KEYS,
        "50110": Meaning.KEYS,
        "50111": Meaning.KEYS,
        "50113": Meaning.KEYS,
        "50114": Meaning.KEYS,
        "50119": Meaning.KEYS,
        "50120": Meaning.KEYS,
        "51016": Meaning.DUPLICATE,
        "51054": Meaning.UNKNOWN,
        "51603": Meaning.ABSENT,
    },
    options={"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
    features={"fetchCurrencies": False},
    has_sandbox=True,
    has_passphrase=True,
    stop_param="triggerPrice",
    target_param="triggerPrice",
    stop_client_id_param="algoClOrdId",
    child_client_id="algoClOrdId",
    filled_field="accFillSz",
    stop_query={"trigger": True},
    market_params={"tgtCcy": "base_ccy"},
    paging=Paging.BACKWARD,
    page_rows=100,
    rights_call="private_get_account_config",
    read_rights=okx_rights,
    has_funding_wallet=True,
)
VENUES: Mapping[str, Venue] = {venue.id: venue for venue in (BINANCE, KRAKEN, BYBIT, OKX)}
KEY_CODES = frozenset(
    code
    for venue in VENUES.values()
    for code, meaning in venue.meanings.items()
    if meaning is Meaning.KEYS
)


def venue_of(exchange_id: str) -> Venue:
    """Return the table's row; for a venue that has none, cautious limits and no quirk."""
    if exchange_id in VENUES:
        return VENUES[exchange_id]
    slow = Limit("requests", 60, 60)
    codes = (re.compile(r'"code"\s*:\s*"?(-?\w+)'),)
    if exchange_id == "coinbase":
        return Venue(
            exchange_id,
            Limits(slow, slow, slow),
            codes,
            spell_out=_dashed,
            spell_in=_hex,
            has_stops=False,
        )
    return Venue(exchange_id, Limits(slow, slow, slow), codes, has_stops=False)


def _dashed(ours: str) -> str:
    """Spell 32 hex characters as a UUID with dashes."""
    return "-".join((ours[:8], ours[8:12], ours[12:16], ours[16:20], ours[20:]))


def _hex(theirs: str) -> str:
    return theirs.replace("-", "")
