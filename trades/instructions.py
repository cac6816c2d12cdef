"""What people ask of a stored run, from rows to the engine's values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import timezone

from engine.flattening import LEFT_OPEN
from engine.ports import TradingState
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.requests import (
    Adjust,
    Adjustment,
    BookExternal,
    ClosePosition,
    Flatten,
    Instruction,
    MoveExits,
    Settled,
    Verdict,
)
from trades import models
from trades.errors import RequestSettled
from trades.models import RequestKind, RequestStatus
from trades.records import milliseconds, moment
from trades.services import control_set

OPEN = (RequestStatus.WAITING, RequestStatus.WORKING)
# The reason codes of a scope while it is being flattened, once it is flat, and where it is not.
FLATTENING, FLATTENED = "FLATTENING", "FLATTENED"


class StoredInstructions:
    """Implements ``engine.ports.Instructions`` for one run; both calls join the event's
    transaction, whose fence keeps a second worker out."""

    def __init__(self, run: models.TradingRun) -> None:
        self._run = run

    def waiting(self) -> bool:
        """True where the run has something to look at before its next bar."""
        return self._open().exists()

    def due(self, now_ms: int) -> Sequence[Instruction]:
        rows = list(self._open().order_by("pk"))
        if not rows:
            return ()
        now = timezone.now()
        fresh = [row for row in rows if row.expires_at is None or row.expires_at > now]
        for row in rows:
            if row not in fresh:
                text = f"nobody could carry it out before {row.expires_at:%Y-%m-%d %H:%M:%S} UTC"
                self._end(row.pk, RequestStatus.EXPIRED, text)
        later = _later(fresh)
        return [_VALUES[RequestKind(row.kind)](row) for row in fresh if row not in later]

    def settle(self, settled: Settled) -> None:
        row = self._open().get(pk=int(settled.request_id))
        self._end(row.pk, RequestStatus(settled.verdict.value), settled.text)
        ids = [intent.client_order_id for intent in (*settled.intents, *settled.filled)]
        models.Order.objects.filter(client_order_id__in=ids).update(request=row)
        for adjustment in settled.adjustments:
            self._keep(row, adjustment)
        if settled.verdict is Verdict.WORKING:
            return
        if row.kind == RequestKind.FLATTEN:
            self._end_of_flatten(row)
        elif row.kind == RequestKind.BOOK_EXTERNAL and settled.verdict is Verdict.DONE:
            models.ExternalFill.objects.filter(pk=row.payload["external_fill"]).update(
                booked_by=row, closed_lots=row.payload["as_lots"]
            )

    def _open(self) -> Any:
        return models.OperatorRequest.objects.filter(run=self._run, status__in=OPEN)

    def _end(self, pk: int, status: RequestStatus, text: str) -> None:
        """Move a request on.

        Raises:
            RequestSettled: it had ended already, so this event must not have acted on it.
        """
        changed = self._open().filter(pk=pk)
        if not changed.update(status=status, outcome=text, decided_at=timezone.now()):
            raise RequestSettled(f"request {pk} had ended already")

    def _keep(self, row: models.OperatorRequest, made: Adjustment) -> None:
        last = models.Fill.objects.filter(run=self._run).order_by("-pk").first()
        models.LedgerAdjustment.objects.create(
            run=self._run,
            request=row,
            asset=made.asset,
            amount=made.amount,
            price_quote=made.price_quote,
            value_quote=made.value_quote,
            equity_before_quote=made.equity_before_quote,
            after_fill_id=0 if last is None else last.pk,
            at=moment(made.ts_ms),
        )

    def _end_of_flatten(self, row: models.OperatorRequest) -> None:
        """Halt the scope once every run has left it (D-28); what could not be closed keeps it at
        REDUCING, so that its exits go on."""
        same = Q(kind=RequestKind.FLATTEN, payload__group=row.payload["group"])
        group = models.OperatorRequest.objects.filter(same, run__ended_at__isnull=True)
        if group.filter(status__in=OPEN).exists():
            return
        scope = row.payload["scope"]
        present = models.ControlState.objects.filter(scope=scope).first()
        if present is None or present.reason_code != FLATTENING:
            return  # a person has set the scope since: that word stands
        refused = group.filter(status=RequestStatus.REFUSED).exists()
        state = TradingState.REDUCING if refused else TradingState.HALTED
        control_set(
            scope=scope,
            state=state,
            actor=row.actor,
            reason=f"flatten request {row.pk}: {row.reason}",
            reason_code=LEFT_OPEN if refused else FLATTENED,
        )


def _later(rows: Sequence[models.OperatorRequest]) -> list[models.OperatorRequest]:
    """Return withdrawals that wait for the next event: what is the owner's of a coin is read from
    rows, which the one before changes."""
    taken: set[str] = set()
    later = []
    for row in rows:
        if row.kind == RequestKind.ADJUST and row.payload["amount"].startswith("-"):
            if row.payload["asset"] in taken:
                later.append(row)
            taken.add(row.payload["asset"])
    return later


def _close(row: models.OperatorRequest) -> Instruction:
    return ClosePosition(
        request_id=str(row.pk),
        strategy=row.strategy,
        symbol=row.symbol,
        actor=row.actor,
        quantity_base=_decimal(row.payload, "quantity_base"),
        fraction=_decimal(row.payload, "fraction"),
    )


def _move_exits(row: models.OperatorRequest) -> Instruction:
    changes = row.payload["changes"]
    return MoveExits(
        request_id=str(row.pk),
        strategy=row.strategy,
        symbol=row.symbol,
        actor=row.actor,
        changes={name: _decimal(changes, name) for name in changes},
        may_widen=row.payload["may_widen"],
    )


def _flatten(row: models.OperatorRequest) -> Instruction:
    legs: dict[tuple[str, str], int] = {}
    misses: dict[tuple[str, str], int] = {}
    missed_ms: dict[tuple[str, str], int] = {}
    for order in row.orders.order_by("pk"):
        key = order.strategy, order.symbol
        legs[key] = legs.get(key, 0) + 1
        if order.filled_base:
            misses.pop(key, None)
            missed_ms.pop(key, None)
        else:
            misses[key] = misses.get(key, 0) + 1
            missed_ms[key] = milliseconds(order.decided_at)
    return Flatten(
        request_id=str(row.pk),
        scope=row.payload["scope"],
        actor=row.actor,
        reason=row.reason,
        legs=legs,
        misses=misses,
        missed_ms=missed_ms,
    )


def _adjust(row: models.OperatorRequest) -> Instruction:
    asset = row.payload["asset"]
    own = ZERO if asset == row.run.quote else own_coins(row.run, asset)
    return Adjust(str(row.pk), asset, Decimal(row.payload["amount"]), row.actor, own_base=own)


def _book_external(row: models.OperatorRequest) -> Instruction:
    fill = models.ExternalFill.objects.get(pk=row.payload["external_fill"])
    return BookExternal(
        request_id=str(row.pk),
        symbol=fill.symbol,
        trade_id=fill.trade_id,
        side=Side(fill.side),
        price=fill.price,
        quantity_base=fill.quantity_base,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        ts_ms=round(fill.executed_at.timestamp() * 1000),
        actor=row.actor,
        as_lots=row.payload["as_lots"],
        strategy=row.strategy,
        own_base=own_coins(row.run, fill.symbol.partition("/")[0]),
    )


def declared_amounts(run: models.TradingRun) -> list[tuple[str, Decimal]]:
    """Return each deposit and withdrawal that was carried out, as asset and whole amount: coins of
    before the run are in it, though they never were in the books."""
    done = run.operator_requests.filter(kind=RequestKind.ADJUST, status=RequestStatus.DONE)
    payloads = done.values_list("payload", flat=True)
    return [(payload["asset"], Decimal(payload["amount"])) for payload in payloads]


def own_coins(run: models.TradingRun, base: str) -> Decimal:
    """Return how much of an asset on the account is the owner's, by rows: what was there before
    the run, and what came and went since without being a strategy's."""
    own = Decimal(str(run.opening_balances.get(base, "0")))
    own += sum((amount for asset, amount in declared_amounts(run) if asset == base), ZERO)
    taken = run.external_fills.filter(
        booked_by__isnull=False, closed_lots=False, symbol__startswith=f"{base}/"
    )
    for fill in taken:
        own += Side(fill.side).sign * fill.quantity_base
        own -= fill.fee if fill.fee_asset == base else ZERO
    return own


def _decimal(payload: Mapping[str, Any], name: str) -> Decimal | None:
    value = payload.get(name)
    return None if value is None else Decimal(value)


_VALUES: Mapping[RequestKind, Callable[[models.OperatorRequest], Instruction]] = {
    RequestKind.CLOSE: _close,
    RequestKind.MOVE_EXITS: _move_exits,
    RequestKind.FLATTEN: _flatten,
    RequestKind.ADJUST: _adjust,
    RequestKind.BOOK_EXTERNAL: _book_external,
}
