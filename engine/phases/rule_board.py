"""All rule strategies over one store, asked once and read by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from engine.ports import RuleSource
from engine.types.bars import BoolColumn, ColumnStore
from engine.types.opinions import RuleColumns

Matrix = npt.NDArray[np.float64]
# Asks one rule for its columns; None where it failed (and was reported).
Ask = Callable[[RuleSource, Callable[[], RuleColumns]], RuleColumns | None]


@dataclass(frozen=True, slots=True)
class RuleBoard:
    """Opinions and proposals of every rule on every bar of a store.

    ``probability_up`` has shape (n_bars, n_rules), every value in [0, 1], 0.5 where the rule is
    not warm, has none, or failed. ``proposes`` is True on bars where some rule wants to enter.
    ``columns`` holds what each rule answered, by code; a rule that failed is not in it, and an
    entry whose confidence is not in [0, 1] is not proposed.
    """

    probability_up: Matrix
    proposes: BoolColumn
    columns: Mapping[str, RuleColumns]


def empty_board(n_bars: int) -> RuleBoard:
    """Return the board of no rules: nobody has an opinion, nobody proposes."""
    return RuleBoard(np.full((n_bars, 0), 0.5), np.zeros(n_bars, dtype=np.bool_), {})


def rule_board(rules: Sequence[RuleSource], store: ColumnStore, ask: Ask) -> RuleBoard:
    """Ask every rule once about a whole store."""
    n = len(store.bars)
    probability = np.full((n, len(rules)), 0.5)
    proposes = np.zeros(n, dtype=np.bool_)
    answers: dict[str, RuleColumns] = {}
    for index, rule in enumerate(rules):
        columns = ask(rule, _checked_call(rule, store))
        if columns is None:
            continue
        columns = _with_sane_entries(columns)
        answers[rule.code] = columns
        warm = columns.probability_up[rule.warm_up_bars :]
        sane = (warm >= 0.0) & (warm <= 1.0)
        probability[rule.warm_up_bars :, index] = np.where(sane, warm, 0.5)
        proposes |= columns.side != 0
    return RuleBoard(probability, proposes, answers)


def _with_sane_entries(columns: RuleColumns) -> RuleColumns:
    # written so that NaN is absurd too; the rule's exits and other bars are not affected
    sane = (columns.confidence >= 0.0) & (columns.confidence <= 1.0)
    absurd = (columns.side != 0) & ~sane
    if not absurd.any():
        return columns
    return replace(columns, side=np.where(absurd, 0, columns.side))


def _checked_call(rule: RuleSource, store: ColumnStore) -> Callable[[], RuleColumns]:
    def call() -> RuleColumns:
        columns = rule.columns(store)
        expected = (len(store.bars),)
        for field in fields(columns):
            shape = getattr(columns, field.name).shape
            if shape != expected:
                raise ValueError(f"{rule.code}.{field.name} must be {expected}, was {shape}")
        return columns

    return call
