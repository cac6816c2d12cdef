"""The plan of processes, as values."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tradeplatform import processes
from tradeplatform.configuration import Configuration, Exchange, Trading
from tradeplatform.supervisor import Plan

OPTIONS = processes.Options(
    port=8000,
    workers=1,
    seed=7,
    speed=2.0,
    data=(),
    var_dir=Path("/nowhere"),
    redis_server="/usr/bin/redis-server",
    redis_socket=Path("/nowhere with a space/redis.sock"),
    practice_port=9001,
    practice_admin_port=9002,
)
LIVE = Configuration(exchange=Exchange(id="binance"), trading=Trading(mode="paper"))


def options(**changes: object) -> processes.Options:
    values = {name: getattr(OPTIONS, name) for name in OPTIONS.__dataclass_fields__}
    return processes.Options(**(values | changes))  # type: ignore[arg-type]


def names(config: Configuration, **changes: object) -> list[str]:
    return [spec.name for spec in processes.children(config, options(**changes))]


def test_the_practice_exchange_runs_only_where_it_is_the_exchange() -> None:
    assert "exchange" in names(Configuration())
    assert "exchange" not in names(LIVE)
    assert "TRADEPLATFORM_PRACTICE_URL" not in processes.environment(LIVE, OPTIONS)


def test_a_redis_of_ones_own_leaves_none_for_us_to_run() -> None:
    given = names(Configuration(), redis_server=None, redis_socket=None)
    assert "redis" not in given
    after = processes.children(Configuration(), options(redis_server=None, redis_socket=None))
    assert all("redis" not in spec.after for spec in after)


def test_each_trading_worker_is_a_process_with_a_name_of_its_own() -> None:
    """ORC-75"""
    assert [n for n in names(Configuration(), workers=3) if "trading" in n] == [
        "trading1",
        "trading2",
        "trading3",
    ]


def test_trading_has_a_queue_that_no_other_worker_serves() -> None:
    """F-032"""
    specs = {spec.name: spec for spec in processes.children(Configuration(), OPTIONS)}
    queues = {
        name: specs[name].argv[specs[name].argv.index("-Q") + 1] for name in ("trading", "general")
    }
    assert queues["trading"] == "trading"
    assert "trading" not in queues["general"].split(",")
    assert {"io", "optimization", "research"} <= set(queues["general"].split(","))


def test_research_workers_take_units_alone_at_the_lowest_priority_and_hold_no_key() -> None:
    """F-032: none by default; no other worker takes units, nor loads what they run."""
    assert "research" not in names(Configuration())
    some = options(research_workers=2)
    specs = {spec.name: spec for spec in processes.children(Configuration(), some)}
    words = specs["research"].argv
    assert words[:3] == ("nice", "-n", "19")
    assert words[words.index("-Q") + 1] == "research-units"
    assert words[words.index("-c") + 1] == "2"
    assert specs["research"].private == ()
    loads = [name for name, spec in specs.items() if "tradeplatform.sweep_tasks" in spec.argv]
    takes = [name for name, spec in specs.items() if "research-units" in " ".join(spec.argv)]
    assert loads == takes == ["research"]
    variables = processes.environment(Configuration(), some)
    assert variables["TRADEPLATFORM_SWEEP_WORKERS"] == "true"
    assert "TRADEPLATFORM_SWEEP_WORKERS" not in processes.environment(Configuration(), OPTIONS)


def test_the_broker_listens_on_no_port_and_keeps_nothing() -> None:
    """SEC-46, F-030"""
    redis = processes.children(Configuration(), OPTIONS)[0].argv
    given = dict(zip(redis[1::2], redis[2::2], strict=True))
    assert given["--port"] == "0"
    assert given["--unixsocketperm"] == "700"
    assert given["--unixsocket"] == "/nowhere with a space/redis.sock"
    assert (given["--save"], given["--appendonly"]) == ("", "no")
    assert given["--maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"data": (Path("a.parquet"),)}],
)
def test_another_market_has_another_ledger(change: dict[str, object]) -> None:
    """F-093: books of different markets never mix."""
    here = processes.practice_state_dir(Configuration(), OPTIONS)
    assert processes.practice_state_dir(Configuration(), options(**change)) != here
    assert processes.practice_state_dir(Configuration(), options(speed=9.0, port=1)) == here
    other = msgspec.structs.replace(Configuration(), trading=Trading(symbols=("ETH/USDT",)))
    assert processes.practice_state_dir(other, OPTIONS) != here


def test_the_plan_survives_the_way_to_the_supervisor() -> None:
    specs = processes.children(Configuration(), OPTIONS)
    document = {"children": processes.as_json(specs), "run_dir": "/r", "log_dir": "/l"}
    assert Plan.from_json(json.dumps(document)).children == specs


def test_stopping_ends_the_knocks_first_and_the_broker_last_within_ten_seconds() -> None:
    specs = processes.children(Configuration(), OPTIONS)
    tiers = {spec.name: spec.stop_tier for spec in specs}
    assert tiers["beat"] < tiers["trading"] < tiers["exchange"] < tiers["redis"]
    longest = {
        tier: max(s.stop_timeout_s for s in specs if s.stop_tier == tier)
        for tier in set(tiers.values())
    }
    assert sum(longest.values()) <= 10.0


def test_trading_begins_after_a_changed_configuration_was_taken_over() -> None:
    """D-31: a worker that is faster than ``ensure_run`` would keep the limits of before."""
    specs = {spec.name: spec for spec in processes.children(Configuration(), options(workers=2))}
    assert specs["run"].once
    assert all("run" in specs[name].after for name in ("trading1", "trading2"))


SECOND = msgspec.structs.replace(
    Configuration(), exchange=Exchange(account="second"), accounts={"second": {}}
)
THIRD = msgspec.structs.replace(
    LIVE, exchange=Exchange(id="kraken", account="third"), accounts={"third": {}}
)


def test_each_account_has_a_worker_of_its_own_with_its_own_keys_only() -> None:
    """D-59, SEC-31: no other account's key is in its environment."""
    specs = {s.name: s for s in processes.children(Configuration(), OPTIONS, [SECOND, THIRD])}
    queues = {name: s.argv[s.argv.index("-Q") + 1] for name, s in specs.items() if "-Q" in s.argv}
    assert {name: queue for name, queue in queues.items() if name != "general"} == {
        "trading": "trading",
        "trading.second": "trading.second",
        "trading.third": "trading.third",
    }
    assert not any(queue in queues["general"].split(",") for queue in ("trading.second",))
    private = {name: set(specs[name].private) for name in ("trading", "trading.second")}
    assert "TRADEPLATFORM_EXCHANGE_KEY" in private["trading"]
    assert not any(name.endswith("__SECOND") for name in private["trading"])
    assert {name for name in private["trading.second"] if "MASTER" not in name} == {
        "TRADEPLATFORM_EXCHANGE_KEY__SECOND",
        "TRADEPLATFORM_EXCHANGE_SECRET__SECOND",
        "TRADEPLATFORM_EXCHANGE_PASSPHRASE__SECOND",
    }


def test_one_accounts_run_waits_for_no_other_accounts_venue() -> None:
    """D-59: each is opened by a child of its own, which its worker alone waits for."""
    specs = {s.name: s for s in processes.children(Configuration(), OPTIONS, [SECOND, THIRD])}
    assert specs["run.second"].argv[-2:] == ("--account", "second")
    assert specs["run"].argv[-2:] == ("--account", "main")
    assert "run.second" in specs["trading.second"].after
    assert "run" not in specs["trading.second"].after
    assert "run" not in specs["run.second"].after
    (only,) = [s for s in processes.children(Configuration(), OPTIONS) if s.name == "run"]
    assert only.argv[-1] == "ensure_run"


def test_secrets_of_every_account_are_hidden_from_who_does_not_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SEC-31: of one too that the file does not have."""
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY__FORGOTTEN", "a key")
    hidden = processes.every_key((Configuration(), SECOND))
    assert {"TRADEPLATFORM_EXCHANGE_KEY__SECOND", "TRADEPLATFORM_EXCHANGE_KEY"} <= set(hidden)
    assert "TRADEPLATFORM_EXCHANGE_KEY__FORGOTTEN" in hidden


def test_the_practice_exchange_knows_each_practice_account_and_its_cash() -> None:
    """D-59: of an account on a real venue it knows nothing."""
    specs = {s.name: s for s in processes.children(Configuration(), OPTIONS, [SECOND, THIRD])}
    exchange = specs["exchange"]
    given = [b for a, b in zip(exchange.argv, exchange.argv[1:], strict=False) if a == "--account"]
    assert given == ["second=10000"]
    assert "PRACTICE_API_KEY__SECOND" in exchange.private
    assert not any("THIRD" in name for name in exchange.private)
    alone = {s.name: s for s in processes.children(Configuration(), OPTIONS)}["exchange"]
    assert "--account" not in alone.argv
    beside = {s.name: s for s in processes.children(LIVE, OPTIONS, [SECOND])}
    assert "exchange" in beside
    assert "TRADEPLATFORM_PRACTICE_URL" in processes.environment(LIVE, OPTIONS, [SECOND])
