"""A strategy's status: allowed edges, one row or nobody, a cause for each change."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.models import AuditEvent
from strategies import services
from strategies.errors import StrategyRefused, StrategyUnknown
from strategies.models import HealthChange, Status, Strategy, WeightUpdate
from strategies.selectors import status_without_layer
from strategies.services import StrategyDefinition, strategies_ensure, strategy_set_status
from tests.trades.rows import make_strategy

pytestmark = pytest.mark.django_db
EDGES = {
    ("ACTIVE", "DEGRADED"),
    ("ACTIVE", "SUSPENDED"),
    ("ACTIVE", "RETIRED"),
    ("DEGRADED", "ACTIVE"),
    ("DEGRADED", "SUSPENDED"),
    ("DEGRADED", "RETIRED"),
    ("SUSPENDED", "DEGRADED"),
    ("SUSPENDED", "RETIRED"),
}


def set_status(to_status, **given):
    fields = {"code": "ema-trend", "actor": "ada", "reason": "five losses"}
    return strategy_set_status(to_status=to_status, **fields | given)


def status():
    return Strategy.objects.get(code="ema-trend").status


def test_the_registry_makes_each_strategy_once_and_keeps_what_people_changed():
    rows = [StrategyDefinition("ema-trend", "EMA trend", base_weight=0.8, parameters={"fast": 8})]
    assert strategies_ensure(rows) == ["ema-trend"]
    set_status("SUSPENDED")
    assert strategies_ensure(rows) == []
    strategy = Strategy.objects.get()
    assert (strategy.base_weight, strategy.weight) == (0.8, 0.8)
    assert strategy.parameters == {"fast": 8}
    assert strategy.status == "SUSPENDED"


@pytest.mark.parametrize("before", Status.values)
@pytest.mark.parametrize("after", Status.values)
def test_only_the_listed_edges_may_be_taken(before, after):
    make_strategy(status=before)
    if (before, after) in EDGES:
        set_status(after)
        assert status() == after
        return
    with pytest.raises(StrategyRefused, match=f"its status was {before}"):
        set_status(after)
    assert status() == before
    assert HealthChange.objects.count() == AuditEvent.objects.count() == 0


def test_a_change_leaves_its_cause_and_one_audit_event():
    """SEC-33"""
    make_strategy()
    until = datetime(2026, 2, 1, tzinfo=UTC)
    set_status("DEGRADED", metrics={"expectancy_r": -0.2}, override_until=until)
    change, event, strategy = (
        HealthChange.objects.get(),
        AuditEvent.objects.get(),
        Strategy.objects.get(),
    )
    assert (change.from_status, change.to_status) == ("ACTIVE", "DEGRADED")
    assert change.metrics == {"expectancy_r": -0.2}
    assert (event.actor, event.reason) == ("ada", "five losses")
    assert (event.before, event.after["status"]) == ({"status": "ACTIVE"}, "DEGRADED")
    assert strategy.override_until_at == until
    assert strategy.status_changed_at == change.at


def test_a_later_change_ends_an_earlier_override():
    make_strategy(status="SUSPENDED")
    until = datetime(2026, 2, 1, tzinfo=UTC)
    services.strategy_unsuspend(code="ema-trend", actor="ada", reason="r", override_until=until)
    set_status("ACTIVE")
    assert Strategy.objects.get().override_until_at is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"reason": "  "}, StrategyRefused, "reason was empty"),
        ({"code": "nope"}, StrategyUnknown, "strategy was 'nope'"),
        ({"to_status": "BROKEN"}, StrategyRefused, "status was 'BROKEN', allowed: ACTIVE"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(given, error, message):
    make_strategy()
    with pytest.raises(error, match=message):
        set_status(**({"to_status": "SUSPENDED"} | given))
    assert status() == "ACTIVE"
    assert AuditEvent.objects.count() == 0


def test_a_retired_strategy_comes_back_degraded_and_only_by_reinstating():
    """D-06"""
    make_strategy(status="RETIRED")
    with pytest.raises(StrategyRefused, match="status was RETIRED"):
        services.strategy_unsuspend(code="ema-trend", actor="ada", reason="r")
    services.strategy_reinstate(code="ema-trend", actor="ada", reason="r")
    assert status() == "DEGRADED"


@pytest.mark.parametrize("before", ["ACTIVE", "DEGRADED", "SUSPENDED"])
def test_reinstating_is_for_retired_strategies_only(before):
    make_strategy(status=before)
    with pytest.raises(StrategyRefused, match=f"status was {before}"):
        services.strategy_reinstate(code="ema-trend", actor="ada", reason="r")


def test_unsuspending_leads_to_degraded():
    """D-46"""
    make_strategy()
    services.strategy_suspend(code="ema-trend", actor="ada", reason="r")
    services.strategy_unsuspend(code="ema-trend", actor="ada", reason="r")
    assert status() == "DEGRADED"
    services.strategy_retire(code="ema-trend", actor="ada", reason="r")
    assert status() == "RETIRED"


def test_a_person_leads_a_degraded_strategy_back_with_a_reason():
    """D-46, SEC-33: without the layer nothing else leads out of DEGRADED."""
    make_strategy(status="DEGRADED")
    with pytest.raises(StrategyRefused, match="reason was empty"):
        services.strategy_activate(code="ema-trend", actor="ada", reason=" ")
    services.strategy_activate(code="ema-trend", actor="ada", reason="costs were a bug")
    assert status() == "ACTIVE"
    event = AuditEvent.objects.get()
    assert (event.actor, event.reason) == ("ada", "costs were a bug")


@pytest.mark.parametrize("before", ["ACTIVE", "SUSPENDED", "RETIRED"])
def test_activating_is_for_degraded_strategies_only(before):
    make_strategy(status=before)
    with pytest.raises(StrategyRefused, match=f"its status was {before}"):
        services.strategy_activate(code="ema-trend", actor="ada", reason="r")
    assert status() == before


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_make_one_change():
    make_strategy()
    refused = []

    def suspend():
        try:
            set_status("SUSPENDED")
        except StrategyRefused as error:
            refused.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=suspend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert HealthChange.objects.count() == 1
    assert AuditEvent.objects.count() == 1


def edge(**given):
    fields = {
        "code": "ema-trend",
        "from_status": "ACTIVE",
        "to_status": "DEGRADED",
        "actor": "optimization",
        "reason": "UNDERPERFORMS",
        "metrics": {"trades": 50},
        "venue_now": datetime(2026, 1, 5, 12, tzinfo=UTC),
    }
    return services.strategy_machine_edge(**fields | given)


def test_a_machine_edge_is_a_change_with_its_metrics_and_audit():
    """OPT-35"""
    make_strategy()
    change = edge()
    assert (status(), change.actor, change.metrics) == ("DEGRADED", "optimization", {"trades": 50})
    assert AuditEvent.objects.get().actor == "optimization"


def test_a_machine_edge_stands_back_where_the_status_is_another_by_now():
    """D-46: what was judged is no longer what is."""
    make_strategy(status="SUSPENDED")
    assert edge() is None
    assert (status(), HealthChange.objects.count()) == ("SUSPENDED", 0)


@pytest.mark.parametrize(("hour", "moved"), [(11, True), (13, False)])
def test_a_machine_edge_honours_an_override_until_its_time(hour, moved):
    """D-46: by venue time."""
    make_strategy(override_until_at=datetime(2026, 1, 5, hour, tzinfo=UTC))
    assert (edge() is not None) == moved


@pytest.mark.parametrize("to_status", Status.values)
def test_no_machine_edge_leads_out_of_retired(to_status):
    """OPT-36, D-06"""
    make_strategy(status="RETIRED")
    assert edge(from_status="RETIRED", to_status=to_status) is None
    assert status() == "RETIRED"


def weight(new=1.15, **given):
    fields = {
        "code": "ema-trend",
        "old_weight": 1.0,
        "new_weight": new,
        "period_key": "update 1",
        "actor": "optimization",
        "reason": "expectancy R 0.2",
        "evidence": {"trades_r": 50},
    }
    return services.weight_change(**fields | given)


def test_a_weight_changes_once_a_period_with_its_cause():
    """OPT-34"""
    make_strategy()
    assert weight().new_weight == 1.15
    assert weight(1.3) is None
    assert Strategy.objects.get().weight == 1.15
    assert AuditEvent.objects.get().before == {"weight": 1.0, "regime": ""}


def test_a_regimes_weight_is_kept_beside_the_one_that_sizes():
    """OPT-39, D-30"""
    make_strategy()
    weight(1.4, regime="TRENDING")
    assert Strategy.objects.get().weight == 1.0
    assert WeightUpdate.objects.get().regime == "TRENDING"


@pytest.mark.parametrize("new", [0.0999, 2.0001])
def test_the_database_itself_refuses_a_weight_outside_its_bounds(new):
    """OPT-75"""
    make_strategy()
    with pytest.raises(IntegrityError), transaction.atomic():
        weight(new)
    assert Strategy.objects.get().weight == 1.0


def test_where_a_strategy_would_stand_without_the_layer():
    """D-60: the last word that was not the layer's."""
    make_strategy()
    assert status_without_layer("ema-trend") == "ACTIVE"
    edge()
    assert status_without_layer("ema-trend") == "ACTIVE"
    services.strategy_suspend(code="ema-trend", actor="olga", reason="news")
    edge(from_status="SUSPENDED", to_status="RETIRED")
    assert status_without_layer("ema-trend") == "SUSPENDED"
