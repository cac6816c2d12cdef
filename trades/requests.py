"""Writing down what people ask of a run; the trading worker carries it out at its next event.

What is plainly impossible is refused here, with numbers. What holds when the worker gets to it
is judged again there, by the books.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.services import audit_record
from engine.digest import plain
from engine.ports import TradingState
from engine.requests import exits_refusal, widens
from engine.types.bars import Instrument
from engine.types.opinions import Side
from market.models import Instrument as InstrumentRow
from market.selectors import instrument_value
from trades.core.transfer_match import VENUE_ACTOR, WINDOW, declares
from trades.errors import RequestRefused, WideningRefused
from trades.models import (
    ControlState,
    ExternalFill,
    Mode,
    OperatorRequest,
    RequestKind,
    RequestStatus,
    TradingRun,
)
from trades.scopes import scopes_over
from trades.selectors import Position, position_list

# An order or a stop that could not be placed within this long meets another market.
GOOD_FOR = timedelta(minutes=5)
LONGEST_REASON = 500


def request_close(
    *,
    run: TradingRun,
    strategy: str,
    symbol: str,
    actor: str,
    reason: str,
    quantity_base: Decimal | None = None,
    fraction: Decimal | None = None,
    key: str = "",
) -> OperatorRequest:
    """Ask for a position to be closed at the market: ``quantity_base`` of it, or ``fraction`` of
    what is held then, or all of it.

    Raises:
        RequestRefused: nothing is held, it is halted, or the numbers are not possible.
    """
    if quantity_base is not None and fraction is not None:
        raise RequestRefused("quantity_base and fraction were both given, allowed: one of them")
    if quantity_base is not None and not (quantity_base.is_finite() and quantity_base > 0):
        raise RequestRefused(f"quantity_base was {quantity_base}, allowed: above 0")
    if fraction is not None and not (fraction.is_finite() and 0 < fraction <= 1):
        raise RequestRefused(f"fraction was {fraction}, allowed: above 0 up to 1")
    held = position_of(run, strategy, symbol)
    if quantity_base is not None and quantity_base > held.quantity_base:
        raise RequestRefused(
            f"quantity_base was {quantity_base}, allowed: at most {held.quantity_base}, "
            "which is held"
        )
    _refuse_halted(run, strategy, symbol)
    payload = {"quantity_base": _text(quantity_base), "fraction": _text(fraction)}
    return ask(
        run=run,
        kind=RequestKind.CLOSE,
        strategy=strategy,
        symbol=symbol,
        payload=payload,
        actor=actor,
        reason=reason,
        key=key,
        good_for=GOOD_FOR,
    )


def request_exits(
    *,
    run: TradingRun,
    strategy: str,
    symbol: str,
    changes: Mapping[str, Decimal | None],
    actor: str,
    reason: str,
    may_widen: bool = False,
    key: str = "",
) -> OperatorRequest:
    """Ask for a position's stop or target to be moved; ``changes`` names ``stop_price`` and
    ``target_price``, None to take one away.

    Raises:
        WideningRefused: the stop would give more room to lose, and ``may_widen`` is False.
        RequestRefused: nothing is held, or a price is not possible.
    """
    unknown = set(changes) - {"stop_price", "target_price"}
    if unknown or not changes:
        raise RequestRefused(
            f"changes named {', '.join(sorted(changes)) or 'nothing'}, "
            "allowed: stop_price and target_price"
        )
    held = position_of(run, strategy, symbol)
    side = Side(held.side)
    stop = changes.get("stop_price", held.stop_price)
    if not may_widen and widens(side, held.stop_price, stop):
        raise WideningRefused(
            f"stop_price was {stop or 'none'}, which widens the stop of {held.stop_price}"
        )
    if held.mark_price is not None:
        text = exits_refusal(
            side=side,
            stop_price=held.stop_price,
            changes=changes,
            price=held.mark_price,
            instrument=instrument_of(run, symbol),
            may_widen=may_widen,
        )
        if text:
            raise RequestRefused(text)
    payload = {
        "changes": {name: _text(value) for name, value in sorted(changes.items())},
        "may_widen": may_widen,
    }
    return ask(
        run=run,
        kind=RequestKind.MOVE_EXITS,
        strategy=strategy,
        symbol=symbol,
        payload=payload,
        actor=actor,
        reason=reason,
        key=key,
        good_for=GOOD_FOR,
    )


def request_adjust(
    *, run: TradingRun, asset: str, amount: Decimal, actor: str, reason: str, key: str = ""
) -> OperatorRequest:
    """Declare a deposit (> 0) or withdrawal (< 0), so that it is no gain and no loss.

    Raises:
        RequestRefused: an asset the run does not trade, an amount that is none, or what the
            venue's list had booked already.
    """
    known = {run.quote, *(symbol.partition("/")[0] for symbol in run.symbols)}
    if asset not in known:
        raise RequestRefused(f"asset was {asset!r}, allowed: {', '.join(sorted(known))}")
    if not amount.is_finite() or amount == 0:
        raise RequestRefused(f"amount was {amount}, allowed: above 0 in, below 0 out")
    if actor != VENUE_ACTOR:
        _refuse_booked(run, asset, amount, actor, key)
    return ask(
        run=run,
        kind=RequestKind.ADJUST,
        payload={"asset": asset, "amount": plain(amount)},
        actor=actor,
        reason=reason,
        key=key,
    )


def request_book_external(
    *,
    fill: ExternalFill,
    as_lots: bool,
    actor: str,
    reason: str,
    strategy: str = "",
    key: str = "",
) -> OperatorRequest:
    """Ask for a trade made by hand to be taken into the books (F-013): as closing what strategies
    held (``strategy``, or the oldest first), or as the owner's own coins.

    Raises:
        RequestRefused: it is booked, or asked to be, already.
    """
    if fill.booked_by_id is not None:
        raise RequestRefused(f"trade {fill.trade_id} was booked by request {fill.booked_by_id}")
    waiting = OperatorRequest.objects.filter(
        run=fill.run,
        kind=RequestKind.BOOK_EXTERNAL,
        status__in=(RequestStatus.WAITING, RequestStatus.WORKING),
        payload__external_fill=fill.pk,
    ).exclude(actor=actor, idempotency_key=key)
    if waiting.exists():
        raise RequestRefused(f"trade {fill.trade_id} waits to be booked already")
    return ask(
        run=fill.run,
        kind=RequestKind.BOOK_EXTERNAL,
        strategy=strategy,
        symbol=fill.symbol,
        payload={"external_fill": fill.pk, "as_lots": as_lots},
        actor=actor,
        reason=reason,
        key=key,
    )


def ask(
    *,
    run: TradingRun,
    kind: RequestKind,
    payload: Mapping[str, Any],
    actor: str,
    reason: str,
    strategy: str = "",
    symbol: str = "",
    key: str = "",
    good_for: timedelta | None = None,
) -> OperatorRequest:
    """Write a request and its audit row; the same actor's same key gets the first one again.

    Raises:
        RequestRefused: the run has ended, no reason was given, or the key was another request's.
    """
    reason = checked_reason(reason)
    if run.ended_at is not None or run.mode == Mode.REPLAY:
        raise RequestRefused(f"run {run.code} has ended, nothing can be asked of it any more")
    now = timezone.now()
    fields = {"run": run, "kind": kind, "strategy": strategy, "symbol": symbol}
    key = key or uuid.uuid4().hex
    try:
        with transaction.atomic():
            row = OperatorRequest.objects.create(
                **fields,
                payload=dict(payload),
                actor=actor,
                reason=reason,
                idempotency_key=key,
                created_at=now,
                expires_at=None if good_for is None else now + good_for,
            )
            audit_record(
                actor=actor,
                action=f"request.{kind}",
                object_type="request",
                object_id=str(row.pk),
                reason=reason,
                after={"run": str(run.code), "strategy": strategy, "symbol": symbol, **payload},
            )
    except IntegrityError:
        return _asked_before(actor, key, fields, payload)
    return row


def request_withdraw(*, row: OperatorRequest, actor: str, reason: str) -> None:
    """Take back a request that no worker has looked at yet.

    Raises:
        RequestRefused: no reason was given, or it is carried out already or has ended.
    """
    reason = checked_reason(reason)
    with transaction.atomic():
        waits = OperatorRequest.objects.filter(pk=row.pk, status=RequestStatus.WAITING)
        changed = waits.exclude(kind=RequestKind.FLATTEN).update(
            status=RequestStatus.REFUSED,
            outcome=f"withdrawn by {actor}: {reason}",
            decided_at=timezone.now(),
        )
        if not changed:
            row.refresh_from_db()
            raise RequestRefused(
                f"request {row.pk} was a {row.kind} and {row.status}, allowed: one that waits and "
                "is no flatten, which only a resume takes back"
            )
        audit_record(
            actor=actor,
            action="request.withdraw",
            object_type="request",
            object_id=str(row.pk),
            reason=reason,
            before={"status": RequestStatus.WAITING.value},
            after={"status": RequestStatus.REFUSED.value},
        )


def checked_reason(reason: str) -> str:
    """Return a reason as it is stored.

    Raises:
        RequestRefused: it is empty, too long, or holds what no database stores.
    """
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON or "\x00" in reason:
        raise RequestRefused(
            f"reason had {len(reason)} characters, allowed: 1 to {LONGEST_REASON} of text"
        )
    return reason


def position_of(run: TradingRun, strategy: str, symbol: str) -> Position:
    """Return what a strategy holds of a symbol.

    Raises:
        RequestRefused: it holds none.
    """
    for position in position_list(run=run):
        if (position.strategy, position.symbol) == (strategy, symbol):
            return position
    raise RequestRefused(f"{strategy or 'no strategy'} holds no {symbol or 'symbol'} in this run")


def instrument_of(run: TradingRun, symbol: str) -> Instrument:
    """Return the filters of a symbol of the run, from its row."""
    return instrument_value(InstrumentRow.objects.get(venue=run.venue, symbol=symbol))


def _asked_before(
    actor: str, key: str, fields: Mapping[str, Any], payload: Mapping[str, Any]
) -> OperatorRequest:
    row = OperatorRequest.objects.get(actor=actor, idempotency_key=key)
    same = all(getattr(row, name) == value for name, value in fields.items())
    if not same or row.payload != dict(payload):
        raise RequestRefused(f"key {key} was used for request {row.pk}, which asked for another")
    return row


def _refuse_booked(run: TradingRun, asset: str, amount: Decimal, actor: str, key: str) -> None:
    if key and OperatorRequest.objects.filter(actor=actor, idempotency_key=key).exists():
        return  # asked before: the first answer stands
    now = timezone.now()
    booked = run.venue_transfers.filter(
        asset=asset,
        request__actor=VENUE_ACTOR,
        request__status__in=(RequestStatus.WAITING, RequestStatus.WORKING, RequestStatus.DONE),
        transferred_at__range=(now - WINDOW, now + WINDOW),
    )
    for row in booked:
        if declares(amount, row.amount, row.fee):
            raise RequestRefused(
                f"amount was {plain(amount)} {asset}, which the venue's list told of as "
                f"{row.venue_id} and request {row.request_id} booked; another one of that size: "
                "declare it in two parts"
            )


def _refuse_halted(run: TradingRun, strategy: str, symbol: str) -> None:
    scopes = scopes_over(run.account, symbol, strategy)
    row = ControlState.objects.filter(scope__in=scopes, state=TradingState.HALTED).first()
    if row is not None:
        raise RequestRefused(
            f"{row.scope} was HALTED ({row.reason}), allowed: a flatten of {row.scope}"
        )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
