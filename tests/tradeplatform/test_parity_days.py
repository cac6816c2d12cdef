"""A traded day decided again: each label provoked in the rows it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from market.models import Candle
from monitoring.models import Alert
from research import tasks
from research.core.parity import Difference
from research.models import ParityDay
from research.parity import Parity, days_due, parity_of, whole_days
from research.parity_services import parity_claim, parity_store
from tests.accounts.callers import by_token
from tests.kept_rows import kept_rows
from tests.monitoring.factories import make_user
from tests.trades.stored_run import StoredRun, market
from tradeplatform.parity import parity_run
from trades.models import Decision, Fill, Order, RejectedEvent

pytestmark = pytest.mark.django_db
DAY = date(2023, 11, 15)


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[StoredRun]:
    with kept_rows(django_db_blocker):
        yield StoredRun(market("BTC/USDT", n_bars=620)).trade(150)


@pytest.fixture
def run(kept: StoredRun, db: None, monkeypatch) -> Any:
    """The run; few of its decisions are made again, its actions among them."""
    kept.run.refresh_from_db()
    monkeypatch.setattr("research.parity.MOST_QUIET", 2)
    acted = set(acts().values_list("pk", flat=True)[:2])
    monkeypatch.setattr(
        "research.parity._spread", lambda keys, most: [pk for pk in keys if pk in acted]
    )
    return kept.run


def acts():
    return Decision.objects.exclude(action="HOLD").order_by("bar_close_at")


def judged(run) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = {}
    for one in parity_of(run, DAY).differences:
        found.setdefault(one.label, []).append(one)
    return found


def test_a_day_that_nothing_came_between_has_no_differences(run):
    """Decisions, quantities, prices and times are those of a replay; every bar was decided on."""
    found = parity_of(run, DAY)
    assert found.differences == []
    assert (found.redone, found.same, found.orders) == (2, 2, 2)
    assert found.bars == 150 and found.decisions >= 150
    assert found.slippage_bps is not None and abs(found.slippage_bps) < 25


def test_a_candle_with_another_price_is_a_difference_of_price(run):
    candle = Candle.objects.filter(opened_at__lt=acts()[0].bar_close_at).latest("opened_at")
    candle.close *= 1.02
    candle.high = max(candle.high, candle.close)
    candle.save()
    assert set(judged(run)) == {"price"}


def test_a_fill_far_from_the_next_open_is_a_difference_of_price_with_both_values(run):
    order = Order.objects.get(decision=acts()[0])
    expected = Candle.objects.get(opened_at=acts()[0].bar_close_at).open
    order.average_price = Decimal(str(round(expected * 1.01, 2)))
    order.save()
    found = judged(run)
    assert set(found) == {"price"}
    (one,) = found["price"]
    assert (one.then, one.now) == (f"{float(order.average_price):.10g}", f"{expected:.10g}")
    assert one.is_explained and one.decision == str(acts()[0].code)


def test_a_fill_after_its_bar_is_a_difference_of_timing(run):
    fill = Fill.objects.filter(order__decision=acts()[0]).first()
    fill.executed_at = acts()[0].bar_close_at + timedelta(seconds=61)
    fill.save()
    found = judged(run)
    assert set(found) == {"timing"}
    assert (found["timing"][0].then, found["timing"][0].now) == ("61 s", "at most 60 s")


def test_a_bar_that_nobody_decided_on_is_timing_and_a_refused_one_is_data(run):
    quiet = Decision.objects.filter(strategy="platform").order_by("bar_close_at")
    gone = list(quiet.values_list("pk", "bar_close_at")[10:13])
    Decision.objects.filter(pk__in=[pk for pk, _ in gone]).delete()
    found = judged(run)
    assert set(found) == {"timing"}
    assert sum(int(one.what.split()[0]) for one in found["timing"]) == 3
    RejectedEvent.objects.create(
        run=run,
        symbol="BTC/USDT",
        event_at=gone[0][1],
        reason="high 1 was below low 2",
        payload={},
        created_at=timezone.now(),
    )
    assert "high 1 was below low 2" in judged(run)["data"][0].then


def test_what_was_not_filled_is_a_difference_of_fill_and_the_refusal_explains_it(run):
    order = Order.objects.get(decision=acts()[0])
    Order.objects.filter(pk=order.pk).update(
        filled_base=0, average_price=None, status="REJECTED", refusal_text="balance was too low"
    )
    Fill.objects.filter(order=order).delete()
    (one,) = judged(run)["fill"]
    assert one.is_explained and "balance was too low" in one.then
    Order.objects.filter(pk=order.pk).update(refusal_text="", refusal_code="")
    (one,) = judged(run)["fill"]
    assert not one.is_explained


def test_a_fill_that_no_decision_protection_or_person_asked_for_is_not_explained(run):
    fill = Fill.objects.filter(order__decision=acts()[2]).first()
    order = Order.objects.filter(pk=fill.order_id)
    order.update(decision=None)
    (one,) = judged(run)["fill"]
    assert (one.what, one.is_explained) == ("fill that nothing asked for", False)
    assert one.then == f"{fill.side} {fill.quantity_base:f} at {fill.price:f}"
    order.update(cause="protection", purpose="exit")
    assert judged(run) == {}
    order.update(cause="request", actor="")
    assert len(judged(run)["fill"]) == 1
    order.update(actor="olga")
    assert judged(run) == {}
    order.update(cause="request", purpose="entry")
    assert len(judged(run)["fill"]) == 1


def test_missing_candles_and_changed_records_are_differences_of_data(run):
    decision = acts()[0]
    decision.payload["inputs"]["risk"]["equity_quote"] = "5000"
    decision.save()
    found = judged(run)
    assert set(found) == {"data"}
    assert not all(one.is_explained for one in found["data"])


def test_a_window_with_fewer_candles_is_data_and_not_price(run):
    first = acts()[0]
    Candle.objects.filter(opened_at__lt=first.bar_close_at - timedelta(minutes=50)).delete()
    found = judged(run)
    assert "data" in found and "price" not in found


def test_other_settings_are_a_difference_of_config(run):
    run.config["risk"]["max_risk_per_trade"] = 0.011
    run.config_digest = "0" * 64
    run.save()
    assert set(judged(run)) == {"config"}


def test_another_verdict_of_the_same_candles_is_code_and_explained_by_other_code_alone(
    run, monkeypatch, settings
):
    """Today's code proposes nothing where that of then did."""
    monkeypatch.setattr("trades.core.decision_replay.propose", lambda *_: ())
    found = judged(run)
    assert set(found) == {"code"}
    assert not any(one.is_explained for one in found["code"])
    settings.CODE_VERSION = "tomorrow"
    assert all(one.is_explained for one in judged(run)["code"])


def test_a_day_is_stored_once_and_an_unexplained_difference_is_told_until_a_later_day_is_clean(
    run,
):
    order = Order.objects.get(decision=acts()[0])
    Order.objects.filter(pk=order.pk).update(filled_base=0, status="CANCELED")
    assert [parity_run(run, DAY).unexplained for _ in range(2)] == [1, 1]
    row = ParityDay.objects.get()
    assert row.counts == {"fill": 1} and len(row.differences) == 1
    alert = Alert.objects.get(code="PARITY_UNEXPLAINED")
    assert "1 differences of 2023-11-15" in alert.text and alert.count == 2
    parity_store(run=run, day=DAY + timedelta(days=1), found=Parity(0, 0, 0, 0, 0, None, []))
    Order.objects.filter(pk=order.pk).update(filled_base=order.filled_base, status=order.status)
    parity_run(run, DAY)
    alert.refresh_from_db()
    assert alert.resolved_at is None
    ParityDay.objects.filter(day__gt=DAY).delete()
    parity_run(run, DAY)
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_the_knock_starts_one_process_a_run_and_day(run, monkeypatch):
    """Only a day with another after it is whole; a process that died is followed by another."""
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "child_run", lambda *words: started.append(words))
    assert whole_days(run) == []
    assert tasks.parity_due() == "nothing to judge"
    Decision.objects.filter(pk=acts()[0].pk).update(
        bar_close_at=datetime(2023, 11, 16, 0, 0, tzinfo=UTC)
    )
    # the bar that ends at midnight ends its day: another symbol's may still be on its way
    assert whole_days(run) == []
    Decision.objects.filter(pk=acts()[0].pk).update(
        bar_close_at=datetime(2023, 11, 16, 0, 5, tzinfo=UTC)
    )
    assert whole_days(run) == [DAY]
    assert [tasks.parity_due() for _ in range(2)][1] == "nothing to judge"
    assert started == [("parity", "--run", str(run.code), "--day", "2023-11-15", "--quiet")]
    assert parity_claim(now=timezone.now() + timedelta(hours=2)).attempts == 2


def days_of_decisions(run, *days: int) -> None:
    """Give days of November a decision each, the run's own first day among them or not."""
    for decision, day in zip(acts(), days, strict=False):
        Decision.objects.filter(pk=decision.pk).update(
            bar_close_at=datetime(2023, 11, day, 12, 0, tzinfo=UTC)
        )
    run.last_event_at = datetime(2023, 11, days[-1], 12, 0, tzinfo=UTC)
    run.save()


def test_days_that_were_missed_are_judged_oldest_first_and_none_twice(run):
    """The platform was down over midnights: no day vanishes for a newer one."""
    days_of_decisions(run, 16, 18, 19)
    now = timezone.now()
    taken = []
    while (row := parity_claim(now=now)) is not None:
        taken.append(row.day.day)
        parity_store(run=run, day=row.day, found=Parity(0, 0, 0, 0, 0, None, []))
    assert taken == [15, 16, 18]


def test_a_day_older_than_a_week_or_thinned_out_is_left_and_by_hand_refused_in_one_line(run):
    days_of_decisions(run, 20)
    assert days_due(run) == [DAY]
    run.config["monitoring"] = {"holds_kept_days": 3, "holds_kept_one_in": 20}
    run.save()
    assert days_due(run) == []
    with pytest.raises(CommandError, match=r"--day was 2023-11-15, allowed .* 2023-11-18 or later"):
        call_command("parity", "--run", str(run.code), "--day", str(DAY))
    run.config["monitoring"] = {"holds_kept_days": 3, "holds_kept_one_in": 1}
    run.save()
    assert days_due(run) == [DAY]
    days_of_decisions(run, 24)
    assert days_due(run) == [date(2023, 11, 20)]


def test_the_last_attempt_at_a_day_is_told_until_the_day_is_judged(run, monkeypatch):
    row = ParityDay.objects.create(run=run, day=DAY, started_at=timezone.now(), attempts=2)

    def dies(*given):
        raise MemoryError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr("tradeplatform.parity.parity_of", dies)
        for attempts, told in ((2, 0), (3, 1)):
            ParityDay.objects.filter(pk=row.pk).update(attempts=attempts)
            with pytest.raises(MemoryError):
                parity_run(run, DAY)
            assert Alert.objects.filter(code="PARITY_NOT_JUDGED").count() == told
    parity_run(run, DAY)
    alert = Alert.objects.get(code="PARITY_NOT_JUDGED")
    assert f"manage.py parity --run {run.code} --day {DAY}" in alert.text
    assert alert.resolved_at is not None


def test_command_page_and_api_show_a_judged_day(run, client):
    Order.objects.filter(decision=acts()[0]).update(filled_base=0, status="CANCELED")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("parity", "--run", str(run.code), "--day", str(DAY), "--json", stdout=out)
    (day,) = json.loads(out.getvalue())["days"]
    assert (day["counts"], day["unexplained"]) == ({"fill": 1}, 1)
    client.force_login(make_user("olga", "viewer"))
    page = client.get(reverse("parity-list")).content.decode()
    assert "2023-11-15" in page and "quantity filled" in page and "not explained" in page
    listed = by_token("viewer").get("/api/v1/parity/").json()["results"]
    assert listed[0]["day"] == "2023-11-15" and listed[0]["differences"][0]["label"] == "fill"
    for words, line in (
        (["--day", "gestern"], "--day was 'gestern', allowed: a day such as"),
        (["--run", "x"], "--run was 'x', allowed: a run's UUID"),
    ):
        with pytest.raises(CommandError, match=line):
            call_command("parity", *words)
