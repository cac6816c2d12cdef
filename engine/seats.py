"""Who sits at the table: learned sources by seat, replaced only between events (ORC-16, D-18)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.ports import LearnedSource, SourceInput
from engine.types.decisions import JsonValue
from engine.types.learned import Seat

# Names a source that learns as it goes once a trained model has taken its seat.
BASE = "base"
_SHADOW_ORDER = (Seat.CHALLENGER, Seat.GUARD, Seat.CONTROL)


@dataclass(frozen=True, slots=True)
class Seated:
    """A learned source on its seat; ``version`` names its trained model, empty where there is
    none (it learns as it goes)."""

    source: LearnedSource
    seat: Seat = Seat.CHAMPION
    version: str = ""
    # what its opinions are filed under: the code, with the version where two of a code sit
    name: str = field(init=False)

    def __post_init__(self) -> None:
        code = self.source.code
        alone = self.seat in (Seat.CHAMPION, Seat.CONTROL)
        object.__setattr__(self, "name", code if alone else shadow_name(code, self.version))


def shadow_name(code: str, version: str) -> str:
    """Return the name of a model of ``code`` that sits beside its champion."""
    return f"{code}@{version or BASE}"


def is_shadow_name(name: str) -> bool:
    """True for what ``shadow_name`` returns: opinions of a model beside its champion."""
    return "@" in name


def champions(sources: Iterable[LearnedSource]) -> tuple[Seated, ...]:
    """Seat sources that learn as they go: all of them vote."""
    return tuple(Seated(source) for source in sources)


class SourcePanel:
    """The learned sources of one session.

    ``voters`` keep their order for as long as the session lives: a promotion changes who speaks
    for a code, never how many vote.
    """

    def __init__(self, seated: Sequence[Seated]) -> None:
        _check(seated)
        self._sit(seated)

    def _sit(self, seated: Sequence[Seated]) -> None:
        self.voters = tuple(s for s in seated if s.seat.votes)
        self.shadows = tuple(s for seat in _SHADOW_ORDER for s in seated if s.seat is seat)
        # voters first: who votes is the last to go unasked
        self.everyone = (*self.voters, *self.shadows)
        # what somebody reads
        self.inputs = frozenset(s.source.reads for s in self.everyone)
        # what each was before it learned anything here
        self._blank = {s.name: s.source.state() for s in seated}

    def reseat(self, seated: Sequence[Seated]) -> dict[str, str]:
        """Take a new seating; return who is now filed under another name (old name: new name).

        A model that stays keeps its object, and with it what it has learned here.

        Raises:
            ValueError: the codes that vote, or their order, are not those of this session.
        """
        _check(seated)
        codes = [s.source.code for s in seated if s.seat.votes]
        if codes != [s.source.code for s in self.voters]:
            known = ", ".join(s.source.code for s in self.voters)
            raise ValueError(f"votes must be those of {known}, were {', '.join(codes)}")
        held = {(s.source.code, s.version): s for s in self.everyone}
        blank, taken, names = dict(self._blank), [], {}
        for s in seated:
            old = held.get((s.source.code, s.version))
            if old is None:
                taken.append(s)
                continue
            taken.append(Seated(old.source, s.seat, s.version))
            if old.name != s.name:
                names[old.name] = s.name
        self._sit(taken)
        for s in taken:
            old = held.get((s.source.code, s.version))
            if old is not None:
                self._blank[s.name] = blank[old.name]
        return names

    def start_anew(self, reads: SourceInput) -> tuple[str, ...]:
        """Let everybody who reads this input forget what it learned here; return their names."""
        names = []
        for seated in self.everyone:
            if seated.source.reads is reads:
                seated.source.restore(self._blank[seated.name])
                names.append(seated.name)
        return tuple(names)

    def state(self) -> dict[str, JsonValue]:
        """Return what everybody has learned, by name, with the model it belongs to."""
        return {s.name: {"version": s.version, "state": s.source.state()} for s in self.everyone}

    def moved_since(self, state: Mapping[str, JsonValue]) -> tuple[dict[str, str], list[str]]:
        """Compare a stored state with who sits now: names that changed (old: new), and names that
        now stand for a model the state knows nothing of."""
        stored = {
            (name.split("@")[0], part.get("version", "")): name
            for name, part in state.items()
            if isinstance(part, dict)
        }
        names: dict[str, str] = {}
        strangers: list[str] = []
        for s in self.everyone:
            old = stored.get((s.source.code, s.version))
            if old is None:
                strangers.append(s.name)
            elif old != s.name:
                names[old] = s.name
        return names, [name for name in strangers if name in state and name not in names.values()]

    def restore(
        self, state: Mapping[str, JsonValue], told: Callable[[str, ValueError], None]
    ) -> None:
        """Give everybody back what it learned; who cannot take it starts anew and is told of.

        A state of another model is left out without a word: that model is no longer here.
        """
        for seated in self.everyone:
            stored = state.get(seated.name)
            if stored is None:
                continue
            try:
                _restore(seated, stored)
            except ValueError as error:
                seated.source.restore(self._blank[seated.name])
                told(seated.name, error)


def _restore(seated: Seated, stored: JsonValue) -> None:
    if not isinstance(stored, dict):
        raise ValueError(f"state of {seated.name} must be a mapping, was {stored!r}")
    # before models had versions the source's own state stood here
    own = stored.get("state", stored)
    if stored.get("state") is not None and stored.get("version", "") != seated.version:
        return
    if not isinstance(own, dict):
        raise ValueError(f"state of {seated.name} must be a mapping, was {own!r}")
    seated.source.restore(own)


def _check(seated: Sequence[Seated]) -> None:
    names = [s.name for s in seated]
    if len(set(names)) != len(names):
        raise ValueError(f"names on the panel must be unique, were {', '.join(names)}")
