"""One update of all weights: evidence to wishes, wishes through the bounds, changes with reasons.

Pure and a function of the data: the same book and the same trades give the same book, and an
update without a new closed trade changes nothing (OPT-34).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optimization.core.bounds import Bound, HeldWeight, WeightLimits, move_towards
from optimization.core.evidence import Number, StrategyEvidence, require_past, strategy_evidence
from optimization.core.performance import Decomposition
from optimization.core.weighting.book import StoredKey, WeightBook, WeightChange
from optimization.core.weighting.policy import WeightPolicy


def update_weights(
    book: WeightBook,
    performance: Decomposition,
    policy: WeightPolicy,
    *,
    regimes: Mapping[str, Sequence[str]],
    now_ms: int,
    limits: WeightLimits,
    min_regime_trades: int = 20,
) -> tuple[WeightBook, tuple[WeightChange, ...]]:
    """Return the book after one update, and every weight that moved.

    ``regimes`` has, for each strategy, the regime each of its symbols is in now; empty or absent
    means unknown. A regime gets a weight of its own once ``min_regime_trades`` trades were entered
    in it; until then the strategy's weight over all regimes stands in.

    Raises:
        EvidenceError: a trade closed after ``now_ms`` (OPT-89).
        WeightingError: the policy wished for a weight that is not finite.
    """
    if performance.as_of is None or performance.as_of == book.as_of:
        return book, ()
    require_past(performance, now_ms)
    update = _Update(performance, policy, now_ms, performance.as_of, limits)
    book = replace(book, as_of=performance.as_of)
    book, stored = update.move_stored(_with_new_regimes(book, performance, min_regime_trades))
    book, in_effect = update.move_in_effect(book, regimes, stored)
    return book, (*stored, *in_effect)


def _with_new_regimes(
    book: WeightBook, performance: Decomposition, min_regime_trades: int
) -> WeightBook:
    """Open a stored weight for each regime that has enough trades, at the strategy's own.

    What the regime has seen before counts as seen: a new weight moves on new trades only.
    """
    stored = dict(book.stored)
    for cut in performance.cuts():
        if cut.symbol is not None or cut.strategy is None or cut.regime is None:
            continue
        if cut.strategy not in book.in_effect:
            continue
        key: StoredKey = (cut.strategy, cut.regime)
        life = performance.lifetime(cut)
        if key not in stored and life.count_r >= min_regime_trades:
            whole = stored[(cut.strategy, None)].weight
            stored[key] = HeldWeight(whole, trades_seen=life.count_r, total_r_seen=life.total_r)
    return replace(book, stored=stored)


class _Update:
    """What all moves of one update share."""

    def __init__(
        self,
        performance: Decomposition,
        policy: WeightPolicy,
        now_ms: int,
        as_of: str,
        limits: WeightLimits,
    ) -> None:
        self._performance = performance
        self._policy = policy
        self._now_ms = now_ms
        self._as_of = as_of
        self._limits = limits

    def move_stored(self, book: WeightBook) -> tuple[WeightBook, list[WeightChange]]:
        """Move stored weights towards the policy's wishes, one regime's at a time."""
        stored, changes = dict(book.stored), []
        for regime in sorted({regime for _, regime in stored}, key=lambda name: name or ""):
            held = {code: one for (code, of), one in stored.items() if of == regime}
            evidence = {code: self._evidence(code, regime, one) for code, one in held.items()}
            current = {code: one.weight for code, one in held.items()}
            for code, target in self._policy.propose(current, evidence).items():
                new, change = self._move(held[code], target, evidence[code], in_effect=False)
                stored[(code, regime)] = new
                changes += change
        return replace(book, stored=stored), changes

    def move_in_effect(
        self, book: WeightBook, regimes: Mapping[str, Sequence[str]], stored: list[WeightChange]
    ) -> tuple[WeightBook, list[WeightChange]]:
        """Move each weight in effect towards the stored weight of its regimes (D-30).

        One that arrives at a stored weight that was held back was held back by the same bound.
        """
        held_back = {(change.strategy, change.regime): change.bound for change in stored}
        in_effect, changes = dict(book.in_effect), []
        for code, held in book.in_effect.items():
            evidence = self._evidence(code, None, held)
            target = book.wished(code, regimes.get(code, ()))
            in_effect[code], moved = self._move(held, target, evidence, in_effect=True)
            for change in moved:
                key = (code, book.followed(code, regimes.get(code, ())))
                changes.append(replace(change, bound=change.bound or held_back.get(key)))
        return replace(book, in_effect=in_effect), changes

    def _evidence(self, code: str, regime: str | None, held: HeldWeight) -> StrategyEvidence:
        return strategy_evidence(
            self._performance,
            code,
            regime,
            trades_seen=held.trades_seen,
            total_r_seen=held.total_r_seen,
        )

    def _move(
        self, held: HeldWeight, target: float, evidence: StrategyEvidence, *, in_effect: bool
    ) -> tuple[HeldWeight, list[WeightChange]]:
        new, bound = move_towards(
            held,
            target,
            now_ms=self._now_ms,
            closed_trades=evidence.closed_trades,
            total_r=evidence.total_r,
            limits=self._limits,
        )
        if new.weight == held.weight:
            return new, []
        numbers = evidence.numbers()
        change = WeightChange(
            strategy=evidence.strategy,
            regime=evidence.regime,
            in_effect=in_effect,
            old=held.weight,
            new=new.weight,
            target=target,
            bound=bound,
            reason=_reason(self._policy.code, evidence.regime, numbers, target, bound),
            evidence=numbers,
            limits=self._limits,
            at_ms=self._now_ms,
            as_of=self._as_of,
        )
        return new, [change]


def _reason(
    policy: str,
    regime: str | None,
    numbers: Mapping[str, Number],
    target: float,
    bound: Bound | None,
) -> str:
    parts = [
        f"{name} {_text(numbers[key])}"
        for name, key in (
            ("expectancy R", "expectancy_r"),
            ("profit factor", "profit_factor_r"),
            ("Sharpe", "sharpe_r"),
            ("drawdown R", "max_drawdown_r"),
        )
    ]
    where = "all regimes" if regime is None else regime
    held_back = "" if bound is None else f", held back by the {bound} limit"
    return (
        f"{policy} over the last {numbers['trades_r']} trades in {where}: {', '.join(parts)};"
        f" target was {target:.4f}{held_back}"
    )


def _text(value: Number) -> str:
    return "undefined" if value is None else f"{value:.3f}"
