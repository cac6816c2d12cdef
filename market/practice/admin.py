"""The admin port (loopback only): faults, the clock, the ledger, trades by hand."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from aiohttp import web

from market.practice.exchange import Report
from market.practice.ledger import Transfer
from market.practice.private import freeze_balances
from market.practice.problems import VenueError
from market.practice.request import read_order
from market.practice.streams import Hub
from market.practice.venue import KeyRights, Venue

MAX_STEPS = 100_000
MAX_SPEED = 1_000.0
Body = dict[str, object]


class AdminDoor:
    """Everything an experimenter may do to the venue behind its clients' backs."""

    def __init__(self, venue: Venue, hub: Hub, speed_changed: Callable[[], None]) -> None:
        self._venue = venue
        self._hub = hub
        self._speed_changed = speed_changed

    def application(self) -> web.Application:
        """Return the web application of the admin port."""
        app = web.Application()
        get, post = app.router.add_get, app.router.add_post
        get("/status", _endpoint(self._status))
        get("/ledger", _endpoint(self._ledger))
        get("/fault", _endpoint(self._fault_list))
        post("/fault", _endpoint(self._fault_arm))
        app.router.add_delete("/fault", _endpoint(self._fault_clear))
        post("/clock/step", _endpoint(self._clock_step))
        post("/clock/speed", _endpoint(self._clock_speed))
        post("/trade", _endpoint(self._trade))
        post("/cancel", _endpoint(self._cancel))
        post("/balance", _endpoint(self._balance))
        post("/transfer", _endpoint(self._transfer))
        post("/instrument", _endpoint(self._instrument))
        post("/rights", _endpoint(self._rights))
        return app

    def _status(self, body: Body) -> object:
        clock, tape = self._venue.clock, self._venue.tape
        ended = clock.next_close_ms is None
        paused = "stepped by hand" if clock.speed <= 0 else "running"
        return {
            "status": "data ended" if ended else paused,
            "server_time_ms": clock.now_ms(),
            "close_ms": clock.close_ms,
            "next_close_ms": clock.next_close_ms,
            "speed": clock.speed,
            "seed": self._venue.settings.seed,
            "market": tape.digest,
            "timeframe_ms": tape.timeframe_ms,
            "bars": {symbol: tape.count(symbol, clock.close_ms) for symbol in tape.instruments},
            "sockets": len(self._hub),
        }

    def _ledger(self, body: Body) -> object:
        """What the venue itself has of every account, or of the one that is named; balances are
        the first account's where none is."""
        all_of_them = self._venue.ledgers().values()
        ledgers = [self._seen(body).ledger] if "account" in body else all_of_them
        held = self._seen(body).ledger.balances()
        return {
            "orders": [asdict(order) for ledger in ledgers for order in ledger.orders()],
            "fills": [asdict(fill) for ledger in ledgers for fill in ledger.fills()],
            "balances": {asset: asdict(balance) for asset, balance in held.items()},
        }

    def _seen(self, body: Body) -> Venue:
        """Return the venue as the account that is named sees it, else as the first does."""
        return self._venue.named(str(body.get("account", "")))

    def _fault_list(self, body: Body) -> object:
        return {
            "faults": [
                {
                    "id": fault.fault_id,
                    "op": fault.op,
                    "verb": fault.verb,
                    "seen": fault.seen,
                    "fired": fault.fired,
                    "spent": fault.is_spent,
                }
                for fault in self._venue.faults
            ]
        }

    def _fault_arm(self, body: Body) -> object:
        fault = self._venue.faults.arm(body)
        if fault.verb == "stale_balance":
            fault.memory["balances"] = freeze_balances(self._venue)
        return {"id": fault.fault_id}

    def _fault_clear(self, body: Body) -> object:
        fault_id = body.get("id")
        return {"cleared": self._venue.faults.clear(int(str(fault_id)) if fault_id else None)}

    def _clock_step(self, body: Body) -> object:
        bars = int(str(body.get("bars", 1)))
        if not 1 <= bars <= MAX_STEPS:
            raise ValueError(f"bars was {bars}, allowed: 1 to {MAX_STEPS}")
        stepped = 0
        while stepped < bars and advance(self._venue, self._hub):
            stepped += 1
        return {"stepped": stepped, "close_ms": self._venue.clock.close_ms}

    def _clock_speed(self, body: Body) -> object:
        speed = float(str(body.get("speed")))
        if not 0.0 <= speed <= MAX_SPEED:
            raise ValueError(f"speed was {speed}, allowed: 0 to {MAX_SPEED:g} bars a second")
        self._venue.clock.set_speed(speed)
        self._speed_changed()
        return {"speed": speed}

    def _trade(self, body: Body) -> object:
        """Place an order as the account's owner would by hand, outside the API."""
        params = {key: str(value) for key, value in body.items()}
        params.setdefault("type", "MARKET")
        seen = self._seen(body)
        instrument = seen.exchange.instrument(str(body.get("symbol", "")).replace("/", ""))
        clock = seen.clock
        placed = seen.exchange.place(
            read_order(params, instrument, f"web_{uuid4().hex[:28]}"),
            close_ms=clock.close_ms,
            now_ms=clock.now_ms(),
            source="manual",
        )
        self._hub.reported(placed.reports, seen)
        return {"order": asdict(placed.order), "fills": [asdict(fill) for fill in placed.fills]}

    def _cancel(self, body: Body) -> object:
        seen = self._seen(body)
        instrument = seen.exchange.instrument(str(body.get("symbol", "")).replace("/", ""))
        order_id = body.get("orderId")
        order = seen.exchange.cancel(
            instrument.symbol,
            int(str(order_id)) if order_id else None,
            str(body.get("origClientOrderId", "")),
            self._venue.clock.now_ms(),
        )
        self._hub.reported((Report("CANCELED", order),), seen)
        return {"order": asdict(order)}

    def _balance(self, body: Body) -> object:
        """Move a balance, tell nobody why: ``{asset, delta}``; of another account: ``account``."""
        asset, delta = str(body.get("asset", "")), _decimal(body, "delta")
        ledger = self._seen(body).ledger
        with ledger.transaction():
            ledger.move(asset, free=delta)
        return {"asset": asset, **asdict(ledger.balance(asset))}

    def _transfer(self, body: Body) -> object:
        """Deposit (``amount`` > 0) or withdraw (< 0): ``{asset, amount, fee, done}``; of another
        account: ``account``. A client can read it; one that is not ``done`` is on its way and has
        moved nothing."""
        asset, amount = str(body.get("asset", "")), _decimal(body, "amount")
        fee = _decimal(body, "fee") if "fee" in body else Decimal(0)
        known = {a for i in self._venue.exchange.instruments.values() for a in (i.base, i.quote)}
        if asset not in known:
            raise ValueError(f"asset was {asset!r}, allowed: {', '.join(sorted(known))}")
        if amount == 0 or fee < 0 or (amount > 0 and fee):
            raise ValueError(
                f"amount was {amount} with fee {fee}, allowed: above 0, or below 0 with a fee of "
                "0 or more"
            )
        ledger = self._seen(body).ledger
        free = ledger.balance(asset).free
        if free + amount - fee < 0:
            raise ValueError(f"amount was {amount} with fee {fee}, allowed: {free} is free")
        given = Transfer(
            0, asset, amount, fee, body.get("done", True) is True, self._venue.clock.now_ms()
        )
        with ledger.transaction():
            kept = ledger.add_transfer(given)
        return {**asdict(kept), "free": ledger.balance(asset).free}

    def _instrument(self, body: Body) -> object:
        """Change filters, halt or delist a symbol: ``{symbol, tick_size, lot_size,
        min_notional_quote, halted, listed}``; a restart forgets it."""
        exchange = self._venue.exchange
        if "listed" in body:
            exchange.list_again(str(body.get("symbol", "")))
        instrument = exchange.instrument(str(body.get("symbol", "")).replace("/", ""))
        names = ("tick_size", "lot_size", "min_notional_quote", "min_quantity_base")
        changes: dict[str, Any] = {n: _decimal(body, n) for n in names if n in body}
        exchange.instruments[instrument.symbol] = replace(instrument, **changes)
        if "halted" in body:
            change = exchange.halted.add if body["halted"] else exchange.halted.discard
            change(instrument.symbol)
        changed = exchange.instruments[instrument.symbol]
        if body.get("listed") is False:
            exchange.delist(instrument.symbol)
        return asdict(changed)

    def _rights(self, body: Body) -> object:
        """Change what the keys may do: ``{reading, trading, withdrawals, bound_to_addresses}``."""
        self._venue.grant(_switched(self._venue.rights, body))
        return asdict(self._venue.rights)


def _switched(rights: KeyRights, body: Body) -> KeyRights:
    known = {field.name for field in fields(KeyRights)}
    for name, value in body.items():
        if name not in known or not isinstance(value, bool):
            allowed = ", ".join(sorted(known))
            raise ValueError(f"{name} was {value!r}, allowed: true or false for {allowed}")
    changes: dict[str, Any] = dict(body)
    return replace(rights, **changes)


def advance(venue: Venue, hub: Hub) -> bool:
    """Close one bar and tell everybody; False where the data has ended."""
    told = venue.step()
    if told is None:
        return False
    hub.bar_closed(venue.clock.close_ms)
    for account, reports in told.items():
        hub.reported(reports, venue.named(account))
    return True


def _endpoint(
    act: Callable[[Body], object],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Wrap an action: JSON in, JSON out, one line for what is wrong with the input."""

    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        try:
            body = json.loads(text) if text else dict(request.query)
            if not isinstance(body, dict):
                raise ValueError(f"body was {text[:80]!r}, allowed: a JSON object")
            answer = act(body)
        except VenueError as error:
            return _reply({"error": error.message, "code": error.code}, 400)
        except (ValueError, InvalidOperation) as error:
            return _reply({"error": str(error)}, 400)
        return _reply(answer, 200)

    return handle


def _reply(value: object, status: int) -> web.Response:
    text = json.dumps(value, default=str)
    return web.Response(text=text, status=status, content_type="application/json")


def _decimal(body: Body, name: str) -> Decimal:
    value = Decimal(str(body.get(name)))
    if not value.is_finite():
        raise ValueError(f"{name} was {value}, allowed: a number")
    return value
