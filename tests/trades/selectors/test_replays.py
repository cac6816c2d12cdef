"""Any stored decision can be made again, and what does not come out the same is labelled."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from engine.policy import BasePolicy
from engine.ports import Assessment
from engine.types.opinions import Proposal
from market.models import Candle
from tests.kept_rows import kept_rows
from tests.trades.stored_run import StoredRun, market
from trades.models import Analysis, Decision
from trades.selectors import decision_get, decision_replay
from trades.selectors.replays import run_pipeline_config, run_rules
from trades.stored import analysis_document, decision_document

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[StoredRun]:
    with kept_rows(django_db_blocker):
        yield StoredRun(market("BTC/USDT", n_bars=620)).trade(200)


@pytest.fixture
def run(kept: StoredRun, db: None) -> StoredRun:
    kept.run.refresh_from_db()
    return kept


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


@pytest.mark.slow
def test_a_changed_candle_is_a_difference_of_price(run: StoredRun) -> None:
    """ORC-59"""
    decision = traded()
    candles = Candle.objects.filter(opened_at__lt=decision.bar_close_at).order_by("-opened_at")
    candle = candles[0]
    candle.close *= 1.02
    candle.high = max(candle.high, candle.close)
    candle.save()
    assert labels(decision) == {"price"}


@pytest.mark.slow
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


@pytest.mark.slow
def test_tampered_records_are_a_difference_of_state(run: StoredRun) -> None:
    decision = traded()
    analysis = Analysis.objects.get(pk=decision.analysis_id)
    first = analysis.payload["records"][0]
    assert first[0] == 1
    first[5]["risk"] = "extreme"
    analysis.save()
    assert "state" in labels(decision)


@pytest.mark.parametrize("part", ["inputs", "proposal", "records"])
@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_settings_of_a_replay_are_those_of_the_session(run: StoredRun) -> None:
    """The run's configuration means here what it means where sessions are built."""
    pipeline = run.pipeline
    assert run_pipeline_config(run.run) == pipeline._config
    assert run_rules(run.run) == pipeline._judge._rules


@pytest.fixture
def pair() -> StoredRun:
    """Two symbols, more history than a window shows, buyers and sellers who change places, and a
    layer that scores: what is remembered between bars matters."""
    bars = market("BTC/USDT", "ETH/USDT", n_bars=1_900)
    stored = StoredRun(
        bars,
        warm_up_bars=1_800,
        policy=Scoring(),
        buyers=lambda row: 0.9 if row // 7 % 2 else 0.1,
    )
    return stored.trade(60)


class Scoring(BasePolicy):
    """Says how it came to its answer, as the layer does."""

    def assess(self, proposal: Proposal, market: Any, confluence: int) -> Assessment:
        detail = {"scorer": "formula", "threshold": 0.6, "inputs": {"confluence": confluence}}
        return Assessment(True, 0.7, "QUALITY_PASSED", "passed", "a1", detail)


def test_a_run_of_two_symbols_comes_out_the_same(pair: StoredRun) -> None:
    """ORC-14, ORC-59: the reference symbol and the bars before the window are given again."""
    rows = list(Decision.objects.select_related("run", "analysis").order_by("-pk")[:60])
    assert {row.symbol for row in rows} == {"BTC/USDT", "ETH/USDT"}
    documents = [analysis_document(row.analysis) for row in rows]
    first, fifth = ([d["records"][i]["output"] for d in documents] for i in (0, 4))
    assert any(c["type"] == "sentiment_flip" for output in first for c in output["changes"])
    assert any(output["trust"] for output in fifth)
    assert any(decision_document(row)["policy"].get("detail") for row in rows)
    for row in rows:
        assert row.payload["inputs"]["bars"] == 1_024
        assert decision_replay(row).differences == [], row
        assert decision_replay(row).same


def test_changed_candles_before_the_window_are_a_difference_of_price(pair: StoredRun) -> None:
    """ORC-59: their digest is not kept, but unchanged code tells no other market by itself."""
    decision = again(Decision.objects.latest("pk"))
    older = Candle.objects.filter(instrument__symbol=decision.symbol).order_by("opened_at")[:500]
    for candle in older:
        candle.high, candle.low = candle.high * 3, candle.low / 3
        candle.save()
    assert labels(decision) == {"price"}
