"""Recovery: named procedures, each once an incident, each outcome verified (ORC-42)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from engine.ports import TradingState
from resources.actions.base import Context, Outcome, Parameters, Plain
from resources.errors import ActionFailed
from resources.tunables import RECONNECTS, tunable_set, tunable_value
from trades.models import ControlState, TradingRun
from trades.services import GLOBAL_SCOPE, control_set

ACTOR = "optimizer"
# Venue time after which a tripped breaker lets entries through again by itself.
BREAKER_FOR = timedelta(minutes=15)


class Reconnect(Plain):
    """The loop closes its connections to the venue between two events and opens them anew with
    the next call; what is on its way is looked up as after any lost answer."""

    code = "reconnect"
    about = "lets the trading loop open its connections to the venue anew"
    touches_trading = True
    once_per_incident = True

    def parameters(self, context: Context) -> Parameters | None:
        return {"number": tunable_value(RECONNECTS, 0.0) + 1.0}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        before = tunable_value(RECONNECTS, 0.0)
        now = tunable_set(RECONNECTS, before + 1.0, by=ACTOR)
        return Outcome(before={"reconnects": before}, after={"reconnects": now})


class RestartWorker(Plain):
    """The supervisor starts it again; a rule about the trading worker restarts that one."""

    code = "restart-worker"
    about = "ends a worker for a fresh start; the supervisor starts it again"
    once_per_incident = True

    def parameters(self, context: Context) -> Parameters | None:
        worker = "trading" if context.rule == "rss-trading" else "general"
        if worker == "trading" and context.orders_in_flight:
            return None
        return {"worker": worker}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        pids = context.levers.restart(str(parameters["worker"]))
        if not pids:
            raise ActionFailed(f"no {parameters['worker']} worker of ours was there to restart")
        return Outcome(
            before={"restarted": 0.0},
            after={"restarted": float(len(pids))},
            side_effects=("its tasks are delivered again; a trading worker waits for its lease",),
        )


class _Brake(Plain):
    """Only ever tightens: a state that is as strict already stays as it was."""

    once_per_incident = True
    reason_code = ""

    def parameters(self, context: Context) -> Parameters | None:
        row = ControlState.objects.filter(scope=GLOBAL_SCOPE).first()
        state = TradingState(row.state) if row else TradingState.ACTIVE
        if state.severity >= TradingState.REDUCING.severity:
            return None
        return {"scope": GLOBAL_SCOPE, "state": TradingState.REDUCING.value}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        row = control_set(
            scope=GLOBAL_SCOPE,
            state=TradingState.REDUCING,
            actor=ACTOR,
            reason=f"{self.about} ({context.rule or 'asked for'})",
            reason_code=self.reason_code,
            releases_at=self.releases_at(),
            is_breaker=True,
        )
        return Outcome(
            before={"severity": 0.0},
            after={"severity": float(TradingState(row.state).severity)},
            side_effects=("no new entries; exits and cancels go on",),
        )

    def releases_at(self) -> datetime | None:
        return None


class FailOverToHold(_Brake):
    code = "fail-over-to-hold"
    about = "decisions fail too often: entries are held until a person resumes"
    reason_code = "OPTIMIZER_HOLD"


class TripBreaker(_Brake):
    code = "trip-breaker"
    about = "the venue fails too often: entries are held for a while"
    reason_code = "OPTIMIZER_BREAKER"

    def releases_at(self) -> datetime | None:
        run = TradingRun.objects.filter(ended_at__isnull=True).order_by("-last_event_at").first()
        return (run.last_event_at if run and run.last_event_at else timezone.now()) + BREAKER_FOR
