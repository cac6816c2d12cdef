"""Small wrong changes to a source file, one at a time: would a test notice?

A comparison slips, an operator turns, a number moves, a condition is denied, a branch is swapped.
Docstrings, annotations and texts are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong version of a file: where, what was changed, and the whole text."""

    line: int
    change: str
    text: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    skipped = _skipped(tree)
    places = [node for node in ast.walk(tree) if id(node) not in skipped]
    for place, node in enumerate(places):
        for what, change in _changes(node):
            twin = deepcopy(tree)
            kept = _skipped(twin)
            target = [n for n in ast.walk(twin) if id(n) not in kept][place]
            change(target)
            yield Mutant(
                getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(twin))
            )


def _skipped(tree: ast.Module) -> set[int]:
    """Return ids of nodes that no behaviour hangs on: annotations, docstrings, texts, raises."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef):
            parts += [node.returns, *node.decorator_list]
        if isinstance(node, ast.ClassDef):
            parts += [*node.decorator_list]
        if isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        if isinstance(node, ast.JoinedStr | ast.Raise):
            parts.append(node)
        for part in parts:
            if part is not None:
                found |= {id(inner) for inner in ast.walk(part)}
    return found


def _changes(node: ast.AST) -> list[tuple[str, Callable[[ast.AST], None]]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        other = _COMPARE[type(node.ops[0])]
        return [(f"{type(node.ops[0]).__name__} to {other.__name__}", _set_compare(other))]
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        turned = _ARITHMETIC[type(node.op)]
        return [(f"{type(node.op).__name__} to {turned.__name__}", _set_operator(turned))]
    if isinstance(node, ast.BoolOp):
        return [("and to or, or to and", _turn_boolean)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return [("sign or denial left out", _double)]
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return [(f"{node.value} to {not node.value}", _set_value(not node.value))]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        moved = node.value + 1
        return [(f"{node.value} to {moved}", _set_value(moved))]
    if isinstance(node, ast.IfExp):
        return [("branches swapped", _swap)]
    return []


def _set_compare(kind: type[ast.cmpop]) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.Compare)
        node.ops[0] = kind()

    return change


def _set_operator(kind: type[ast.operator]) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.BinOp)
        node.op = kind()

    return change


def _set_value(value: float) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.Constant)
        node.value = value

    return change


def _turn_boolean(node: ast.AST) -> None:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _double(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    node.operand = ast.UnaryOp(op=node.op, operand=node.operand)


def _swap(node: ast.AST) -> None:
    assert isinstance(node, ast.IfExp)
    node.body, node.orelse = node.orelse, node.body
