"""What the trading loop tells a person: alerts, brakes, heartbeats, incidents."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from django.conf import settings

from engine.announce import EventOutcome, Finding
from engine.ports import Publisher, TradingState
from engine.protection import Key
from engine.types.decisions import JsonValue, PhaseStatus
from market.errors import SourceUnavailable
from monitoring.components import loop_name
from monitoring.models import Alert as AlertRow
from monitoring.models import Severity
from monitoring.publish import StreamPublisher
from monitoring.services import alert_raise, alert_resolve, heartbeat, incident_record
from resources.counters import work
from trades.alerts import REJECTIONS_HALT, STOP_REFUSED, SYMBOL_CLOSED, UNPROTECTED
from trades.alerts import Alert as TradeAlert
from trades.differences import CODE as BALANCE_DIFFERENCE
from trades.models import ControlState, TradingRun
from trades.queues import is_apart
from trades.runner import AdvanceSummary
from trades.scopes import GLOBAL_SCOPE, breaker_scope
from trades.services import control_set

logger = logging.getLogger(__name__)

LOOP_HEARTBEAT_S = 10.0
FILLS_UNAVAILABLE = "FILLS_UNAVAILABLE"
NO_RESTING_STOPS = "NO_RESTING_STOPS"
LAYER_PREFIX = "LAYER_"
BREAKER_CODES = (
    "DAY_LOSS",
    "LOSS_STREAK",
    "MAX_DRAWDOWN",
    "MIN_EQUITY",
    "OVERFILL",
    "OVERSOLD",
    "REPEATED_ENTRIES",
    "REPEATED_ENTRIES_DAY",
    "RISK_UNKNOWN",
    "WEEK_LOSS",
)
# Told by the order path, about a scope that a person has to let go on.
LATCHED_CODES = (REJECTIONS_HALT, SYMBOL_CLOSED)


class Alert(Protocol):
    """An alert of the layer, whose room this one does not name."""

    code: str
    severity: str
    text: str


class LayerWatch:
    """The optimization layer's watch; the settings name this class."""

    def alerts(self, standing: Sequence[Alert]) -> None:
        """Raise what stands, resolve what does not: each alert of the layer clears by itself."""
        stand = {f"{LAYER_PREFIX}{alert.code}": alert for alert in standing}
        rows = AlertRow.objects.filter(code__startswith=LAYER_PREFIX, resolved_at__isnull=True)
        told = dict(rows.values_list("dedupe_key", "text"))
        for key in told.keys() - stand.keys():
            alert_resolve(dedupe_key=key)
        for key, alert in stand.items():
            # an update an hour must not count one lasting state up
            if told.get(key) == alert.text:
                continue
            is_critical = alert.severity == "critical"
            alert_raise(
                code=key,
                severity=Severity.CRITICAL if is_critical else Severity.WARNING,
                text=alert.text,
                dedupe_key=key,
            )

    def changed(self, topic: str, data: dict[str, JsonValue]) -> None:
        StreamPublisher.from_settings().publish(topic, data)

    def incident(self, where: str, error: BaseException) -> None:
        incident_record(where=where, error=error)


def loop_component(run: TradingRun) -> str:
    """Return the name of a run's heartbeat: an account with a worker of its own has its own."""
    return loop_name(run.account, apart=is_apart(run.config))


class RunWatch:
    """The loop's Watch, the engine's Reporter and the order path's Alarm in one."""

    def __init__(self, run: TradingRun, publisher: Publisher) -> None:
        self._run = run
        self._publisher = publisher
        self._run_code = str(run.code)
        self._component = loop_component(run)
        # alerts of an earlier process may still be open
        self._is_down = True
        self._fills_failed = True

    def advanced(self, summary: AdvanceSummary) -> None:
        """Note useful work done, after it was done (F-025)."""
        heartbeat(
            component=self._component,
            expected_every_s=LOOP_HEARTBEAT_S,
            code_version=settings.CODE_VERSION,
            detail=summary.as_dict(),
        )

    def took(self, outcome: EventOutcome | None, seconds: float) -> None:
        """Count a bar that was decided on; one whose phases erred, or that raised, failed. Tell
        what booking found odd: a fee nobody can value, dust; breakers were told already."""
        for found in outcome.alerts if outcome is not None else ():
            if found.code not in BREAKER_CODES:
                whose = f" {found.subject}" if isinstance(found, Finding) else ""
                self.alarm(TradeAlert(found.code, f"{self._run_code}{whose}", found.text))
        if outcome is not None and not outcome.decisions:
            return
        erred = outcome is None or any(
            record.status is PhaseStatus.ERROR for d in outcome.decisions for record in d.records
        )
        work().add("decision", seconds, failed=erred)

    def source_failed(self, error: SourceUnavailable) -> None:
        self._is_down = True
        TradingRun.objects.filter(pk=self._run.pk).update(last_error=str(error)[:500])
        self._raise(
            code="VENUE_UNAVAILABLE",
            severity=Severity.WARNING,
            text=f"the venue does not answer: {error}",
            dedupe_key=f"venue:{self._run_code}",
        )

    def source_answered(self) -> None:
        if self._is_down:
            alert_resolve(dedupe_key=f"venue:{self._run_code}")
            self._is_down = False

    def fills_answered(self) -> None:
        """Close the alert of fills that could not be read: they came, with all before them."""
        if self._fills_failed:
            alert_resolve(dedupe_key=self._key(FILLS_UNAVAILABLE, str(self._run.pk)))
            self._fills_failed = False

    def balances_agree(self, assets: Collection[str]) -> None:
        """Close what was told of balances that agree again; what stopped entries stays open until
        a person has let them go on."""
        keys = [self._key(BALANCE_DIFFERENCE, asset) for asset in assets]
        rows = AlertRow.objects.filter(dedupe_key__in=keys, resolved_at__isnull=True)
        told = list(rows.values_list("dedupe_key", "severity"))
        if not told:
            return
        brakes = ControlState.objects.filter(
            scope=breaker_scope(self._run, GLOBAL_SCOPE), reason_code=BALANCE_DIFFERENCE
        )
        is_stopped = brakes.exclude(state=TradingState.ACTIVE).exists()
        for key, severity in told:
            if severity != Severity.CRITICAL or not is_stopped:
                alert_resolve(dedupe_key=key)

    def over(self, code: str, standing: Collection[str]) -> None:
        """Close what runs of this venue and account told under a code and does not stand any more.
        A run that traded a symbol which this one does not look at keeps what it told."""
        told = AlertRow.objects.filter(code=code, resolved_at__isnull=True)
        stand = {self._key(code, subject) for subject in standing}
        open_rows = [row for row in told if row.dedupe_key not in stand]
        if not open_rows:
            return
        runs = TradingRun.objects.filter(venue=self._run.venue, account=self._run.account)
        looked_at = set(self._run.symbols)
        ours = {str(run.code) for run in runs if looked_at.issuperset(run.symbols)}
        for row in open_rows:
            if row.run_code in ours:
                alert_resolve(dedupe_key=row.dedupe_key)

    def stops_can_rest(self, can: bool, venue: str) -> None:
        """Say as long as it lasts that this venue takes no stop orders from us."""
        key = f"{NO_RESTING_STOPS}:{self._run_code}"
        if can:
            alert_resolve(dedupe_key=key)
            return
        self._raise(
            code=NO_RESTING_STOPS,
            severity=Severity.WARNING,
            text=f"{venue} takes no stop orders from us: stops are judged at each bar's close",
            dedupe_key=key,
        )

    def no_countdown(self, reason: str) -> None:
        """Tell that resting entries outlive us at the venue, should we fall silent now (CTL-14);
        an empty reason ends it."""
        if not reason:
            alert_resolve(dedupe_key=self._key("NO_COUNTDOWN", self._run_code))
            return
        text = f"the venue's countdown could not be set: {reason}"
        self.alarm(TradeAlert("NO_COUNTDOWN", self._run_code, text))

    def unprotected(self, found: Mapping[Key, str]) -> None:
        """Tell which positions have no stop at the venue, and close what was told of others."""
        prefix = f"{UNPROTECTED}:{self._run_code}:"
        texts = {f"{prefix}{strategy} {symbol}": text for (strategy, symbol), text in found.items()}
        rows = AlertRow.objects.filter(dedupe_key__startswith=prefix, resolved_at__isnull=True)
        for key in set(rows.values_list("dedupe_key", flat=True)) - texts.keys():
            alert_resolve(dedupe_key=key)
        refused = AlertRow.objects.filter(
            code=STOP_REFUSED, run_code=self._run_code, resolved_at__isnull=True
        )
        bare = {self._key(STOP_REFUSED, f"{strategy} {symbol}") for strategy, symbol in found}
        for key in set(refused.values_list("dedupe_key", flat=True)) - bare:
            alert_resolve(dedupe_key=key)
        for key, text in texts.items():
            self._raise(
                code=UNPROTECTED,
                severity=Severity.WARNING,
                text=f"{key.removeprefix(prefix)} has no stop at the venue: {text}",
                dedupe_key=key,
            )

    def alarm(self, alert: TradeAlert) -> None:
        """Tell of a finding of the order path and pull the brake it asks for."""
        if alert.code == FILLS_UNAVAILABLE:
            self._fills_failed = True
        stops = alert.brake is not None or alert.code in BREAKER_CODES
        severity = Severity.CRITICAL if stops else Severity.WARNING
        is_latched = alert.code in LATCHED_CODES
        subject = breaker_scope(self._run, alert.scope) if is_latched else alert.subject
        self._raise(
            code=alert.code,
            severity=severity,
            text=alert.text,
            dedupe_key=self._key(alert.code, subject),
        )
        if alert.brake is not None:
            control_set(
                scope=breaker_scope(self._run, alert.scope),
                state=alert.brake,
                actor="breaker",
                reason=alert.text,
                reason_code=alert.code,
                is_breaker=True,
            )

    def _raise(self, *, code: str, severity: str, text: str, dedupe_key: str) -> None:
        """Raise an alert of this run; that of an account beside ``main`` says whose it is."""
        whose = f"account {self._run.account}: " if is_apart(self._run.config) else ""
        alert_raise(
            code=code,
            severity=severity,
            text=f"{whose}{text}",
            dedupe_key=dedupe_key,
            run_code=self._run_code,
        )

    def _key(self, code: str, subject: str) -> str:
        """Return by what a repeated finding is known; accounts have findings of their own, a
        breaker's names its account already."""
        is_own = is_apart(self._run.config) and code not in (*BREAKER_CODES, *LATCHED_CODES)
        whose = f"{self._run.account}:" if is_own else ""
        return f"{code}:{whose}{subject}"

    def control_changed(self, scope: str, state: TradingState, reason: str) -> None:
        """Tell the screens; a scope that trades again needs nobody any more."""
        if state is TradingState.ACTIVE:
            for code in (*BREAKER_CODES, *LATCHED_CODES):
                alert_resolve(dedupe_key=f"{code}:{scope}")
        self._publisher.publish("control", {"scope": scope, "state": state.value, "reason": reason})

    def incident(self, where: str, error: BaseException) -> None:
        logger.warning("incident where=%s error=%s: %s", where, type(error).__name__, error)
        incident_record(where=where, error=error)
