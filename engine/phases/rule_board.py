"""All rule strategies over one store, asked once and read by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.ports import RuleSource
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn, IntColumn
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
        if _seat(
            columns.side,
            columns.probability_up,
            columns.confidence,
            rule.warm_up_bars,
            index,
            probability,
            proposes,
        ):
            columns = _with_sane_entries(columns)
        answers[rule.code] = columns
    return RuleBoard(probability, proposes, answers)


@kernel
def _seat(
    side: IntColumn,
    probability_up: FloatColumn,
    confidence: FloatColumn,
    warm_up_bars: int,
    index: int,
    probability: Matrix,
    proposes: BoolColumn,
) -> bool:
    """Write a rule's opinions and entries; return True where an entry's confidence is absurd."""
    is_absurd = False
    for row in range(side.shape[0]):
        if side[row] != 0:
            # written so that NaN is absurd too
            if confidence[row] >= 0.0 and confidence[row] <= 1.0:
                proposes[row] = True
            else:
                is_absurd = True
        if row >= warm_up_bars and probability_up[row] >= 0.0 and probability_up[row] <= 1.0:
            probability[row, index] = probability_up[row]
    return is_absurd


def _with_sane_entries(columns: RuleColumns) -> RuleColumns:
    # the rule's exits and other bars are not affected
    sane = (columns.confidence >= 0.0) & (columns.confidence <= 1.0)
    return replace(columns, side=np.where(sane, columns.side, 0))


def _checked_call(rule: RuleSource, store: ColumnStore) -> Callable[[], RuleColumns]:
    def call() -> RuleColumns:
        columns = rule.columns(store)
        expected = (len(store.bars),)
        for name in RuleColumns.__slots__:
            shape = getattr(columns, name).shape
            if shape != expected:
                raise ValueError(f"{rule.code}.{name} must be {expected}, was {shape}")
        return columns

    return call
