"""freqtrade's addresses. They read; what would change anything is refused with one line (D-37)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.http import Http404
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiToken, Scope
from accounts.operations import Operation
from market.sources.instruments import timeframe_from_ms
from strategies.selectors import strategy_get, strategy_list
from tradeplatform.compat import access, documents, logs, results, selectors, state
from tradeplatform.doctor import scrubber
from tradeplatform.version import RELEASE
from trades.models import TradingRun
from trades.selectors import run_current
from trades.selectors.requests import lock_list, venue_now

MOST_TRADES = 500
MOST_CANDLES = 1_500
MOST_PERIODS = 366
READ_ONLY = (
    "These addresses only read; trading is stopped, resumed and changed on the pages, or under"
    " /api/v1/ with a token of scope operate."
)


class ReadOnlyOperation(Operation):
    """Reads for a token of scope ``read``; every other verb is refused."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = (
        access.AccessAuthentication,
        access.PasswordAuthentication,
    )
    required_scope = Scope.READ
    # not part of our own API's document
    schema = None

    def post(self, request: Request, **_: Any) -> Response:
        raise PermissionDenied(READ_ONLY)

    put = patch = delete = post


class UnknownPathApi(ReadOnlyOperation):
    """Not offered: 404 to who asks, and the refusal of a write to who would change something."""

    def get(self, request: Request) -> Response:
        raise Http404


class TokenLoginApi(ReadOnlyOperation):
    """A user name of any kind and a token as the password give two passes."""

    authentication_classes = (access.PasswordAuthentication,)

    def post(self, request: Request, **_: Any) -> Response:
        token, kinds = _token(request), ("access", "refresh")
        return Response({f"{kind}_token": access.pass_issue(token, kind) for kind in kinds})


class TokenRefreshApi(ReadOnlyOperation):
    authentication_classes = (access.RefreshAuthentication,)

    def post(self, request: Request, **_: Any) -> Response:
        return Response({"access_token": access.pass_issue(_token(request), "access")})


class PingApi(Operation):
    """The one address for everybody, as there: it says that something answers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def get(self, request: Request) -> Response:
        return Response({"status": "pong"})


class VersionApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response({"version": RELEASE})


class ShowConfigApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(state.config_document(_run()))


class StatusApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        run = _run()
        return Response(_trades(run, selectors.entries_open(run)))


class TradesApi(ReadOnlyOperation):
    class Input(serializers.Serializer[Any]):
        limit = serializers.IntegerField(default=MOST_TRADES, min_value=0, max_value=2**31)
        offset = serializers.IntegerField(default=0, min_value=0, max_value=2**31)
        order_by_id = serializers.BooleanField(default=True)

    def get(self, request: Request) -> Response:
        run, asked = _run(), _asked(self.Input, request.query_params.dict())
        found, total = selectors.entries_closed(
            run,
            limit=min(asked["limit"], MOST_TRADES),
            offset=asked["offset"],
            by_id=asked["order_by_id"],
        )
        return Response(
            {
                "trades": _trades(run, found),
                "trades_count": len(found),
                "offset": asked["offset"],
                "total_trades": total,
            }
        )


class TradeApi(ReadOnlyOperation):
    def get(self, request: Request, number: int) -> Response:
        run = _run()
        entry = selectors.entry_get(run, number)
        if entry is None:
            raise NotFound(f"trade was {number}, this run has none of that number")
        return Response(_trades(run, [entry])[0])


class CountApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        run = _run()
        return Response(state.count_document(run, selectors.entries_open(run)))


class BalanceApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(state.balance_document(_run()))


class ProfitApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        run = _run()
        closed, entries = selectors.closed_list(run), selectors.entries_open(run)
        return Response(results.profit_document(run, closed, entries, state.volume_quote(run)))


class PeriodsApi(ReadOnlyOperation):
    """``daily``, ``weekly`` and ``monthly``."""

    unit = "days"
    usual = 7

    class Input(serializers.Serializer[Any]):
        timescale = serializers.IntegerField(required=False, min_value=1, max_value=MOST_PERIODS)

    def get(self, request: Request) -> Response:
        run, asked = _run(), _asked(self.Input, request.query_params.dict())
        return Response(
            results.periods_document(
                run,
                selectors.closed_list(run),
                unit=self.unit,
                count=asked.get("timescale", self.usual),
                now=venue_now(),
            )
        )


class PerformanceApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(results.performance_document(selectors.closed_list(_run())))


class TagsApi(ReadOnlyOperation):
    """``entries``, ``exits`` and ``mix_tags``."""

    name = "enter_tag"

    class Input(serializers.Serializer[Any]):
        pair = serializers.CharField(required=False, max_length=40)

    def get(self, request: Request) -> Response:
        closed = selectors.closed_list(_run())
        if pair := _asked(self.Input, request.query_params.dict()).get("pair"):
            closed = [one for one in closed if one.pair == pair]
        return Response(results.breakdown(closed, self.name, results.TAGS[self.name]))


class StatsApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(results.stats_document(selectors.closed_list(_run())))


class WhitelistApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        pairs = _run().symbols
        return Response({"whitelist": pairs, "length": len(pairs), "method": ["StaticPairList"]})


class BlacklistApi(ReadOnlyOperation):
    """There is none here: symbols are listed, not struck out; locks keep entries out."""

    def get(self, request: Request) -> Response:
        empty: dict[str, Any] = {"blacklist": [], "blacklist_expanded": [], "errors": {}}
        return Response(empty | {"length": 0, "method": []})


class LocksApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        now = venue_now()
        found = [state.lock_document(lock, now) for lock in lock_list(standing=True)]
        return Response({"lock_count": len(found), "locks": found})


class LogsApi(ReadOnlyOperation):
    class Input(serializers.Serializer[Any]):
        limit = serializers.IntegerField(required=False, min_value=0, max_value=2**31)

    def get(self, request: Request) -> Response:
        asked = _asked(self.Input, request.query_params.dict())
        limit = min(asked.get("limit", logs.MOST_LINES), logs.MOST_LINES)
        rows = logs.log_rows(Path(settings.VAR_DIR) / "log", limit, scrubber().text)
        return Response({"log_count": len(rows), "logs": rows})


class StrategiesApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response({"strategies": [row.code for row in strategy_list()]})


class StrategyApi(ReadOnlyOperation):
    """A strategy's name and timeframe; its source is not handed out."""

    def get(self, request: Request, code: str) -> Response:
        if strategy_get(code) is None:
            raise NotFound(f"strategy was {code}, strategies lists those there are")
        timeframe = timeframe_from_ms(_run().timeframe_ms)
        return Response({"strategy": code, "code": None, "timeframe": timeframe})


class PairCandlesApi(ReadOnlyOperation):
    """Stored candles. The form with ``columns`` is a POST there, and reads as well."""

    class Input(serializers.Serializer[Any]):
        pair = serializers.CharField(max_length=40)
        timeframe = serializers.CharField(max_length=10)
        limit = serializers.IntegerField(default=MOST_CANDLES, min_value=1, max_value=2**31)
        columns = serializers.ListField(
            child=serializers.CharField(max_length=60), required=False, max_length=100
        )

    def get(self, request: Request) -> Response:
        return self._answer(request.query_params.dict())

    def post(self, request: Request, **_: Any) -> Response:
        return self._answer(request.data)

    def _answer(self, given: Any) -> Response:
        run, asked = _run(), _asked(self.Input, given)
        _require_known(run, asked["pair"], asked["timeframe"])
        limit = min(asked["limit"], MOST_CANDLES)
        columns = asked.get("columns")
        return Response(
            state.candles_document(run, pair=asked["pair"], limit=limit, columns=columns)
        )


class AvailablePairsApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        run = _run()
        timeframe = timeframe_from_ms(run.timeframe_ms)
        pairs = [[symbol, timeframe, "spot"] for symbol in run.symbols]
        return Response({"length": len(pairs), "pairs": run.symbols, "pair_interval": pairs})


class PlotConfigApi(ReadOnlyOperation):
    """No strategy here describes a plot."""

    def get(self, request: Request) -> Response:
        return Response({"main_plot": {}, "subplots": {}})


class SysinfoApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(state.sysinfo_document())


class HealthApi(ReadOnlyOperation):
    def get(self, request: Request) -> Response:
        return Response(state.health_document(_run()))


def _token(request: Request) -> ApiToken:
    # the permission let nobody without one through
    return cast(ApiToken, request.auth)


def _run() -> TradingRun:
    run = run_current()
    if run is None:
        raise NotFound("There is no run yet.")
    return run


def _trades(run: TradingRun, entries: list[selectors.Entry]) -> list[dict[str, Any]]:
    known = selectors.instruments_of(run)
    return [documents.trade_document(e, run, known.get(e.order.symbol)) for e in entries]


def _asked(serializer: type[serializers.Serializer[Any]], given: Any) -> dict[str, Any]:
    """Return what was asked; names nobody knows are passed over, as freqtrade does."""
    found = serializer(data=given)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def _require_known(run: TradingRun, pair: str, timeframe: str) -> None:
    if pair not in run.symbols:
        raise ValidationError({"pair": f"was {pair}, allowed: {', '.join(run.symbols)}"})
    own = timeframe_from_ms(run.timeframe_ms)
    if timeframe != own:
        raise ValidationError({"timeframe": f"was {timeframe}, allowed: {own}"})
