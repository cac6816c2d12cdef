"""What import-linter cannot see: the rules that keep the house as it was drawn.

ORC-79, ORC-03, ORC-80 and D-32 by reading the source: pure rooms touch no clock, file or global
randomness; an order intent is built in one place; one broad ``except`` stands in the tree.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "engine",
    "accounts",
    "market",
    "strategies",
    "trades",
    "optimization",
    "research",
    "resources",
    "monitoring",
    "notifications",
    "tradeplatform",
)
# a test file follows the file it tests, and tables of cases are long
LONGEST_FILE, LONGEST_TEST_FILE = 400, 600
# Imported where they are used, because they cost every process that does not: 0.3 to 1 s each.
HEAVY = {"ccxt", "polars", "lightgbm", "sklearn", "pynvml", "plotly", "optuna", "apprise"}
CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
GLOBAL_RANDOM = re.compile(r"^(random\.|np\.random\.(?!Generator)|numpy\.random\.(?!Generator))")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users)/")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def pure_sources() -> list[Path]:
    return [*sources("engine"), *(path for path in sources(*ROOMS) if "core" in path.parts)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of names, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node.lineno


def where(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line} {what}"


def test_pure_code_reads_no_clock_opens_no_file_and_uses_no_global_randomness() -> None:
    """D-32, ORC-79: time is the event's, durations come from a callable that is passed in."""
    found = []
    for path in pure_sources():
        for name, line in calls(path):
            tail = ".".join(name.split(".")[-2:])
            if tail in CLOCKS or name in ("open", "print", "input") or GLOBAL_RANDOM.match(name):
                found.append(where(path, line, name))
    assert found == []


def test_pure_code_imports_no_module_that_reaches_the_world() -> None:
    """ORC-79"""
    worldly = {"time", "random", "socket", "subprocess", "os", "pathlib", "threading", "asyncio"}
    allowed = {("engine/executors.py", "threading"), ("engine/executors.py", "concurrent")}
    found = []
    for path in pure_sources():
        name = str(path.relative_to(ROOT))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                modules = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [(node.module or "").split(".")[0]]
            else:
                continue
            bad = [m for m in modules if m in worldly and (name, m) not in allowed]
            found += [where(path, node.lineno, module) for module in bad]
    assert found == []


def test_an_order_intent_is_built_in_one_place() -> None:
    """ORC-03: phase 8 alone makes entries; one other place makes orders that only reduce, and the
    reader of stored rows rebuilds them."""
    makers = {
        str(path.relative_to(ROOT))
        for path in sources(*ROOMS)
        for name, _ in calls(path)
        if name.split(".")[-1] == "OrderIntent"
    }
    assert makers == {
        "engine/phases/final_decision.py",
        "engine/reducing.py",
        "trades/records.py",
    }


# What the ten phases are made of; the pipeline composes them.
COMPONENTS = {"Judge", "Believer", "Learner", "SourcePanel", "Feelings", "OrderFlowTape"}


def test_the_pipeline_alone_composes_the_components_of_a_decision() -> None:
    """ORC-01: whoever wants a decision asks one pipeline; nobody builds a part of it aside."""
    builders: dict[str, set[str]] = {name: set() for name in COMPONENTS}
    for path in sources(*ROOMS, "benchmarks"):
        for name, _ in calls(path):
            if name.split(".")[-1] in COMPONENTS:
                builders[name.split(".")[-1]].add(str(path.relative_to(ROOT)))
    assert builders == {name: {"engine/phases/pipeline.py"} for name in COMPONENTS}


def test_a_session_is_given_its_pipeline_by_the_wiring() -> None:
    """ORC-01: sessions of every mode come from one place; what else makes a pipeline compiles its
    kernels, makes a decision again or judges what sources are worth, and trades nothing."""
    makers = {
        str(path.relative_to(ROOT))
        for path in sources(*ROOMS)
        for name, _ in calls(path)
        if name.split(".")[-1] in ("Pipeline", "build_pipeline")
    }
    assert makers == {
        "tradeplatform/bootstrap.py",
        "tradeplatform/running.py",
        "tradeplatform/warm_up.py",
        "trades/core/decision_replay.py",
        "research/core/predictor_evaluation.py",
    }


def test_the_only_broad_except_is_the_fail_safe() -> None:
    """SEC-36, ORC-17: an error is caught by name, or by the one wrapper that reports it."""
    found = set()
    for path in sources(*ROOMS):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                names = {dotted(kind) if kind is not None else "bare" for kind in kinds}
                swallows = not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                if names & {"bare", "Exception", "BaseException"} and swallows:
                    found.add(where(path, node.lineno, "except").split(":")[0])
    assert found == {"engine/failsafe.py"}


def test_no_room_listens_to_model_signals() -> None:
    found = [
        where(path, number, "post_save")
        for path in sources(*ROOMS)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\b(post_save|pre_save|post_delete|pre_delete)\b", line)
    ]
    assert found == []


def test_imports_stand_at_the_top_except_those_of_heavy_libraries() -> None:
    """A function-level import hides a knot between rooms; an app's ``ready`` is Django's own."""
    found = []
    for path in sources(*ROOMS):
        for outer in ast.walk(tree(path)):
            if not isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if outer.name == "ready" and path.name == "apps.py":
                continue
            if path == ROOT / "manage.py":
                continue
            for node in ast.walk(outer):
                if isinstance(node, ast.Import):
                    roots = {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    roots = {(node.module or "").split(".")[0]}
                else:
                    continue
                if not roots <= HEAVY:
                    found.append(where(path, node.lineno, ", ".join(sorted(roots))))
    assert found == []


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    """ORC-79"""
    limits = [(path, LONGEST_FILE) for path in sources(*ROOMS, "benchmarks")]
    limits += [(path, LONGEST_TEST_FILE) for path in sources("tests")]
    long = {
        str(path.relative_to(ROOT)): lines
        for path, limit in limits
        if (lines := len(path.read_text().splitlines())) > limit
    }
    assert long == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_of_a_room_imports(room: str) -> None:
    """ORC-80, OPT-47, OPT-49"""
    # as in the web process: admin modules are loaded in the order of the installed apps
    importlib.import_module("tradeplatform.urls")
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{room}."):
        if ".migrations" in module.name or module.name.endswith("__main__"):
            continue
        importlib.import_module(module.name)


def test_the_tree_names_no_machine() -> None:
    """A path of somebody's machine in the tree works on that machine only."""
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".html", ".js", ".css", ".txt", ".in"}
    plain = {"Makefile", "Procfile", ".importlinter", ".gitignore"}
    tops = [ROOT / name for name in (*ROOMS, "tests", "benchmarks", "docs", "templates", "static")]
    files = [path for top in tops if top.exists() for path in top.rglob("*")]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    found = []
    for path in files:
        if not path.is_file() or not (path.suffix in suffixes or path.name in plain):
            continue
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(where(path, number, line.strip()[:80]))
    assert found == []


def test_pickle_and_shell_and_eval_are_not_used() -> None:
    """SEC-37"""
    forbidden = {"eval", "exec", "pickle.loads", "pickle.load", "yaml.unsafe_load", "os.system"}
    found = []
    for path in sources(*ROOMS):
        found += [where(path, line, name) for name, line in calls(path) if name in forbidden]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                found.append(where(path, node.value.lineno, "shell="))
    assert found == []


def test_money_columns_are_decimals() -> None:
    """I-6: no float column holds a price paid, a quantity, a fee or a profit."""
    money = re.compile(r"^(fee|quantity|pnl|cash|equity|notional)|(_quote|_base)$")
    found = []
    for path in sources(*ROOMS):
        if path.name != "models.py":
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                field, name = dotted(node.value.func), dotted(node.targets[0])
                if field.endswith("FloatField") and money.search(name):
                    found.append(where(path, node.lineno, name))
    assert found == []


def test_tasks_are_sent_where_no_transaction_is_open() -> None:
    """F-031: from other tasks, beat and one view, none in a transaction; rows wait for commit."""
    sent = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("delay", "apply_async", "send_task")
    }
    assert sent == {
        "research/spread.py",
        "resources/workers.py",
        "trades/tasks.py",
        "tradeplatform/scheduler.py",
        "tradeplatform/views.py",
    }
    # what is sent for sweeps is sent by these
    for path in {*sent, "research/tasks.py", "tradeplatform/sweep_tasks.py"}:
        assert "atomic" not in (ROOT / path).read_text(), path
    assert not settings.DATABASES["default"].get("ATOMIC_REQUESTS", False)
