"""Runs a weighting policy over a table of price relatives, beside the references."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Mapping
from math import isfinite, log
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from optimization.core.trade_sums import Floats
from optimization.core.weighting import CompositePolicy
from research.core.allocation import (
    DEFAULT_ETA,
    AllocationRun,
    Allocator,
    ExponentiatedGradientAllocator,
    PolicyAllocator,
    UniformAllocator,
    gradient_regret_bound,
    references,
    run_allocation,
)
from research.errors import AllocationError
from research.relatives import read_relatives

GRADIENT = "exponentiated_gradient"
POLICIES = ("composite", GRADIENT, "uniform")
# The layer's own policy runs under the layer's step; the published tables know no limit (D-54).
DEFAULT_MAX_STEP = {"composite": "0.15", GRADIENT: "none", "uniform": "none"}


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--relatives", required=True, metavar="FILE")
        parser.add_argument("--policy", default="composite", metavar="|".join(POLICIES))
        parser.add_argument("--eta", default=None, help=f"of {GRADIENT}, default {DEFAULT_ETA}")
        parser.add_argument("--max-step", default=None, metavar="F|none")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            result = _allocate(options)
        except AllocationError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(result).decode())
        else:
            for name, value in result.items():
                self.stdout.write(f"{name:24} {value}")


def _allocate(options: Mapping[str, Any]) -> dict[str, Any]:
    policy = options["policy"]
    if policy not in POLICIES:
        raise AllocationError(f"--policy was {policy!r}, allowed: {', '.join(POLICIES)}")
    eta = _eta(policy, options["eta"])
    max_step = _max_step(options["max_step"] or DEFAULT_MAX_STEP[policy])
    names, relatives = read_relatives(options["relatives"])
    began = time.perf_counter()
    allocator = _allocator(policy, eta, relatives)
    free = run_allocation(relatives, allocator)
    run = free if max_step is None else run_allocation(relatives, allocator, max_step)
    found = references(relatives)
    best = found.best_constant_rebalanced
    return {
        "policy": policy,
        "eta": eta if policy == GRADIENT else None,
        "max_step": max_step,
        "periods": len(relatives),
        "assets": len(names),
        "final_wealth": run.final_wealth,
        "turnover": run.turnover,
        "turnover_a_period": run.turnover / max(len(relatives) - 1, 1),
        "max_step_fraction": run.max_step_fraction,
        **_cost_of_the_limit(run, free),
        "buy_and_hold": found.buy_and_hold,
        "uniform_rebalanced": found.uniform,
        "best_asset": found.best_asset,
        "best_constant_rebalanced": best,
        "log_regret": log(best) - run.log_wealth,
        "log_regret_bound": gradient_regret_bound(relatives, eta) if policy == GRADIENT else None,
        "elapsed_s": round(time.perf_counter() - began, 3),
    }


def _cost_of_the_limit(run: AllocationRun, free: AllocationRun) -> dict[str, float]:
    return {
        "unlimited_final_wealth": free.final_wealth,
        "unlimited_max_step_fraction": free.max_step_fraction,
        "limit_cost_fraction": 1.0 - run.final_wealth / free.final_wealth,
    }


def _allocator(policy: str, eta: float, relatives: Floats) -> Allocator:
    if policy == GRADIENT:
        return ExponentiatedGradientAllocator(eta)
    if policy == "uniform":
        return UniformAllocator()
    return PolicyAllocator(CompositePolicy(), relatives)


def _eta(policy: str, text: str | None) -> float:
    if text is None:
        return DEFAULT_ETA
    if policy != GRADIENT:
        raise AllocationError(f"--eta was {text}, allowed: with --policy {GRADIENT} only")
    eta = _number("--eta", text)
    if eta <= 0.0:
        raise AllocationError(f"--eta was {text}, allowed: above 0")
    return eta


def _max_step(text: str) -> float | None:
    if text == "none":
        return None
    step = _number("--max-step", text)
    if not 0.0 < step < 1.0:
        raise AllocationError(f"--max-step was {text}, allowed: none, or between 0 and 1")
    return step


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise AllocationError(f"{name} was {text!r}, allowed: a number") from None
    if not isfinite(value):
        raise AllocationError(f"{name} was {text}, allowed: a finite number")
    return value
