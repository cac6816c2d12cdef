"""The mutator makes mutants: each differs from its source, and each kind is there."""

from __future__ import annotations

import ast

from tests.mutation.mutants import mutants

SOURCE = '''
def f(a: int, b: float = 0.5) -> bool:
    """Text with 1 and 2."""
    if not a < 3 and b > 0.0:
        return True
    return a + 1 == (2 if b else -4)
'''


def test_every_kind_of_mutant_is_made_and_each_is_another_program() -> None:
    """OPT-44"""
    found = list(mutants(SOURCE))
    same = ast.unparse(ast.parse(SOURCE))
    texts = [mutant.text for mutant in found]
    assert len(set(texts)) == len(texts) and same not in texts
    changes = {mutant.change for mutant in found}
    assert {
        "Lt to LtE",
        "Eq to NotEq",
        "Add to Sub",
        "and to or, or to and",
        "sign or denial left out",
        "True to False",
        "3 to 4",
        "branches swapped",
    } <= changes
    assert all("Text with 1 and 2." in text for text in texts)
