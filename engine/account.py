"""The account as the limits see it: books, orders on the way, streaks, throttles and its week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from engine.ledger import Ledger
from engine.lots import Position
from engine.risk import OrderThrottle, RiskView
from engine.standing import EntryCounts, WeekPnl
from engine.types.decisions import JsonValue
from engine.types.ledger import ZERO, EquityPoint, Trade
from engine.types.opinions import Proposal
from engine.types.orders import OrderIntent, Purpose


class Account:
    """Books of one run plus what the limits count besides: losing streaks, entries, the week."""

    def __init__(
        self,
        ledger: Ledger,
        throttle: OrderThrottle | None = None,
        streaks: Mapping[str, int] | None = None,
        seen_resets: Mapping[str, int] | None = None,
        entries: EntryCounts | None = None,
        week: WeekPnl | None = None,
    ) -> None:
        self.ledger = ledger
        self._throttle = throttle or OrderThrottle()
        self._streaks = dict(streaks or {})
        self._seen_resets = dict(seen_resets or {})
        self.entries = entries or EntryCounts()
        self.week = week or WeekPnl()

    @property
    def streaks(self) -> Mapping[str, int]:
        """Losing trades in a row by strategy."""
        return dict(self._streaks)

    @property
    def seen_resets(self) -> Mapping[str, int]:
        """Resets by scope that were already forgiven."""
        return dict(self._seen_resets)

    def note_trade(self, trade: Trade) -> None:
        """Count a closed trade; a loss lengthens its strategy's streak, a win ends it."""
        lost = trade.pnl_quote < 0
        self._streaks[trade.strategy] = self.losing_streak(trade.strategy) + 1 if lost else 0

    def note_entry(self, intent: OrderIntent, ts_ms: int) -> None:
        """Count one entry intent at event time."""
        self._throttle.note(ts_ms)
        self.entries.note(intent.strategy, intent.symbol, intent.side, ts_ms)

    def losing_streak(self, strategy: str) -> int:
        """Losing trades in a row of one strategy, since its last win or reset."""
        return self._streaks.get(strategy, 0)

    def note_resets(self, resets: Mapping[str, int]) -> None:
        """Forgive what a person has reset since the last look."""
        for scope, times in resets.items():
            if times <= self._seen_resets.get(scope, 0):
                continue
            self._seen_resets[scope] = times
            if scope == "global":
                self.ledger.rebase_peak()
                self._streaks.clear()
            elif scope.startswith("strategy:"):
                strategy = scope.removeprefix("strategy:")
                self._streaks.pop(strategy, None)
                self.entries.forget(strategy)

    def holdings(self, symbol: str) -> dict[str, Position]:
        """Return the open positions in one symbol by strategy code."""
        if not self.ledger.is_held(symbol):
            return {}
        return {p.strategy: p for p in self.ledger.positions() if p.symbol == symbol}

    def standing(self, point: EquityPoint) -> RiskView:
        """Return the view that the account's breakers judge: equity, peak, day."""
        return RiskView(
            equity_quote=point.equity_quote,
            cash_quote=point.cash_quote,
            peak_equity_quote=point.peak_equity_quote,
            day_pnl_quote=point.day_pnl_quote,
            gross_exposure_quote=point.exposure_quote,
            week_pnl_quote=self.week.at(point),
        )

    def view(self, proposal: Proposal, pending: Sequence[OrderIntent], now_ms: int) -> RiskView:
        """Return the view of a proposal's order; open entries count as exposure (D-21)."""
        strategy = proposal.strategy
        ledger = self.ledger
        point = ledger.equity_point(now_ms)
        by_symbol = ledger.exposure_by_symbol()
        by_strategy = ledger.exposure_by_strategy()
        orders_by_symbol: dict[str, int] = {}
        reserved = ZERO
        entries = [intent for intent in pending if intent.purpose is Purpose.ENTRY]
        for intent in entries:
            notional = intent.quantity_base * intent.reference_price
            reserved += notional
            by_symbol[intent.symbol] = by_symbol.get(intent.symbol, ZERO) + notional
            by_strategy[intent.strategy] = by_strategy.get(intent.strategy, ZERO) + notional
            orders_by_symbol[intent.symbol] = orders_by_symbol.get(intent.symbol, 0) + 1
        positions = {(p.strategy, p.symbol): p.quantity_base for p in ledger.positions()}
        opening = {(i.strategy, i.symbol) for i in entries} - positions.keys()
        last_hour, last_day = self._throttle.counts(now_ms)
        lately, of_day = self.entries.counts(strategy, proposal.symbol, proposal.side, now_ms)
        return RiskView(
            equity_quote=point.equity_quote,
            cash_quote=point.cash_quote - reserved,
            peak_equity_quote=point.peak_equity_quote,
            day_pnl_quote=point.day_pnl_quote,
            gross_exposure_quote=sum(by_symbol.values(), Decimal(0)),
            exposure_by_symbol=by_symbol,
            exposure_by_strategy=by_strategy,
            positions_base=positions,
            open_orders=len(entries),
            open_orders_by_symbol=orders_by_symbol,
            open_positions=len(positions) + len(opening),
            consecutive_losses=self.losing_streak(strategy),
            orders_last_hour=last_hour,
            orders_last_day=last_day,
            entries_15m=lately,
            entries_day=of_day,
            week_pnl_quote=self.week.at(point),
        )

    def state(self) -> dict[str, JsonValue]:
        """Return what rows do not hold; streaks and throttle are rebuilt from trades and orders."""
        return {
            "streaks": dict(self._streaks),
            "seen_resets": dict(self._seen_resets),
            "entries": self.entries.state(),
            "week": self.week.state(),
        }
