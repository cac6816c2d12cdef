"""What a decision was given besides the analysis, as JSON, and back again (ORC-59).

Phases 7 and 8 are a function of the analysis, the proposal and these inputs. Stored, they let the
same decision be made again later, by the same code or by today's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import blake2b

from engine.failsafe import Failure, attempt
from engine.phases import final_decision
from engine.phases.context import DecisionContext, Holding, Positions
from engine.ports import OptimizationPolicy, StrategyStatus, TradingState
from engine.risk import RiskLimits, RiskView
from engine.types.bars import BarColumns, Book, Instrument, Snapshot, TradeFlow
from engine.types.decisions import JsonValue
from engine.types.opinions import Proposal, Side
from engine.types.orders import OrderIntent, Purpose

_COUNTS = (
    "open_orders",
    "open_positions",
    "consecutive_losses",
    "orders_last_hour",
    "orders_last_day",
)
_MONEY = (
    "equity_quote",
    "cash_quote",
    "peak_equity_quote",
    "day_pnl_quote",
    "gross_exposure_quote",
)
_INSTRUMENT = (
    "tick_size",
    "lot_size",
    "min_notional_quote",
    "min_quantity_base",
    "maker_fee_fraction",
    "taker_fee_fraction",
)
# Counted since later: a decision stored before has none of them.
_LATER_COUNTS = ("entries_15m", "entries_day")
Json = dict[str, JsonValue]


class BadInputs(ValueError):
    """Stored inputs that cannot be what was stored; the message names the part."""


# -- writing ---------------------------------------------------------------------------------------


def of_bar(snapshot: Snapshot, positions: Positions) -> Json:
    """Return what the first phases and the proposals were given, candles and book left out."""
    bars, flow = snapshot.store.bars, snapshot.event.flow
    given: Json = {
        "bars": snapshot.row + 1,
        "first_ms": int(bars.ts_ms[0]),
        "now_ms": snapshot.event.now_ms,
        "window": window_digest(bars, snapshot.row),
    }
    if flow is not None:
        given["flow"] = [flow.buy_volume_base, flow.sell_volume_base, flow.trade_count]
    held: Json = {code: _position(holding) for code, holding in sorted(positions.items())}
    if held:
        given["positions"] = held
    return given


def window_digest(bars: BarColumns, row: int) -> str:
    """Return 16 hex characters over every number of the bars up to and including ``row``."""
    state = blake2b(digest_size=8)
    columns = (bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
    for column in columns:
        state.update(column[: row + 1].tobytes())
    return state.hexdigest()


def of_proposal(snapshot: Snapshot, proposal: Proposal, context: DecisionContext) -> Json:
    """Return everything that phases 1-3, 7 and 8 were given, the candles left out."""
    book = snapshot.event.book
    given = of_bar(snapshot, context.positions)
    if book is not None:
        given["book"] = [
            book.ts_ms,
            [list(level) for level in book.bids],
            [list(level) for level in book.asks],
        ]
    return {
        **given,
        "instrument": _instrument(snapshot.instrument),
        "ids": [context.installation, context.account, context.run_code],
        "limits": {f.name: _plain(getattr(context.limits, f.name)) for f in fields(RiskLimits)},
        "risk": _risk(context.risk),
        "pending": [
            [i.strategy, i.symbol, i.side.value, i.purpose.value, i.client_order_id]
            for i in context.pending
        ],
        **_gatekeeper(proposal, context),
    }


def _plain(value: Decimal | int | tuple[tuple[str, tuple[str, ...]], ...] | None) -> JsonValue:
    if isinstance(value, tuple):
        return {name: list(members) for name, members in value}
    return str(value) if isinstance(value, Decimal) else value


def _instrument(instrument: Instrument) -> Json:
    given: Json = {name: str(getattr(instrument, name)) for name in _INSTRUMENT}
    given["base"], given["quote"] = instrument.base, instrument.quote
    given["shortable"] = instrument.shortable
    return given


def _position(held: Holding) -> JsonValue:
    stop, target = held.stop_price, held.target_price
    return [
        str(held.quantity_base),
        None if stop is None else str(stop),
        None if target is None else str(target),
        held.opened_at_ms,
    ]


def _risk(view: RiskView) -> Json:
    given: Json = {name: str(getattr(view, name)) for name in _MONEY}
    given |= {name: getattr(view, name) for name in (*_COUNTS, *_LATER_COUNTS)}
    given["week_pnl_quote"] = str(view.week_pnl_quote)
    given["state"] = view.state.value
    given["by_symbol"] = {k: str(v) for k, v in sorted(view.exposure_by_symbol.items())}
    given["by_strategy"] = {k: str(v) for k, v in sorted(view.exposure_by_strategy.items())}
    given["orders_by_symbol"] = dict(sorted(view.open_orders_by_symbol.items()))
    given["positions"] = [[*key, str(v)] for key, v in sorted(view.positions_base.items())]
    return given


def _gatekeeper(proposal: Proposal, context: DecisionContext) -> Json:
    """What could not be read is null: asked again it cannot be read either."""
    gate, symbol, strategy = context.gatekeeper, proposal.symbol, proposal.strategy
    state = attempt(lambda: gate.trading_state(symbol, strategy).value, "inputs")
    why = attempt(lambda: gate.state_reason(symbol, strategy), "inputs")
    status = attempt(lambda: gate.strategy_status(strategy).value, "inputs")
    lock = attempt(lambda: gate.entry_lock(symbol, strategy), "inputs")
    locked: Json = {} if lock == "" else {"lock": None if isinstance(lock, Failure) else lock}
    return locked | {
        "state": None if isinstance(state, Failure) else state,
        "state_reason": "" if isinstance(why, Failure) else why,
        "status": None if isinstance(status, Failure) else status,
    }


# -- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredHolding:
    """A position as it was stored; implements ``Holding``."""

    strategy: str
    symbol: str
    quantity_base: Decimal
    stop_price: Decimal | None
    target_price: Decimal | None
    opened_at_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredGatekeeper:
    """Implements ``Gatekeeper`` with the answers it gave then; what was unreadable still is."""

    state: TradingState | None
    reason: str
    status: StrategyStatus | None
    lock: str | None = ""

    def observe(self, now_ms: int) -> None:
        return None

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        if self.state is None:
            raise BadInputs("the trading state could not be read then")
        return self.state

    def state_reason(self, symbol: str, strategy: str) -> str:
        return self.reason

    def control_epoch(self) -> int:
        return 0

    def entry_lock(self, symbol: str, strategy: str) -> str:
        if self.lock is None:
            raise LookupError("entry locks could not be read")
        return self.lock

    def strategy_status(self, strategy: str) -> StrategyStatus:
        if self.status is None:
            raise BadInputs("the strategy's status could not be read then")
        return self.status

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        raise BadInputs(f"a stored decision changes no state, was {reason_code}")

    def resets(self) -> Mapping[str, int]:
        return {}


def positions_of(given: Json, symbol: str) -> dict[str, StoredHolding]:
    """Return the positions that were held.

    Raises:
        BadInputs: they are not what ``of_bar`` wrote.
    """
    rows = given.get("positions", {})
    if not isinstance(rows, dict):
        raise BadInputs(f"positions must be a mapping, was {rows!r}")
    return {code: _holding(code, symbol, row) for code, row in rows.items()}


def _holding(strategy: str, symbol: str, row: JsonValue) -> StoredHolding:
    if not isinstance(row, list) or len(row) != 4:
        raise BadInputs(f"position of {strategy} must have 4 parts, was {row!r}")
    quantity, stop, target, opened = row
    return StoredHolding(
        strategy,
        symbol,
        _decimal(quantity, "position"),
        None if stop is None else _decimal(stop, "stop"),
        None if target is None else _decimal(target, "target"),
        opened if isinstance(opened, int) else None,
    )


def flow_of(given: Json) -> TradeFlow | None:
    row = given.get("flow")
    if row is None:
        return None
    buy, sell, count = _list(row, 3, "flow")
    return TradeFlow(_float(buy, "flow"), _float(sell, "flow"), _int(count, "flow"))


def book_of(given: Json) -> Book | None:
    row = given.get("book")
    if row is None:
        return None
    ts_ms, bids, asks = _list(row, 3, "book")
    return Book(_int(ts_ms, "book"), _levels(bids), _levels(asks))


def instrument_of(given: Json, symbol: str) -> Instrument:
    row = _mapping(given.get("instrument"), "instrument")
    money = {name: _decimal(row.get(name), name) for name in _INSTRUMENT}
    return Instrument(
        symbol=symbol,
        base=str(row.get("base")),
        quote=str(row.get("quote")),
        shortable=row.get("shortable") is True,
        **money,
    )


def context_of(given: Json, symbol: str, policy: OptimizationPolicy) -> DecisionContext:
    """Return the account's side of the decision as it was; ``policy`` says what it said then.

    Raises:
        BadInputs: a part is missing or is not what ``of_proposal`` wrote.
        LimitsError: a limit is out of range.
    """
    installation, account, run_code = _list(given.get("ids"), 3, "ids")
    limits = _mapping(given.get("limits"), "limits")
    state, status, lock = given.get("state"), given.get("status"), given.get("lock", "")
    try:
        gatekeeper = StoredGatekeeper(
            None if state is None else TradingState(str(state)),
            str(given.get("state_reason", "")),
            None if status is None else StrategyStatus(str(status)),
            None if lock is None else str(lock),
        )
    except ValueError as error:
        raise BadInputs(str(error)) from error
    return DecisionContext(
        installation=str(installation),
        account=str(account),
        run_code=str(run_code),
        gatekeeper=gatekeeper,
        policy=policy,
        risk=_risk_of(_mapping(given.get("risk"), "risk")),
        limits=RiskLimits.parse(limits),
        positions=positions_of(given, symbol),
        pending=tuple(_intent(row) for row in _rows(given.get("pending"), "pending")),
    )


def _risk_of(row: Mapping[str, JsonValue]) -> RiskView:
    money = {name: _decimal(row.get(name), name) for name in _MONEY}
    counts = {name: _int(row.get(name), name) for name in _COUNTS}
    counts |= {name: _int(row.get(name, 0), name) for name in _LATER_COUNTS}
    try:
        state = TradingState(str(row.get("state")))
    except ValueError as error:
        raise BadInputs(str(error)) from error
    positions = [_list(item, 3, "positions") for item in _rows(row.get("positions"), "positions")]
    orders = _mapping(row.get("orders_by_symbol"), "orders_by_symbol")
    return RiskView(
        equity_quote=money["equity_quote"],
        cash_quote=money["cash_quote"],
        peak_equity_quote=money["peak_equity_quote"],
        day_pnl_quote=money["day_pnl_quote"],
        gross_exposure_quote=money["gross_exposure_quote"],
        open_orders=counts["open_orders"],
        open_positions=counts["open_positions"],
        consecutive_losses=counts["consecutive_losses"],
        orders_last_hour=counts["orders_last_hour"],
        orders_last_day=counts["orders_last_day"],
        entries_15m=counts["entries_15m"],
        entries_day=counts["entries_day"],
        week_pnl_quote=_decimal(row.get("week_pnl_quote", "0"), "week_pnl_quote"),
        state=state,
        exposure_by_symbol=_amounts(row.get("by_symbol")),
        exposure_by_strategy=_amounts(row.get("by_strategy")),
        open_orders_by_symbol={k: _int(v, "orders_by_symbol") for k, v in orders.items()},
        positions_base={
            (str(strategy), str(symbol)): _decimal(quantity, "positions")
            for strategy, symbol, quantity in positions
        },
    )


def _intent(row: JsonValue) -> OrderIntent:
    """Only who, what and why are kept: the gates look at nothing else of a pending order."""
    strategy, symbol, side, purpose, client_order_id = (
        str(part) for part in _list(row, 5, "pending")
    )
    return final_decision.pending_intent(
        client_order_id, strategy, symbol, Side(side), Purpose(purpose)
    )


def _amounts(value: JsonValue) -> dict[str, Decimal]:
    return {key: _decimal(amount, key) for key, amount in _mapping(value, "amounts").items()}


def _levels(value: JsonValue) -> tuple[tuple[float, float], ...]:
    levels = [_list(row, 2, "book") for row in _rows(value, "book")]
    return tuple((_float(price, "book"), _float(size, "book")) for price, size in levels)


def _mapping(value: JsonValue, what: str) -> Json:
    if not isinstance(value, dict):
        raise BadInputs(f"{what} must be a mapping, was {value!r}")
    return value


def _rows(value: JsonValue, what: str) -> Sequence[JsonValue]:
    if not isinstance(value, list):
        raise BadInputs(f"{what} must be a list, was {value!r}")
    return value


def _list(value: JsonValue, length: int, what: str) -> Sequence[JsonValue]:
    rows = _rows(value, what)
    if len(rows) != length:
        raise BadInputs(f"{what} must have {length} parts, was {value!r}")
    return rows


def _decimal(value: JsonValue, what: str) -> Decimal:
    if not isinstance(value, str):
        raise BadInputs(f"{what} must be a number as text, was {value!r}")
    try:
        return Decimal(value)
    except ArithmeticError as error:
        raise BadInputs(f"{what} must be a number as text, was {value!r}") from error


def _float(value: JsonValue, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInputs(f"{what} must be a number, was {value!r}")
    return float(value)


def _int(value: JsonValue, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInputs(f"{what} must be whole, was {value!r}")
    return value
