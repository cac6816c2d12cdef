"""Is what is stored of a decision what was stored then? Settings, records, window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from engine.failsafe import Failure, attempt
from engine.phases import inputs as stored_inputs
from engine.phases import tracing
from engine.phases.recorder import digest
from engine.risk import RiskLimits
from engine.types.bars import BarColumns
from engine.types.decisions import PHASES
from trades.core.decision_documents import Json, proposal_of
from trades.core.replay_report import CONFIG, PRICE, STATE, Difference, StoredDecision


def setting_differences(given: Mapping[str, Any], stored: StoredDecision) -> list[Difference]:
    """Return what the run's settings were then and are now, limits by name."""
    found: list[Difference] = []
    if stored.config_then != stored.config_now:
        what = "configuration digest"
        found.append(Difference(CONFIG, None, what, stored.config_then, stored.config_now))
    then = given.get("limits")
    if not isinstance(then, dict):
        return found
    now = attempt(lambda: RiskLimits.parse(stored.limits_now), "limits")
    if isinstance(now, Failure):
        return [*found, Difference(CONFIG, 7, "risk limits", "readable", now.text)]
    for limit in fields(RiskLimits):
        before, after = then.get(limit.name), getattr(now, limit.name)
        if isinstance(after, tuple):
            # groups of assets by name; a decision from before they were known had none
            before, after = before or {}, {name: list(members) for name, members in after}
            differs = before != after
        elif before is None or after is None:
            differs = before != after
        else:
            differs = Decimal(str(before)) != Decimal(str(after))
        if differs:
            found.append(Difference(CONFIG, 7, limit.name, str(before), str(after)))
    return found


def record_differences(
    records: Mapping[int, Json], given: dict[str, Any], document: Json
) -> list[Difference]:
    """Return where a stored output, proposal or input does not give its own stored digest."""
    found = [
        Difference(STATE, number, "record", "stored", "missing")
        for number in range(1, len(PHASES) + 1)
        if number not in records
    ]
    for number, record in sorted(records.items()):
        # feature values are kept with six digits: phase 2 is judged by its candles
        if number == 2 or not record.get("output_digest"):
            continue
        now = digest(record["output"])
        if now != record["output_digest"]:
            found.append(Difference(STATE, number, "stored output", record["output_digest"], now))
    seventh = records.get(7)
    if seventh is None:
        return found
    asked = attempt(lambda: proposal_of(document.get("proposal")), "proposal")
    if isinstance(asked, Failure):
        return [*found, Difference(STATE, 7, "stored proposal", "readable", asked.text)]
    digests = [records[n]["output_digest"] for n in range(1, 7) if n in records]
    now = digest([digest(tracing.given(digests, asked, given))])
    if now != seventh["input_digest"]:
        what = "stored proposal and inputs"
        found.append(Difference(STATE, 7, what, seventh["input_digest"], now))
    return found


def window_difference(given: Mapping[str, Any], bars: BarColumns) -> Difference | None:
    """Return how the candles of the window differ from those of then, None where they do not."""
    then, wanted = given.get("window", ""), given.get("bars", 0)
    now = stored_inputs.window_digest(bars, len(bars) - 1)
    if now == then:
        return None
    what = "candles of the window"
    if len(bars) != wanted:
        return Difference(PRICE, None, what, f"{wanted} candles", f"{len(bars)} candles")
    return Difference(PRICE, None, what, str(then), now)
