"""Everything under ``/freqtrade/api/v1/``, where it is switched on."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from tradeplatform.compat import apis

PREFIX = "freqtrade/api/v1/"


def compat_patterns(*, is_on: bool) -> list[URLPattern | URLResolver]:
    """Return what the address list takes in: nothing unless it is switched on (D-37)."""
    return [path(PREFIX, include((urlpatterns, "freqtrade")))] if is_on else []


def _tags(name: str) -> URLPattern:
    addresses = {"enter_tag": "entries", "exit_reason": "exits", "mix_tag": "mix_tags"}
    return path(addresses[name], apis.TagsApi.as_view(name=name))


urlpatterns = [
    path("ping", apis.PingApi.as_view()),
    path("token/login", apis.TokenLoginApi.as_view()),
    path("token/refresh", apis.TokenRefreshApi.as_view()),
    path("version", apis.VersionApi.as_view()),
    path("show_config", apis.ShowConfigApi.as_view()),
    path("status", apis.StatusApi.as_view()),
    path("trades", apis.TradesApi.as_view()),
    path("trade/<int:number>", apis.TradeApi.as_view()),
    path("count", apis.CountApi.as_view()),
    path("balance", apis.BalanceApi.as_view()),
    path("profit", apis.ProfitApi.as_view()),
    path("daily", apis.PeriodsApi.as_view()),
    path("weekly", apis.PeriodsApi.as_view(unit="weeks", usual=4)),
    path("monthly", apis.PeriodsApi.as_view(unit="months", usual=3)),
    path("performance", apis.PerformanceApi.as_view()),
    _tags("enter_tag"),
    _tags("exit_reason"),
    _tags("mix_tag"),
    path("stats", apis.StatsApi.as_view()),
    path("whitelist", apis.WhitelistApi.as_view()),
    path("blacklist", apis.BlacklistApi.as_view()),
    path("locks", apis.LocksApi.as_view()),
    path("logs", apis.LogsApi.as_view()),
    path("strategies", apis.StrategiesApi.as_view()),
    path("strategy/<str:code>", apis.StrategyApi.as_view()),
    path("pair_candles", apis.PairCandlesApi.as_view()),
    path("available_pairs", apis.AvailablePairsApi.as_view()),
    path("plot_config", apis.PlotConfigApi.as_view()),
    path("sysinfo", apis.SysinfoApi.as_view()),
    path("health", apis.HealthApi.as_view()),
    # not ".*": a path may hold a line break
    re_path(r"^[\s\S]*$", apis.UnknownPathApi.as_view()),
]
