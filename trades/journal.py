"""The database journal: everything one event caused, in one transaction, under the fence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import (
    Analysis,
    Decision,
    EvolutionTrigger,
    JsonValue,
    PhaseRecord,
    Settlement,
)
from engine.types.learned import TradeCredit, Trial
from engine.types.ledger import EquityPoint, Lot, Trade
from engine.types.orders import Fill, OrderIntent, Purpose
from market.models import Instrument
from market.services import candles_keep
from strategies.scores import credit_record, settled_record
from strategies.training import training_request
from trades import models, oms, records
from trades.failpoints import failpoint
from trades.feature_names import feature_names_keep
from trades.lease import Fence
from trades.services import predictor_parameters


class DatabaseJournal:
    """Implements ``engine.ports.Journal``. A write that fails rolls the whole event back and
    raises: the session is then rebuilt from what was committed."""

    def __init__(
        self,
        run: models.TradingRun,
        fence: Fence,
        instruments: Mapping[str, Instrument],
        horizon_bars: int = 12,
    ) -> None:
        self._run = run
        self._fence = fence
        self._instruments = instruments
        self._horizon_bars = horizon_bars
        self._analysis: models.Analysis | None = None
        self._legends: set[str] = set()

    @contextmanager
    def event(self, event: MarketEvent) -> Iterator[None]:
        with transaction.atomic():
            self._fence.assert_held()
            self._analysis = None
            yield
            if event.kind is EventKind.BAR:
                self._advance_cursor(event)
            failpoint("event.before_commit")
        failpoint("event.after_commit")

    def record_rejected_event(self, event: MarketEvent, reason: str) -> None:
        bar = event.bar
        models.RejectedEvent.objects.create(
            run=self._run,
            symbol=event.symbol,
            event_at=records.moment(event.ts_ms),
            reason=reason,
            # repr: JSON has no NaN, and a bad number is exactly what stands here
            payload={"bar": repr(bar)},
            created_at=timezone.now(),
        )

    def record_bar(self, event: MarketEvent) -> None:
        bar = event.bar
        if bar is None:
            return
        # another run of the venue may have kept it: a candle that is there stays as it is
        instrument = self._instruments[event.symbol]
        candles_keep(instrument=instrument, timeframe_ms=self._run.timeframe_ms, bars=[bar])

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None:
        failpoint("fills.before")
        now = timezone.now()
        order = models.Order.objects.get(client_order_id=intent.client_order_id)
        records.fill_row(self._run, order, fill, now).save(force_insert=True)
        oms.book_fill(order, fill, now)
        failpoint("fills.mid")

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None:
        for lot in opened:
            models.Lot.objects.create(run=self._run, lot_id=lot.lot_id, **records.lot_fields(lot))
        for lot in changed:
            models.Lot.objects.filter(run=self._run, lot_id=lot.lot_id).update(
                **records.lot_fields(lot)
            )
        failpoint("fills.after")

    def record_trade(self, trade: Trade) -> None:
        records.trade_row(self._run, trade).save(force_insert=True)

    def record_analysis(self, analysis: Analysis, learning: Sequence[PhaseRecord]) -> None:
        row, legend = records.analysis_row(self._run, analysis, learning, timezone.now())
        if legend is not None and legend.key not in self._legends:
            feature_names_keep(legend=legend)
            self._legends.add(legend.key)
        row.save(force_insert=True)
        self._analysis = row

    def record_decision(self, decision: Decision) -> None:
        if self._analysis is None:
            raise RuntimeError("a decision needs the analysis of its bar recorded first")
        now = timezone.now()
        row = records.decision_row(self._run, self._analysis, decision, now)
        row.save(force_insert=True)
        if decision.intent is None:
            return
        order = records.order_row(self._run, row, decision.intent, now)
        order.limits_snapshot = {
            "final_quantity_base": str(decision.quantity_base),
            "steps": [step.code for step in decision.sizing.steps] if decision.sizing else [],
        }
        self._write_ahead(order)

    def record_intent(self, intent: OrderIntent) -> None:
        first = self._first_leg(intent) if intent.purpose is Purpose.ENTRY else None
        decision = None if first is None else first.decision
        order = records.order_row(self._run, decision, intent, timezone.now())
        if first is not None:
            order.limits_snapshot = first.limits_snapshot
        self._write_ahead(order)

    def _first_leg(self, intent: OrderIntent) -> models.Order:
        """Return the order that the decision sent first: an entry without one is a fault."""
        return models.Order.objects.select_related("decision").get(
            run=self._run,
            strategy=intent.strategy,
            symbol=intent.symbol,
            decided_at=records.moment(intent.decided_at_ms),
            purpose=Purpose.ENTRY,
            leg=0,
        )

    def _write_ahead(self, order: models.Order) -> None:
        order.fence_token = self._fence.token
        # what the order was made by, beside its strategy and whoever asked for it (CTL-23): the
        # run's own row names the code that opened it, which an upgrade leaves behind
        order.limits_snapshot["made_by"] = {
            "code": settings.CODE_VERSION,
            "config": self._run.config_digest,
        }
        order.save(force_insert=True)
        models.OrderEvent.objects.create(
            order=order, seq=1, from_status="", to_status="INTENT", at=order.created_at
        )
        failpoint("signal.after_persist")

    def record_learning(
        self,
        settled: Sequence[Settlement],
        triggers: Sequence[EvolutionTrigger],
        trials: Sequence[Trial],
    ) -> None:
        models.EvolutionEvent.objects.bulk_create(
            models.EvolutionEvent(
                run=self._run,
                source=trigger.source,
                kind=trigger.kind,
                text=trigger.text,
                value=trigger.value,
                limit=trigger.limit,
                at=records.moment(trigger.at_ms),
            )
            for trigger in triggers
        )
        if settled or trials:
            settled_record(run_code=self._run.code, settled=settled, trials=trials)
        for trigger in triggers:
            training_request(
                trigger=trigger,
                run_code=self._run.code,
                venue=self._run.venue,
                symbols=self._run.symbols,
                timeframe_ms=self._run.timeframe_ms,
                horizon_bars=self._horizon_bars,
                actor="system",
                parameters=predictor_parameters(self._run, trigger.source),
            )

    def record_credit(self, credit: TradeCredit) -> None:
        credit_record(run_code=self._run.code, credit=credit)

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None:
        _put(
            models.EquityPoint,
            {"run": self._run, "at": records.moment(point.ts_ms)},
            equity_quote=point.equity_quote,
            cash_quote=point.cash_quote,
            exposure_quote=point.exposure_quote,
            peak_equity_quote=point.peak_equity_quote,
            drawdown_fraction=point.drawdown_fraction,
            day_pnl_quote=point.day_pnl_quote,
        )

    def record_side_trade(self, book: str, trade: Trade) -> None:
        records.side_trade_row(self._run, book, trade).save(force_insert=True)

    def record_side_equity(self, book: str, point: EquityPoint) -> None:
        _put(
            models.SideEquityPoint,
            {"run": self._run, "book": book, "at": records.moment(point.ts_ms)},
            equity_quote=point.equity_quote,
            exposure_quote=point.exposure_quote,
            drawdown_fraction=point.drawdown_fraction,
        )

    def record_state(
        self, state: Callable[[], Mapping[str, JsonValue]], event: MarketEvent
    ) -> None:
        _put(
            models.SessionState,
            {"run": self._run},
            payload=dict(state()),
            event_at=records.moment(event.ts_ms),
        )

    def _advance_cursor(self, event: MarketEvent) -> None:
        closed_at = records.moment(event.ts_ms)
        key = {"run": self._run, "symbol": event.symbol}
        _put(models.SymbolCursor, key, last_bar_close_at=closed_at)
        models.TradingRun.objects.filter(pk=self._run.pk).update(
            last_event_at=closed_at, last_error=""
        )


def _put(model: type[Model], key: Mapping[str, object], **values: object) -> None:
    """Write the one row of ``key``, which its unique constraint guards.

    The fence is held, so nobody else writes it: an update that finds nothing is a first write.
    ``update_or_create`` reads the row it is about to replace, whole, within a savepoint: four
    statements a row and, for the session's state, all of its JSON.
    """
    rows = model._default_manager.filter(**key)
    if rows.update(**values) == 0:
        model._default_manager.create(**key, **values)
