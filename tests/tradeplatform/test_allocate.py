"""The allocate command: its answer, the published tables, one line for bad input."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from django.core.management import CommandError, call_command

POLICIES = ("composite", "exponentiated_gradient", "uniform")


def allocate(path: Path | str, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("allocate", relatives=str(path), json=True, stdout=out, **options)
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    relatives = np.exp(rng.normal([0.002, 0.0, -0.001], 0.02, (150, 3)))
    path = tmp_path_factory.mktemp("relatives") / "three.csv"
    frame = polars.DataFrame(
        {"period": range(150), **{name: relatives[:, k] for k, name in enumerate("ABC")}}
    )
    frame.write_csv(path)
    return path


@pytest.mark.parametrize("policy", POLICIES)
def test_the_answer_has_the_named_keys(table: Path, policy: str) -> None:
    found = allocate(table, policy=policy)
    assert {"final_wealth", "turnover", "max_step_fraction"} <= set(found)
    assert (found["periods"], found["assets"], found["policy"]) == (150, 3, policy)
    assert found["final_wealth"] <= found["best_constant_rebalanced"]
    assert allocate(table, policy=policy)["final_wealth"] == found["final_wealth"]


def test_the_limit_s_cost_is_told_and_the_limit_kept(table: Path) -> None:
    """OPT-74"""
    found = allocate(table, policy="exponentiated_gradient", eta="40", max_step="0.15")
    assert found["unlimited_max_step_fraction"] > 0.15 >= found["max_step_fraction"]
    cost = 1 - found["final_wealth"] / found["unlimited_final_wealth"]
    assert found["limit_cost_fraction"] == pytest.approx(cost) != 0.0


@pytest.mark.parametrize(
    ("name", "wealth", "market", "best_asset", "best"),
    [
        ("nyse-o", "27.09", "14.50", "54.14", "250.60"),
        ("tse", "1.59", "1.61", "6.28", "6.78"),
        ("sp500", "1.63", "1.34", "3.78", "4.07"),
        ("msci", "0.93", "0.91", "1.50", "1.51"),
    ],
)
def test_the_published_tables_come_out_to_the_printed_digits(
    market_data: Path, name: str, wealth: str, market: str, best_asset: str, best: str
) -> None:
    """D-54: the policy's defaults are those of the tables (eta 0.05, no limit)."""
    path = market_data / "olps" / f"{name}.parquet"
    found = allocate(path, policy="exponentiated_gradient")
    assert f"{found['final_wealth']:.2f}" == wealth
    assert f"{found['buy_and_hold']:.2f}" == market
    assert f"{found['best_asset']:.2f}" == best_asset
    assert f"{found['best_constant_rebalanced']:.2f}" == best
    assert 0.0 < found["log_regret"] <= found["log_regret_bound"]


def test_periods_are_read_in_their_order(table: Path, tmp_path: Path) -> None:
    """A shuffled file is the same market."""
    shuffled = tmp_path / "shuffled.parquet"
    polars.read_csv(table).sample(fraction=1.0, shuffle=True, seed=1).write_parquet(shuffled)
    assert allocate(shuffled)["final_wealth"] == allocate(table)["final_wealth"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"policy": "best"}, "--policy was 'best', allowed: composite, exponentiated_gradient"),
        ({"policy": "exponentiated_gradient", "eta": "much"}, "--eta was 'much', allowed: a num"),
        ({"policy": "exponentiated_gradient", "eta": "0"}, "--eta was 0, allowed: above 0"),
        ({"policy": "uniform", "eta": "1"}, "--eta was 1, allowed: with --policy"),
        ({"max_step": "2"}, "--max-step was 2, allowed: none, or between 0 and 1"),
        ({"max_step": "nan"}, "--max-step was nan, allowed: a finite number"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(
    table: Path, given: dict[str, str], line: str
) -> None:
    with pytest.raises(CommandError) as refused:
        allocate(table, **given)
    assert str(refused.value).startswith(line)
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.csv", "A,B\n1.0,1.0\n", "column period is missing"),
        ("a.csv", "period,A\n0,1.0\n1,0.0\n", "row 1: A was 0.0, allowed"),
        ("a.csv", "period,A\n0,x\n", "column 'A' was String, allowed: numbers"),
        ("a.csv", "period,A\n", "column 'A' was String, allowed: numbers"),
        ("a.parquet", "no parquet", "not readable as parquet"),
        ("a.txt", "", "ending was '.txt', allowed: .parquet, .csv"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_2(
    tmp_path: Path, name: str, text: str, line: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CommandError) as refused:
        allocate(path)
    assert line in str(refused.value)
    assert str(path) in str(refused.value)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="no such file"):
        allocate(tmp_path / "absent.csv")
