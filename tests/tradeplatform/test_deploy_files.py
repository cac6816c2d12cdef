"""The deployment files say the same as each other, and keep the exchange keys in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PROCESSES = dict(
    line.split(": ", 1)
    for line in (ROOT / "Procfile").read_text().splitlines()
    if line and not line.startswith("#")
)
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNITS = {
    name: (DEPLOY / f"tradeplatform-{name}.service").read_text()
    for name in (
        path.stem.removeprefix("tradeplatform-") for path in DEPLOY.glob("tradeplatform-*.service")
    )
}


def words(command: str) -> list[str]:
    """Return a command without what differs by place: interpreter, address, escapes."""
    for place, common in (
        (r"/opt/tradeplatform/\.venv/bin/", ""),
        (r"^python -m uvicorn", "uvicorn"),
        (r"%%h", "%h"),
        (r"--host \S+", "--host HOST"),
        (r"--port \S+", "--port PORT"),
    ):
        command = re.sub(place, common, command)
    return command.split()


def test_every_way_to_run_it_has_every_process() -> None:
    assert set(UNITS) == set(PROCESSES)
    assert set(COMPOSE["services"]) == {*PROCESSES, "release", "postgres", "redis"}
    target = (DEPLOY / "tradeplatform.target").read_text()
    assert {f"tradeplatform-{name}.service" for name in PROCESSES} == set(
        re.findall(r"tradeplatform-\w+\.service", target)
    )


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_every_way_starts_a_process_by_the_same_command(name: str) -> None:
    (started,) = re.findall(r"^ExecStart=(.*)$", UNITS[name], re.MULTILINE)
    assert words(started) == words(PROCESSES[name])
    assert words(COMPOSE["services"][name]["command"]) == words(PROCESSES[name])


def test_exchange_keys_reach_the_trading_process_and_the_release_step_alone() -> None:
    """SEC-31: the web process cannot leak what it never had."""
    services = COMPOSE["services"]
    reads = {name for name, told in services.items() if "exchange.env" in told.get("env_file", [])}
    assert reads == {"trading", "release"}
    assert {name for name, unit in UNITS.items() if "exchange.env" in unit} == {"trading"}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "docs/deploy/*.env" in ignored, "no secret goes into an image"
    assert "docs/deploy/*.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_database_and_the_broker_hold_their_own_password_and_no_key_of_ours() -> None:
    """SEC-46, SEC-31: the broker has a password, and SECRET_KEY reaches no foreign image."""
    services = COMPOSE["services"]
    for name in ("postgres", "redis"):
        assert services[name]["env_file"] == [f"{name}.env"]
        others = {other for other in services if f"{name}.env" in services[other]["env_file"]}
        assert others == {name}
        assert "ports" not in services[name], "reached from inside alone"
    started = services["redis"]["command"][-1]
    # empty would mean no password: then it does not start
    assert '--requirepass "$${REDIS_PASSWORD:?' in started
    assert "--requirepass" not in str(services["redis"].get("environment"))
    for name in (*PROCESSES, "release"):
        assert "REDIS_URL" not in services[name]["environment"], "it holds the password"
    head = (DEPLOY / "compose.yaml").read_text().split("\nname:")[0]
    named = {file for told in services.values() for file in map(env_name, told["env_file"])}
    assert named == set(re.findall(r"^# (\w+\.env):", head, re.MULTILINE))


def test_a_container_that_is_made_anew_keeps_its_workers_name() -> None:
    """ORC-75: knocks go to the name of the worker that holds a run, which Docker would make up
    anew each time; no two services share one."""
    services = COMPOSE["services"]
    workers = [name for name, told in services.items() if "@%h" in str(told.get("command"))]
    assert sorted(workers) == ["general", "trading"]
    names = [told["hostname"] for told in services.values() if "hostname" in told]
    assert {services[name]["hostname"] for name in workers} == set(names)
    assert len(set(names)) == len(names) == len(workers)


def env_name(told: Any) -> str:
    return str(told["path"] if isinstance(told, dict) else told)


def test_containers_may_do_nothing_they_need_not() -> None:
    """SEC-47: no root, no capability, a read-only file system, loopback only."""
    for name in (*PROCESSES, "release"):
        told = COMPOSE["services"][name]
        assert told["read_only"] and told["cap_drop"] == ["ALL"], name
        assert told["security_opt"] == ["no-new-privileges:true"], name
    ports = [port for told in COMPOSE["services"].values() for port in told.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]
    assert re.search(r"^USER tradeplatform$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_proxies_say_themselves_that_a_request_came_over_tls() -> None:
    """SEC-5: the header is set by the proxy, never passed on from a client."""
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert nginx.count("proxy_set_header X-Forwarded-Proto https;") == nginx.count("proxy_pass")
    assert "$http_x_forwarded_proto" not in nginx
