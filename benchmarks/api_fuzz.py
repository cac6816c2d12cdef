"""Generated requests to every operation of the API, by role: ``python -m benchmarks.api_fuzz``.

schemathesis reads the OpenAPI document and makes valid and invalid requests from it. Counted are
server errors and answers that the document does not describe; neither may happen (F-104, SEC-35).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.figures import Figure, Options
from benchmarks.web_server import served

ROLES = {"anonymous": "", "viewer": "read", "operator": "operate", "admin": "admin"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(slots=True)
class Campaign:
    """What was asked and how it was answered. ``findings`` are told once each, with a request
    that shows them."""

    operations: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: int = 0
    undocumented: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    elapsed_s: float = 0.0

    def document(self) -> dict[str, Any]:
        return {
            "operations": self.operations,
            "cases": self.cases.total(),
            "by_role": dict(self.cases),
            "by_status": {str(code): n for code, n in sorted(self.statuses.items())},
            "server_errors": self.server_errors,
            "undocumented": self.undocumented,
            "findings": list(self.findings),
            "rounds": self.rounds,
            "elapsed_s": self.elapsed_s,
        }


def campaign(
    address: str, tokens: dict[str, str], *, examples: int, start: int = 1, minutes: float = 0.0
) -> Campaign:
    """Ask every operation ``examples`` times a role and kind of request, with seed ``start``; then
    again with the next seed until ``minutes`` are over. The last round may be cut short."""
    found, began = Campaign(), time.monotonic()
    with requests.Session() as session:
        document = session.get(
            f"{address}/api/v1/schema/",
            headers={"Authorization": f"Bearer {tokens['admin']}", "Accept": "application/json"},
            timeout=60,
        ).json()
        schema = schemathesis.openapi.from_dict(document)
        operations: list[Any] = [_sound(result) for result in schema.get_all_operations()]
        found.operations = len(operations)
        for asked_seed in itertools.count(start):
            for role, operation, mode in itertools.product(ROLES, operations, GenerationMode):
                is_over = time.monotonic() - began > 60.0 * minutes
                if is_over and asked_seed > start:
                    break
                headers = {"Authorization": f"Bearer {tokens[role]}"} if role in tokens else {}
                ask = _Asking(session, address, headers, role, found)
                ask.all(operation, mode, examples=examples, start=asked_seed)
            else:
                found.rounds += 1
            found.elapsed_s = round(time.monotonic() - began, 1)
            sys.stderr.write(json.dumps(found.document()) + "\n")
            if found.elapsed_s > 60.0 * minutes:
                return found
    raise AssertionError("the rounds end by themselves")


def _sound(result: Any) -> Any:
    """Return the operation; one that the document describes wrongly raises here."""
    return result.ok()


@dataclass(frozen=True, slots=True)
class _Asking:
    session: requests.Session
    address: str
    headers: dict[str, str]
    role: str
    found: Campaign

    def all(self, operation: Any, mode: GenerationMode, *, examples: int, start: int) -> None:
        takes = (operation.path_parameters, operation.query, operation.body)
        if mode is GenerationMode.NEGATIVE and not any(len(part) for part in takes):
            return

        @seed(start)
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def each(case: Any) -> None:
            self.one(case)

        each()

    def one(self, case: Any) -> None:
        """Ask once; what is wrong is counted and does not end the campaign."""
        response = case.call(base_url=self.address, session=self.session, headers=self.headers)
        self.found.cases[self.role] += 1
        self.found.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            is_server_error = response.status_code >= 500
            self.found.server_errors += is_server_error
            self.found.undocumented += not is_server_error
            where = f"{case.method} {case.operation.path} {response.status_code}"
            titles = ", ".join(sorted({error.title for error in group.exceptions}))
            self.found.findings.setdefault(f"{where}: {titles}", case.as_curl_command()[:600])


def api_fuzz(options: Options) -> Sequence[Figure]:
    found = _run(options.folder / "fuzz", examples=2 if options.quick else 40, start=1, minutes=0.0)
    total = found.cases.total()
    by_role = ", ".join(f"{role} {count:,}" for role, count in found.cases.items())
    return [
        Figure(
            name="generated requests to the API",
            value=total,
            unit="cases",
            detail=f"{found.operations} operations; {by_role}; {total / found.elapsed_s:.0f}/s",
        ),
        Figure(
            name="server errors among them",
            value=found.server_errors,
            unit="answers",
            target=0,
            ids=("F-104", "SEC-35"),
        ),
        Figure(
            name="answers the document does not describe",
            value=found.undocumented,
            unit="answers",
            target=0,
        ),
    ]


def _run(folder: Path, *, examples: int, start: int, minutes: float) -> Campaign:
    folder.mkdir(parents=True, exist_ok=True)
    scopes = {role: scope for role, scope in ROLES.items() if scope}
    with served(folder, scopes) as running:
        address = running.platform.address
        return campaign(address, running.tokens, examples=examples, start=start, minutes=minutes)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=40, help="a role, operation and kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="further rounds until then")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tp-fuzz-") as folder:
        found = _run(Path(folder), examples=asked.examples, start=asked.seed, minutes=asked.minutes)
    for finding, request in found.findings.items():
        sys.stderr.write(f"{finding}\n  {request}\n")
    print(json.dumps(found.document() | {"examples": asked.examples, "seed": asked.seed}))
    return 1 if found.server_errors or found.undocumented else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
