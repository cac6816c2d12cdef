"""Any stored decision can be made again, and what does not come out the same is labelled."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from market.models import Candle
from tests.trades.stored_run import StoredRun, market
from trades.models import Analysis, Decision
from trades.selectors import decision_get, decision_replay
from trades.selectors.replays import run_pipeline_config, run_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> StoredRun:
    return StoredRun(market("BTC/USDT", n_bars=620)).trade(200)


def proposed() -> Decision:
    found = Decision.objects.exclude(strategy="platform").order_by("-pk").first()
    assert found is not None
    return again(found)


def traded() -> Decision:
    return again(Decision.objects.filter(action="BUY").latest("pk"))


def again(decision: Decision) -> Decision:
    found = decision_get(decision.code)
    assert found is not None
    return found


def labels(decision: Decision) -> set[str]:
    replay = decision_replay(again(decision))
    assert not replay.same
    return {difference.label for difference in replay.differences}


def test_every_decision_comes_out_the_same_with_the_same_digest(run: StoredRun) -> None:
    """ORC-14, ORC-59: entries, exits, blocks and quiet bars, from what is stored alone."""
    rows = Decision.objects.select_related("run", "analysis").order_by("-pk")
    asked = [*rows.exclude(strategy="platform"), *rows.filter(strategy="platform")[:40]]
    assert {row.action for row in asked} >= {"BUY", "EXIT", "HOLD"}
    for row in asked:
        replay = decision_replay(row)
        assert replay.differences == [], row
        assert replay.same_verdict and replay.same
        assert replay.verdict_now == replay.verdict_then
        assert [phase.number for phase in replay.phases] == list(range(1, 11))
    recomputed = [p.number for p in decision_replay(proposed()).phases if p.same]
    assert recomputed == [1, 2, 4, 5, 6, 7, 8]


def test_a_changed_candle_is_a_difference_of_price(run: StoredRun) -> None:
    """ORC-59"""
    decision = traded()
    candles = Candle.objects.filter(opened_at__lt=decision.bar_close_at).order_by("-opened_at")
    candle = candles[0]
    candle.close *= 1.02
    candle.high = max(candle.high, candle.close)
    candle.save()
    assert labels(decision) == {"price"}


def test_missing_candles_are_a_difference_and_no_crash(run: StoredRun) -> None:
    decision = traded()
    Candle.objects.all().delete()
    replay = decision_replay(again(decision))
    assert not replay.same
    assert {d.label for d in replay.differences} == {"price"}
    assert any("0 candles" in d.now for d in replay.differences)


def test_tampered_inputs_are_a_difference_of_state(run: StoredRun) -> None:
    """ORC-59: equity that was not there would have allowed another size."""
    decision = traded()
    decision.payload["inputs"]["risk"]["equity_quote"] = "5000"
    decision.save()
    assert labels(decision) == {"state"}
    replay = decision_replay(again(decision))
    assert not replay.same_verdict


def test_tampered_records_are_a_difference_of_state(run: StoredRun) -> None:
    decision = traded()
    analysis = Analysis.objects.get(pk=decision.analysis_id)
    first = analysis.payload["records"][0]
    assert first[0] == 1
    first[5]["risk"] = "extreme"
    analysis.save()
    assert "state" in labels(decision)


@pytest.mark.parametrize("part", ["inputs", "proposal", "records"])
def test_what_is_damaged_beyond_reading_is_told(run: StoredRun, part: str) -> None:
    """ORC-59: never an exception, always a label."""
    decision = traded()
    decision.payload[part] = {
        "inputs": {"bars": "many", "risk": []},
        "proposal": {"side": "UP"},
        "records": [],
    }[part]
    decision.save()
    replay = decision_replay(again(decision))
    assert not replay.same
    assert replay.differences


def test_changed_settings_are_named_with_both_values(run: StoredRun) -> None:
    """ORC-59: the decision is made with the limits of then; what they are now is told."""
    decision = traded()
    stored = decision.run
    stored.config["risk"]["max_position_size"] = 0.05
    stored.config_digest = "f" * 64
    stored.save()
    replay = decision_replay(again(decision))
    assert replay.same_verdict
    told = {(d.label, d.what, d.then, d.now) for d in replay.differences}
    assert ("config", "max_position_size", "0.1", "0.05") in told


def test_other_code_is_a_difference_of_code(
    run: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-59: everything given is the same, the answer is not."""
    from engine.phases import risk_and_sizing
    from engine.types.opinions import Level

    decision = traded()
    monkeypatch.setattr(risk_and_sizing, "RISK_FACTORS", dict.fromkeys(Level, 0.1))
    replay = decision_replay(again(decision))
    assert {d.label for d in replay.differences} == {"code"}
    assert any(d.what == "quantity_base" for d in replay.differences)


def test_the_command_tells_in_json_and_by_its_exit_code(run: StoredRun) -> None:
    out = io.StringIO()
    call_command("decision_replay", str(traded().code), "--json", stdout=out)
    document = json.loads(out.getvalue().splitlines()[-1])
    assert document["same"] is True
    assert document["verdict_then"]["action"] == "BUY"
    Candle.objects.all().delete()
    with pytest.raises(SystemExit) as ended:
        call_command("decision_replay", str(traded().code), stdout=io.StringIO())
    assert ended.value.code == 1


@pytest.mark.parametrize("given", ["x", "5bd1f0e0-0000-4000-8000-000000000000"])
def test_a_wrong_id_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(CommandError, match="allowed:") as refused:
        call_command("decision_replay", given)
    assert refused.value.returncode == 2


def test_the_settings_of_a_replay_are_those_of_the_session(run: StoredRun) -> None:
    """The run's configuration means here what it means where sessions are built."""
    pipeline = run.pipeline
    assert run_pipeline_config(run.run) == pipeline._config
    assert run_rules(run.run) == pipeline._judge._rules
