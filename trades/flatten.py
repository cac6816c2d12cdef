"""Flatten in two steps: a preview of what would be closed and lost, then its confirmation."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.core import signing
from django.db import transaction

from engine.ports import TradingState
from engine.types.ledger import ZERO
from market.models import Instrument as InstrumentRow
from trades.errors import ControlRefused, PreviewStale, RequestRefused
from trades.instructions import FLATTENING
from trades.models import (
    ControlState,
    ExternalFill,
    Mode,
    OperatorRequest,
    RequestKind,
    TradingRun,
)
from trades.requests import ask, checked_reason
from trades.scopes import GLOBAL_SCOPE, account_scope, scopes_over, split
from trades.selectors import Position, position_list
from trades.services import check_scope, control_set

GOOD_FOR_S = 120
_SALT = "trades.flatten"


@dataclass(frozen=True, slots=True)
class Closing:
    """One position a flatten would close. Money in quote, None where no candle is stored; the
    result is at the last close, less entry and exit fees, and leaves slippage out."""

    run: TradingRun
    position: Position
    exit_fee_quote: Decimal | None
    result_quote: Decimal | None
    hindrance: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a flatten of ``scope`` would do now; ``token`` confirms it within two minutes.

    ``result_quote`` is the sum over what can be valued, by quote asset.
    """

    scope: str
    closings: Sequence[Closing]
    result_quote: dict[str, Decimal]
    unvalued: int
    token: str
    good_for_s: int = GOOD_FOR_S


def flatten_preview(*, scope: str, actor: str) -> Preview:
    """Return what a flatten of ``scope`` would close, with the token that confirms it.

    Raises:
        RequestRefused: an unknown scope, or one that cannot be flattened.
    """
    _check(scope)
    closings = [_closing(run, held, scope) for run, held in _held(scope)]
    results: dict[str, Decimal] = {}
    for closing in closings:
        if closing.result_quote is not None:
            quote = closing.run.quote
            results[quote] = results.get(quote, ZERO) + closing.result_quote
    shown = {_key(c.run, c.position): str(c.position.quantity_base) for c in closings}
    signed = {"scope": scope, "actor": actor, "held": shown, "nonce": uuid.uuid4().hex}
    return Preview(
        scope=scope,
        closings=closings,
        result_quote=results,
        unvalued=sum(1 for closing in closings if closing.result_quote is None),
        token=signing.dumps(signed, salt=_SALT, compress=True),
    )


def flatten_confirm(*, scope: str, token: str, actor: str, reason: str) -> list[OperatorRequest]:
    """Stop new entries in ``scope`` at once and ask every open run to close what it holds of it.

    The scope goes to REDUCING now, whatever it was, and to HALTED once it is flat (D-28). The
    same token twice is one flatten.

    Raises:
        PreviewStale: the token is too old, not this caller's, or there is more to close by now.
        RequestRefused: no reason was given, or no run is open.
    """
    reason = checked_reason(reason)
    nonce = _checked_token(scope, token, actor)
    with transaction.atomic():
        known = OperatorRequest.objects.filter(actor=actor, payload__group=nonce)
        if known.exists():
            return list(known.order_by("pk"))
        runs = _open_runs(scope)
        if not runs:
            raise RequestRefused("no run is open, there is nothing to flatten")
        control_set(
            scope=scope,
            state=TradingState.REDUCING,
            actor=actor,
            reason=f"flatten: {reason}",
            reason_code=FLATTENING,
        )
        return [
            ask(
                run=run,
                kind=RequestKind.FLATTEN,
                payload={"scope": scope, "group": nonce},
                actor=actor,
                reason=reason,
                key=f"{nonce}:{run.pk}",
            )
            for run in runs
        ]


def _checked_token(scope: str, token: str, actor: str) -> str:
    try:
        signed = signing.loads(token, salt=_SALT, max_age=GOOD_FOR_S)
    except signing.SignatureExpired:
        raise PreviewStale(f"the preview was older than {GOOD_FOR_S} s, look again") from None
    except signing.BadSignature:
        raise PreviewStale("the token was none of a preview, ask for one first") from None
    if (signed["scope"], signed["actor"]) != (scope, actor):
        raise PreviewStale("the preview was of another scope or another person")
    seen = signed["held"]
    for run, held in _held(scope):
        shown = Decimal(seen.get(_key(run, held), "0"))
        if held.quantity_base > shown:
            raise PreviewStale(
                f"{held.strategy} holds {held.quantity_base} {held.symbol}, "
                f"the preview showed {shown}; look again"
            )
    return str(signed["nonce"])


def _check(scope: str) -> None:
    try:
        check_scope(scope)
    except ControlRefused as error:
        raise RequestRefused(str(error)) from error
    account, inner = split(scope)
    kind, _, symbol = inner.partition(":")
    if kind == "symbol" and _by_hand(symbol):
        raise RequestRefused(
            f"{symbol} has trades made by hand that are not booked: what is held there is not "
            "known; book them first"
        )
    wider = {GLOBAL_SCOPE, *([account_scope(account)] if account else [])} - {scope}
    above = ControlState.objects.filter(scope__in=wider, state=TradingState.HALTED).first()
    if above is not None:
        raise RequestRefused(
            f"{above.scope} was HALTED ({above.reason}), allowed: a flatten of {above.scope}"
        )


def _by_hand(symbol: str) -> bool:
    rows = ExternalFill.objects.filter(symbol=symbol, booked_by__isnull=True)
    return rows.filter(run__ended_at__isnull=True).exists()


def _open_runs(scope: str) -> list[TradingRun]:
    runs = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    if account := split(scope)[0]:
        runs = runs.filter(account=account)
    return list(runs.order_by("pk"))


def _held(scope: str) -> list[tuple[TradingRun, Position]]:
    return [
        (run, held)
        for run in _open_runs(scope)
        for held in position_list(run=run)
        if scope in scopes_over(run.account, held.symbol, held.strategy)
    ]


def _closing(run: TradingRun, held: Position, scope: str) -> Closing:
    row = InstrumentRow.objects.filter(venue=run.venue, symbol=held.symbol).first()
    fee = result = None
    if row is not None and held.notional_quote is not None:
        fee = held.notional_quote * row.taker_fee_fraction
        result = (held.unrealised_pnl_quote or ZERO) - fee
    return Closing(run, held, fee, result, _hindrance(run, held, scope))


def _hindrance(run: TradingRun, held: Position, scope: str) -> str:
    """Say why a flatten of ``scope`` would leave this one open; empty where it would not."""
    others = {*scopes_over(run.account, held.symbol, held.strategy)} - {GLOBAL_SCOPE, scope}
    row = ControlState.objects.filter(scope__in=others, state=TradingState.HALTED).first()
    return "" if row is None else f"{row.scope} is HALTED: {row.reason}"


def _key(run: TradingRun, held: Position) -> str:
    return f"{run.pk}|{held.strategy}|{held.symbol}|{held.side}"
