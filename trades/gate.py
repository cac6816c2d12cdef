"""The gatekeeper of a stored run: control state, strategy status and safety holds, from rows.

Read once an event. Whatever cannot be read raises, and the caller denies (D-03).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from engine.ceilings import tightened
from engine.ports import StrategyStatus, TradingState
from engine.risk import RiskLimits
from engine.strategy_stops import REPEATED
from strategies.models import Strategy
from trades.alerts import Alert, ControlWatch
from trades.ceilings import SECTION, Standing, fault_words, standing
from trades.locks import lock_standing
from trades.models import ControlEvent, ControlState, EntryLock, Order, TradingRun
from trades.scopes import GLOBAL_SCOPE, breaker_scope, of_account, scopes_over
from trades.services import RELEASED, control_release_due, control_set

# Breakers whose measure starts anew when a person resets them.
FORGIVEN = frozenset({"MAX_DRAWDOWN", "LOSS_STREAK", "OVERFILL", "OVERSOLD", *REPEATED})


class DatabaseGatekeeper:
    """Implements ``engine.ports.Gatekeeper`` over rows that people and breakers write.

    Besides the control rows three holds apply by themselves and end by themselves: an order whose
    outcome is unknown, a start that has not been reconciled with the venue yet (I-19), and a
    stored ceiling that cannot be read. All of them mean REDUCING: exits go on, no new risk.
    """

    def __init__(
        self, run: TradingRun, is_reconciled: Callable[[], bool], watch: ControlWatch
    ) -> None:
        self._run = run
        self._watch = watch
        self._is_reconciled = is_reconciled
        self._states: dict[str, tuple[TradingState, str]] = {}
        self._epochs: dict[str, int] = {}
        self._statuses: dict[str, StrategyStatus] = {}
        self._holds: list[str] = []
        self._stored = Standing()
        self._fault = ""
        self._locks: list[EntryLock] = []
        self._epoch = 0
        self._resets: dict[str, int] = {}

    def observe(self, now_ms: int) -> None:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        rows = list(ControlState.objects.all())
        announced = any(r.releases_at is not None and r.releases_at <= now for r in rows)
        if announced and control_release_due(now, self._run):
            rows = list(ControlState.objects.all())
        states = {r.scope: (TradingState(r.state), r.reason) for r in rows}
        epochs = {r.scope: r.epoch for r in rows}
        for scope, (state, reason) in states.items():
            # by its epoch: what was stopped and resumed between two looks was changed as well, and
            # what changed before this process was there nobody may have told
            if self._epochs.get(scope, 0) != epochs[scope]:
                self._watch.control_changed(scope, state, reason)
        self._states, self._epochs = states, epochs
        epoch = sum(r.epoch for r in rows)
        if epoch != self._epoch:
            self._resets = of_account(_resets_by_scope(), self._run.account)
        self._epoch = epoch
        self._statuses = {
            code: StrategyStatus(status)
            for code, status in Strategy.objects.values_list("code", "status")
        }
        self._stored = standing(timezone.now())
        self._holds = self._automatic_holds()
        self._locks = list(lock_standing(now))

    def ceilings(self, limits: RiskLimits) -> RiskLimits:
        """Implements ``engine.ceilings.Ceilings`` with what ``observe`` read: all books of an event
        judge by one reading. What leaves is checked against the rows as they are then."""
        return tightened(limits, self._stored.overrides)

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        return self._worst(symbol, strategy)[0]

    def state_reason(self, symbol: str, strategy: str) -> str:
        return self._worst(symbol, strategy)[1]

    def control_epoch(self) -> int:
        return self._epoch

    def entry_lock(self, symbol: str, strategy: str) -> str:
        return next((lock.words() for lock in self._locks if lock.covers(symbol, strategy)), "")

    def strategy_status(self, strategy: str) -> StrategyStatus:
        """Return the row's status.

        Raises:
            KeyError: no such strategy row; the caller denies.
        """
        return self._statuses[strategy]

    def resets(self) -> Mapping[str, int]:
        return self._resets

    def escalate(
        self,
        state: TradingState,
        reason_code: str,
        text: str,
        at_ms: int,
        scope: str = GLOBAL_SCOPE,
    ) -> None:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        scope = breaker_scope(self._run, scope)
        row = control_set(
            scope=scope,
            state=state,
            actor="breaker",
            reason=text,
            reason_code=reason_code,
            releases_at=_releases_at(reason_code, at),
            is_breaker=True,
            at=at,
        )
        if TradingState(row.state) is state and row.reason == text:
            # no brake: the state above is it, and this only tells a person
            self._watch.alarm(Alert(reason_code, scope, text, scope))
        self.observe(at_ms)

    def _automatic_holds(self) -> list[str]:
        holds = []
        unknown = Order.objects.filter(run=self._run, status__in=("UNKNOWN", "SENDING")).count()
        if unknown:
            holds.append(f"{unknown} order(s) without an answer from the venue")
        if not self._is_reconciled():
            holds.append("not reconciled with the venue since the start")
        if fault := fault_words(self._stored):
            holds.append(fault)
            if fault != self._fault:
                self._watch.alarm(Alert("CEILING_UNREADABLE", SECTION, fault))
        self._fault = fault
        return holds

    def _worst(self, symbol: str, strategy: str) -> tuple[TradingState, str]:
        found = [
            self._states.get(scope, (TradingState.ACTIVE, ""))
            for scope in scopes_over(self._run.account, symbol, strategy)
        ]
        found.extend((TradingState.REDUCING, hold) for hold in self._holds)
        return max(found, key=lambda item: item[0].severity)


def _releases_at(reason_code: str, at: datetime) -> datetime | None:
    """Return when a breaker ends by itself: the next UTC day or Monday; None for a person."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if reason_code == "DAY_LOSS":
        return midnight + timedelta(days=1)
    if reason_code == "WEEK_LOSS":
        return midnight + timedelta(days=7 - at.weekday())
    return None


def _resets_by_scope() -> dict[str, int]:
    """Count by scope how often a person reset a breaker that measures from a past high.

    Only a drawdown halt or a losing streak is forgiven by setting the scope back to ACTIVE. A halt
    by hand that ends, or a release that was announced, leaves peak and streak as they were.
    """
    resets: dict[str, int] = {}
    tripped: set[str] = set()
    rows = ControlEvent.objects.order_by("pk").values_list("scope", "to_state", "reason_code")
    for scope, state, reason_code in rows:
        if state != TradingState.ACTIVE.value:
            if reason_code in FORGIVEN:
                tripped.add(scope)
        elif reason_code != RELEASED and scope in tripped:
            tripped.discard(scope)
            resets[scope] = resets.get(scope, 0) + 1
    return resets
