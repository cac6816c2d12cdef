"""What people ask of a run: close a position, move its exits, flatten, declare money, book trades
that were made by hand; and what became of each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.confirmation import is_confirmed
from accounts.lists import ListOperation
from accounts.models import Scope
from accounts.money import MoneyField
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, filters_of
from accounts.permissions import request_scope
from accounts.roles import reaches
from trades.apis.evolution import ReasonInput
from trades.apis.filters import RunFilter, RunListFilters, run_of
from trades.errors import RequestRefused
from trades.flatten import flatten_confirm, flatten_preview
from trades.models import RequestKind, RequestStatus, TradingRun
from trades.requests import (
    LONGEST_REASON,
    request_adjust,
    request_book_external,
    request_close,
    request_exits,
)
from trades.selectors import Position
from trades.selectors.requests import (
    external_fill_get,
    external_fill_list,
    position_by_id,
    request_get,
    request_list,
    transfer_list,
)


class RequestOrderRow(serializers.Serializer):
    client_order_id = serializers.CharField()
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    quantity_base = MoneyField()
    filled_base = MoneyField()
    average_price = MoneyField(allow_null=True)
    status = serializers.CharField()
    refusal_text = serializers.CharField()


class RequestRow(serializers.Serializer):
    id = serializers.IntegerField()
    run = serializers.UUIDField(source="run.code")
    kind = serializers.ChoiceField(choices=RequestKind.choices)
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    payload = serializers.DictField()
    status = serializers.ChoiceField(choices=RequestStatus.choices)
    outcome = serializers.CharField()
    actor = serializers.CharField()
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    orders = RequestOrderRow(many=True, source="orders.all")


class RequestFilters(RunListFilters):
    kind = AllowedChoiceField(required=False, choices=RequestKind.choices)
    status = AllowedChoiceField(required=False, choices=RequestStatus.choices)


class RequestListApi(ListOperation):
    operation_id = "request_list"
    filters = RequestFilters
    row = RequestRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return request_list(
            run=run_of(filters), kind=filters.get("kind"), status=filters.get("status")
        )


class RequestDetailApi(Operation):
    @extend_schema(operation_id="request_detail", responses={200: RequestRow} | READ_PROBLEMS)
    def get(self, request: Request, request_id: int) -> Response:
        row = request_get(request_id)
        if row is None:
            raise Http404("no such request")
        return Response(RequestRow(row).data)


class TransferRow(serializers.Serializer):
    id = serializers.IntegerField()
    run = serializers.UUIDField(source="run.code")
    venue_id = serializers.CharField()
    is_deposit = serializers.BooleanField()
    asset = serializers.CharField()
    amount = MoneyField(help_text="what it changed on the account, the venue's fee included")
    fee = MoneyField()
    transferred_at = serializers.DateTimeField()
    noticed_at = serializers.DateTimeField()
    request = serializers.IntegerField(source="request_id", allow_null=True)
    outcome = serializers.CharField()


class TransferListApi(ListOperation):
    """Deposits and withdrawals as the venue lists them, with the request that books each."""

    operation_id = "transfer_list"
    filters = RunListFilters
    row = TransferRow
    time_field = "transferred_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return transfer_list(run=run_of(filters))


class CloseInput(ReasonInput):
    quantity_base = MoneyField(required=False)
    fraction = serializers.DecimalField(
        10, 8, required=False, help_text="of what is held when it is carried out, 0.5 is half"
    )


class ExitsInput(ReasonInput):
    """What is left out stays; null takes a price away."""

    stop_price = MoneyField(required=False, allow_null=True)
    target_price = MoneyField(required=False, allow_null=True)


class AdjustInput(ReasonInput):
    asset = serializers.CharField(max_length=20)
    amount = MoneyField(help_text="above 0 came in, below 0 went out")


class BookInput(ReasonInput):
    book_as = AllowedChoiceField(
        choices=[("lots", "closing what strategies held"), ("own", "the owner's own coins")]
    )
    strategy = serializers.CharField(max_length=40, required=False, default="")


def _documented(operation_id: str, body: Any) -> Any:
    return extend_schema(
        operation_id=operation_id,
        parameters=[IDEMPOTENCY_HEADER, RunFilter],
        request=body,
        responses={202: RequestRow} | WRITE_PROBLEMS,
    )


class _AskApi(Operation):
    """Answers 202 with the request: the trading worker carries it out at its next event."""

    @property
    def key(self) -> str:
        return str(self.request.headers.get("Idempotency-Key", ""))

    def run(self) -> TradingRun:
        run = run_of(filters_of(self.request, RunFilter))
        if run is None:
            raise RequestRefused("no run is open, nothing can be asked of it")
        return run

    def position(self, position_id: str) -> tuple[TradingRun, Position]:
        run = self.run()
        position = position_by_id(run=run, position_id=position_id)
        if position is None:
            raise Http404("no such open position")
        return run, position


class PositionCloseApi(_AskApi):
    """Close an open position at the market, whole or part."""

    @_documented("position_close", CloseInput)
    def post(self, request: Request, position_id: str) -> Response:
        given = self.checked(CloseInput)
        run, position = self.position(position_id)
        row = request_close(
            run=run,
            strategy=position.strategy,
            symbol=position.symbol,
            quantity_base=given.get("quantity_base"),
            fraction=given.get("fraction"),
            actor=self.actor,
            reason=given["reason"],
            key=self.key,
        )
        return Response(RequestRow(row).data, status=202)


class PositionExitsApi(_AskApi):
    """Move stop and target. A wider stop needs the scope admin."""

    @_documented("position_exits", ExitsInput)
    def post(self, request: Request, position_id: str) -> Response:
        given = self.checked(ExitsInput)
        run, position = self.position(position_id)
        row = request_exits(
            run=run,
            strategy=position.strategy,
            symbol=position.symbol,
            changes={n: v for n, v in given.items() if n in ("stop_price", "target_price")},
            may_widen=reaches(request_scope(request), Scope.ADMIN) and is_confirmed(request),
            actor=self.actor,
            reason=given["reason"],
            key=self.key,
        )
        return Response(RequestRow(row).data, status=202)


class AdjustmentApi(_AskApi):
    """Declare a deposit or withdrawal: kept out of return, drawdown and the day's result."""

    required_scope = Scope.ADMIN
    needs_confirmation = True

    @_documented("adjustment_declare", AdjustInput)
    def post(self, request: Request) -> Response:
        given = self.checked(AdjustInput)
        row = request_adjust(
            run=self.run(),
            asset=given["asset"],
            amount=given["amount"],
            actor=self.actor,
            reason=given["reason"],
            key=self.key,
        )
        return Response(RequestRow(row).data, status=202)


class ExternalFillRow(serializers.Serializer):
    id = serializers.IntegerField()
    run = serializers.UUIDField(source="run.code")
    trade_id = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    price = MoneyField()
    quantity_base = MoneyField()
    fee = MoneyField()
    fee_asset = serializers.CharField()
    executed_at = serializers.DateTimeField()
    booked_by = serializers.IntegerField(source="booked_by_id", allow_null=True)
    closed_lots = serializers.BooleanField()


class ExternalFillListApi(ListOperation):
    operation_id = "external_fill_list"
    filters = RunListFilters
    row = ExternalFillRow
    time_field = "executed_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return external_fill_list(run=run_of(filters), symbol=filters.get("symbol"))


class ExternalFillBookApi(_AskApi):
    """Take a trade made by hand into the books (the symbol stays halted until it is resumed)."""

    required_scope = Scope.ADMIN
    needs_confirmation = True

    @_documented("external_fill_book", BookInput)
    def post(self, request: Request, fill_id: int) -> Response:
        given = self.checked(BookInput)
        fill = external_fill_get(fill_id)
        if fill is None:
            raise Http404("no such trade")
        row = request_book_external(
            fill=fill,
            as_lots=given["book_as"] == "lots",
            strategy=given["strategy"],
            actor=self.actor,
            reason=given["reason"],
            key=self.key,
        )
        return Response(RequestRow(row).data, status=202)


class FlattenInput(serializers.Serializer):
    scope = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, default="")
    token = serializers.CharField(
        max_length=20_000, required=False, default="", help_text="of the preview, to confirm it"
    )


class ClosingRow(serializers.Serializer):
    run = serializers.UUIDField(source="run.code")
    strategy = serializers.CharField(source="position.strategy")
    symbol = serializers.CharField(source="position.symbol")
    side = serializers.CharField(source="position.side")
    quantity_base = MoneyField(source="position.quantity_base")
    mark_price = MoneyField(source="position.mark_price", allow_null=True)
    notional_quote = MoneyField(source="position.notional_quote", allow_null=True)
    exit_fee_quote = MoneyField(allow_null=True)
    result_quote = MoneyField(allow_null=True)
    hindrance = serializers.CharField(help_text="why it would stay open, empty where it would not")


class FlattenOutput(serializers.Serializer):
    scope = serializers.CharField()
    positions = ClosingRow(many=True, source="closings")
    result_quote = serializers.DictField(
        child=MoneyField(), help_text="by quote asset, at the last close, slippage left out"
    )
    unvalued = serializers.IntegerField(help_text="positions without a price")
    token = serializers.CharField()
    good_for_s = serializers.IntegerField()
    requests = RequestRow(many=True)


class ControlFlattenApi(Operation):
    """Two steps. Without a token: what would be closed, and a token (200). With the token and a
    reason: no new entries at once, everything in scope is closed, then halted (202)."""

    @extend_schema(
        operation_id="control_flatten",
        parameters=[IDEMPOTENCY_HEADER],
        request=FlattenInput,
        responses={200: FlattenOutput, 202: FlattenOutput} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(FlattenInput)
        if not given["token"]:
            preview = flatten_preview(scope=given["scope"], actor=self.actor)
            preview_row = FlattenOutput({**vars_of(preview), "requests": []}).data
            return Response(preview_row)
        rows = flatten_confirm(
            scope=given["scope"], token=given["token"], actor=self.actor, reason=given["reason"]
        )
        confirmed = {
            "scope": given["scope"],
            "closings": [],
            "result_quote": {},
            "unvalued": 0,
            "token": "",
            "good_for_s": 0,
            "requests": rows,
        }
        return Response(FlattenOutput(confirmed).data, status=202)


def vars_of(preview: Any) -> dict[str, Any]:
    names = ("scope", "closings", "result_quote", "unvalued", "token", "good_for_s")
    return {name: getattr(preview, name) for name in names}
