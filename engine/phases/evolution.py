"""Phase 10: when should a learned source be trained anew? (ORC-16)

Pure until applied. The trigger only proposes; training, validation out of sample and promotion
happen elsewhere and never inside an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.drift import BlockedDrift, Drift
from engine.phases.config import PipelineConfig
from engine.scoreboard import Scoreboard
from engine.types.decisions import EvolutionTrigger, JsonValue, Settlement
from engine.types.learned import Insight
from engine.types.opinions import MarketView, Missing

EVOLUTION = "evolution"
DRIFT = "DRIFT"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered of one source: since when, how much was settled then, its best score.

    ``best_brier`` is the lowest windowed Brier score since the last trigger, None before the
    window held enough.
    """

    since_ms: int
    settled_then: int
    best_brier: float | None = None
    last_trigger_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EvolutionStep:
    """Triggers of one bar and the memory after it."""

    triggers: tuple[EvolutionTrigger, ...]
    watches: Mapping[str, Watch]


class EvolutionWatch:
    """Watches learned sources; at most one trigger a source and cool-down period."""

    def __init__(self, sources: Sequence[str], config: PipelineConfig) -> None:
        self._sources = tuple(sources)
        self._config = config
        self._watches: dict[str, Watch] = {}
        self._streams = {source: self._stream() for source in self._sources}
        # drifts for the worse that have not led to a trigger yet
        self._drifts: dict[str, Drift] = {}

    def _stream(self) -> BlockedDrift:
        return BlockedDrift(self._config.drift_block_settled, self._config.drift_delta)

    def observe(self, settlements: Sequence[Settlement], bar_ms: int) -> tuple[Insight, ...]:
        """Follow each source's errors; return a warning for each that has changed for the worse.

        The warning lowers trust in that source for ``drift_insight_bars``.
        """
        found = []
        for settlement in settlements:
            stream = self._streams.get(settlement.source)
            drift = None if stream is None else stream.update(settlement.brier)
            if drift is None:
                continue
            if drift.is_worse:
                self._drifts[settlement.source] = drift
                found.append(self._warning(settlement, drift, bar_ms))
            else:
                self._drifts.pop(settlement.source, None)
        return tuple(found)

    def _warning(self, settlement: Settlement, drift: Drift, bar_ms: int) -> Insight:
        at_ms = settlement.settled_at_ms
        return Insight(
            source=EVOLUTION,
            kind=DRIFT,
            value=drift.after - drift.before,
            text=_drift_text(drift),
            at_ms=at_ms,
            expires_ms=at_ms + self._config.drift_insight_bars * bar_ms,
            about=settlement.source,
            trust=self._config.drift_trust,
        )

    def start_anew(self, source: str, at_ms: int, scoreboard: Scoreboard) -> None:
        """Forget a source's past: another model speaks for it from now on."""
        if source in self._streams:
            self._streams[source] = self._stream()
            self._drifts.pop(source, None)
            last = self._watches.get(source)
            self._watches[source] = Watch(
                at_ms,
                scoreboard.settled_ever(source),
                None,
                None if last is None else last.last_trigger_ms,
            )

    def due(
        self, at_ms: int, market: MarketView | Missing, scoreboard: Scoreboard
    ) -> EvolutionStep | None:
        """Return what is due: first of drift, decline, regime change, new data, schedule.

        None where there is no learned source to watch.
        """
        if not self._sources:
            return None
        triggers: list[EvolutionTrigger] = []
        watches: dict[str, Watch] = {}
        for source in self._sources:
            settled = scoreboard.settled_ever(source)
            watch = self._watches.get(source)
            if watch is None:
                watches[source] = Watch(at_ms, settled)
                continue
            brier = self._windowed_brier(source, scoreboard)
            trigger = self._trigger(source, watch, brier, settled, at_ms, market)
            if trigger is None:
                watches[source] = _with_best(watch, brier)
                continue
            triggers.append(trigger)
            watches[source] = Watch(at_ms, settled, brier, at_ms)
        return EvolutionStep(tuple(triggers), watches)

    def idle_until_ms(self, at_ms: int) -> int:
        """Return until when ``due`` has nothing to say unless something is settled or the regime
        changes, right after it had nothing to say at ``at_ms``; ``at_ms`` itself where unknown."""
        config, until_ms = self._config, at_ms + self._config.schedule_ms
        for source in self._sources:
            watch = self._watches.get(source)
            if watch is None:
                return at_ms
            ends_ms = watch.since_ms + config.schedule_ms
            if watch.last_trigger_ms is not None:
                cool_ms = watch.last_trigger_ms + config.evolution_cooldown_ms
                ends_ms = cool_ms if cool_ms > at_ms else ends_ms
            until_ms = min(until_ms, ends_ms)
        return until_ms

    def apply(self, step: EvolutionStep) -> None:
        """Remember what ``due`` returned."""
        self._watches.update(step.watches)
        for trigger in step.triggers:
            self._drifts.pop(trigger.source, None)

    def _windowed_brier(self, source: str, scoreboard: Scoreboard) -> float | None:
        if scoreboard.settled(source) < self._config.decline_min_settled:
            return None
        return scoreboard.brier(source)

    def _trigger(
        self,
        source: str,
        watch: Watch,
        brier: float | None,
        settled: int,
        at_ms: int,
        market: MarketView | Missing,
    ) -> EvolutionTrigger | None:
        config = self._config
        last_ms = watch.last_trigger_ms
        if last_ms is not None and at_ms - last_ms < config.evolution_cooldown_ms:
            return None
        drift = self._drifts.get(source)
        if drift is not None:
            limit = drift.before + drift.bound
            return EvolutionTrigger(source, "drift", _drift_text(drift), drift.after, limit, at_ms)
        if brier is not None and watch.best_brier is not None:
            limit = watch.best_brier + config.decline_brier
            if brier > limit:
                text = f"Brier score {brier:.4f} of the last window declined, limit was {limit:.4f}"
                return EvolutionTrigger(source, "decline", text, brier, limit, at_ms)
        if isinstance(market, MarketView) and market.dwell_bars == 0:
            text = f"regime changed to {market.regime.value}, bars since were 0"
            return EvolutionTrigger(source, "regime_change", text, 0.0, 0.0, at_ms)
        fresh = settled - watch.settled_then
        if fresh >= config.new_data_settled:
            text = f"{fresh} new settlements, needed were {config.new_data_settled}"
            return EvolutionTrigger(
                source, "new_data", text, float(fresh), float(config.new_data_settled), at_ms
            )
        waited_ms = at_ms - watch.since_ms
        if waited_ms >= config.schedule_ms:
            text = f"{waited_ms} ms since the last trigger, schedule was {config.schedule_ms} ms"
            return EvolutionTrigger(
                source, "schedule", text, float(waited_ms), float(config.schedule_ms), at_ms
            )
        return None

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values."""
        return {
            source: {
                "since_ms": watch.since_ms,
                "settled_then": watch.settled_then,
                "best_brier": watch.best_brier,
                "last_trigger_ms": watch.last_trigger_ms,
                "errors": self._streams[source].state(),
                "drift": _drift_json(self._drifts.get(source)),
            }
            for source, watch in sorted(self._watches.items())
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state; sources that are no longer there are left out.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        watches = {source: _watch(source, row) for source, row in state.items()}
        streams = {source: self._stream() for source in self._sources}
        drifts: dict[str, Drift] = {}
        for source, row in state.items():
            if source in streams and isinstance(row, dict):
                errors, drift = row.get("errors"), _drift(source, row.get("drift"))
                if isinstance(errors, dict):
                    streams[source].restore(errors)
                if drift is not None:
                    drifts[source] = drift
        self._watches = {s: w for s, w in watches.items() if s in self._sources}
        self._streams, self._drifts = streams, drifts


def _drift_text(drift: Drift) -> str:
    return (
        f"mean error rose from {drift.before:.4f} to {drift.after:.4f}, "
        f"chance allowed {drift.bound:.4f}"
    )


def _drift_json(drift: Drift | None) -> JsonValue:
    return None if drift is None else [drift.before, drift.after, drift.bound]


def _drift(source: str, row: JsonValue) -> Drift | None:
    if row is None:
        return None
    if isinstance(row, list) and len(row) == 3:
        numbers = [float(value) for value in row if isinstance(value, float | int)]
        if len(numbers) == 3:
            return Drift(*numbers)
    raise ValueError(f"evolution state of {source} must hold a drift, was {row!r}")


def _with_best(watch: Watch, brier: float | None) -> Watch:
    if brier is None or (watch.best_brier is not None and watch.best_brier <= brier):
        return watch
    return Watch(watch.since_ms, watch.settled_then, brier, watch.last_trigger_ms)


def _watch(source: str, row: JsonValue) -> Watch:
    if isinstance(row, dict):
        since_ms, settled = row.get("since_ms"), row.get("settled_then")
        best, last_ms = row.get("best_brier"), row.get("last_trigger_ms")
        if (
            isinstance(since_ms, int)
            and isinstance(settled, int)
            and isinstance(best, float | None)
            and isinstance(last_ms, int | None)
        ):
            return Watch(since_ms, settled, best, last_ms)
    raise ValueError(f"evolution state of {source} must be that of a watch, was {row!r}")
