"""A short run of the fuzz of phase 7 that ``python -m benchmarks.phase7_fuzz`` runs for long."""

from __future__ import annotations

from tests.engine.phases.hostile import fuzz_phase_7


def test_no_hostile_policy_market_or_account_gets_an_entry_past_a_limit() -> None:
    """OPT-15, OPT-18, OPT-23, OPT-70, ORC-13: NaN, infinities and nonsense at every input."""
    found = fuzz_phase_7(12_000, 8)
    assert (found.breaches, found.first_breach) == (0, "")
    assert found.steps == found.sized + found.denied + found.raised == 12_000
    assert found.sized > 2_000 and found.incidents > 500
    assert (found.lowest, found.highest) == (0.1, 2.0)
    # the caps were not just never met
    assert 0.999 < found.fullest_position <= 1.0 and 0.99 < found.fullest_risk <= 1.0
    expected = {"HALTED", "REDUCING", "STRATEGY_SUSPENDED", "STRATEGY_RETIRED", "RISK_UNKNOWN"}
    expected |= {"MAX_SYMBOL", "MAX_GROSS", "CASH_RESERVE", "LOSS_STREAK", "INVALID_QUANTITY"}
    assert expected <= set(found.codes)


def test_what_phase_7_cannot_reckon_with_it_refuses_to_answer() -> None:
    """I-3, ORC-17: it raises a number's error, on which the pipeline holds; it never sizes."""
    codes = fuzz_phase_7(6_000, 7).codes
    raised = {code for code in codes if code.startswith("raised")}
    assert raised <= {"raised InvalidOperation"}
