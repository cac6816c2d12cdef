"""The list of checks, in the order of their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from trades.invariants import books, controls, orders, platform, venue
from trades.invariants.breach import Breach
from trades.invariants.snapshot import one_moment

Check = Callable[[], Iterable[Breach]]
# One entry a function; an invariant may need several.
CHECKS: Mapping[str, tuple[Check, ...]] = {
    "I-1": (orders.one_order_a_decision, orders.ids_are_well_formed),
    "I-2": (venue.one_accepted_order_an_id,),
    "I-3": (venue.same_trades_on_both_sides, books.no_fill_is_also_external),
    "I-4": (orders.status_follows_the_fills,),
    "I-5": (books.positions_are_the_sum_of_fills,),
    "I-6": (books.cash_is_the_sum_of_flows,),
    "I-7": (orders.edges_are_allowed,),
    "I-8": (orders.histories_have_no_gap,),
    "I-9": (controls.nothing_was_sent_against_the_kill_switch,),
    "I-10": (orders.no_order_is_larger_than_its_limits_allowed,),
    "I-11": (controls.multipliers_are_in_range,),
    "I-12": (controls.weights_move_by_steps,),
    "I-13": (controls.every_health_change_has_a_cause, controls.nobody_enters_without_leave),
    "I-15": (books.decisions_cite_closed_candles, books.candles_are_finite),
    "I-16": (orders.fencing_tokens_never_fall_back,),
    "I-17": (platform.audit_chain_holds,),
    "I-21": (orders.nobody_sells_more_than_is_held,),
    "I-23": (orders.no_order_stays_undecided,),
    "I-25": (platform.database_is_sound, platform.migrations_are_applied),
    "I-27": (platform.times_are_utc_and_past,),
}


@dataclass(slots=True)
class Report:
    """Which invariants were checked whole, which could not be, and what was found."""

    checked: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    breaches: list[Breach] = field(default_factory=list)


def check_all(checks: Mapping[str, tuple[Check, ...]] = CHECKS) -> Report:
    """Run every check; one whose evidence is out of reach is listed as skipped with the reason."""
    report = Report()
    for invariant_id, functions in checks.items():
        for function in functions:
            try:
                # each for itself: a long snapshot would keep SQLite's log from being folded back
                with one_moment():
                    report.breaches.extend(function())
            except venue.LedgerOutOfReach as error:
                report.skipped[invariant_id] = str(error)
        # half of an invariant is not the invariant; what the other half found is reported anyway
        if invariant_id not in report.skipped:
            report.checked.append(invariant_id)
    return report
