"""What a check is, and what the checks look at. The checks themselves stand beside this file, by group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from llmtui.format import plural
from llmtui.model import Backend, BackendState, Machine, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.checks.evidence import Evidence
from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import MetricKey
from llmtui.text import sanitize

#: void: the plain comparison means nothing. warning: this may explain the difference. note: good to know.
Level = Literal["void", "warning", "note"]
LEVELS: tuple[Level, ...] = ("void", "warning", "note")
#: Medians, means, or the two answers of a round further apart than this are different work.
VOID_SHARE = 0.10
#: Counts closer than this may be two ways of counting (an end-of-sequence token, a chat template).
SMALL_SHARE = 0.02
#: Names of more backends than this are not spelled out.
MOST_NAMES = 5


def severity(level: Level) -> int:
    """The rank of a level: 0 for the most severe."""
    return LEVELS.index(level)


class Check(Struct, frozen=True):
    """One thing that bears on whether the race was fair. `text` has the evidence, `todo` says what to do: plain text.

    `code` never changes. `sides`: backends on the same side are alike in this, so that it does not stand between them;
    empty where it concerns every pair with one of `backends` in it. `spoils` are the metrics that a void takes.
    """

    code: str
    level: Level
    backends: list[str]
    text: str
    todo: str
    sides: list[list[str]] = []
    spoils: list[MetricKey] = []

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.level} {self.code}: {self.text}; do: {self.todo}"

    def between(self, one: str, two: str) -> bool:
        """Whether it stands between these two backends."""
        if not self.sides:
            return one in self.backends or two in self.backends
        places = [next((n for n, side in enumerate(self.sides) if name in side), -1) for name in (one, two)]
        return -1 not in places and places[0] != places[1]


class Raced(Protocol):
    """A backend and the attempt of it that counts; `llmtui.runview.run.Contender` is one, once it keeps evidence."""

    @property
    def backend(self) -> Backend:
        """As configured."""

    @property
    def state(self) -> BackendState:
        """As it stands."""

    @property
    def evidence(self) -> Evidence:
        """Of the attempt that counts."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """The simplest `Raced`."""

    backend: Backend
    state: BackendState
    evidence: Evidence

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend.name


@dataclasses.dataclass(frozen=True)
class Race:
    """All that the checks look at. `entries` are those that measured something, `sampled` those with a good sample."""

    entries: Sequence[Entry]
    config: RunConfig
    machine: Machine
    comparisons: Sequence[Comparison] = ()
    record: Record | None = None

    @property
    def sampled(self) -> list[Entry]:
        """Those with at least one sample."""
        return [e for e in self.entries if e.evidence.good]


def listed(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", as plain text."""
    told = [sanitize(name, 60) for name in names]
    if len(told) > MOST_NAMES:
        told = [*told[: MOST_NAMES - 1], f"{len(told) - MOST_NAMES + 1} more"]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}" if told else ""


def each(values: Mapping[str, object]) -> str:
    """ "a 64, b 12", as plain text."""
    told = [f"{sanitize(name, 60)} {sanitize(str(value), 80)}" for name, value in values.items()]
    more = f" and {len(told) - MOST_NAMES} more" if len(told) > MOST_NAMES else ""
    return ", ".join(told[:MOST_NAMES]) + more


def clusters(values: Mapping[str, float], *, share: float = 0.0, step: float = 0.0) -> list[list[str]]:
    """Names whose values are within `share` of, or `step` from, the least of their cluster; ascending."""
    found: list[list[str]] = []
    least = 0.0
    for name in sorted(values, key=lambda n: values[n]):
        if not found or values[name] > least * (1 + share) + step:
            found.append([])
            least = values[name]
        found[-1].append(name)
    return found


def alike(values: Mapping[str, str]) -> list[list[str]]:
    """Names that have the same value, in the order of their first."""
    found: dict[str, list[str]] = {}
    for name, value in values.items():
        found.setdefault(value, []).append(name)
    return list(found.values())


def grouped(entries: Iterable[Entry], same: Callable[[Entry, Entry], bool]) -> list[list[str]]:
    """Names of backends in groups: in each, every two are the `same`."""
    found: list[list[Entry]] = []
    for entry in entries:
        fits = next((group for group in found if all(same(other, entry) for other in group)), None)
        if fits is None:
            found.append([entry])
        else:
            fits.append(entry)
    return [[entry.name for entry in group] for group in found]


def number(value: float) -> str:
    """A count or a median of counts."""
    return f"{value:.10g}" if value == int(value) else f"{value:.1f}"


def of(part: int, whole: int) -> str:
    """ "2 of 10 iterations"."""
    return f"{part} of {plural(whole, 'iteration')}"
