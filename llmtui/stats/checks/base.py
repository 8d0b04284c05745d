"""What a check is, and what the checks look at. The checks themselves are in the modules beside this one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from llmtui.model import NO_PROMPTS, Backend, BackendState, Imported, Machine, PairSpread, Prompts, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.at_load import AtLoad
from llmtui.stats.checks.evidence import Evidence
from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import MetricKey
from llmtui.text import sanitize
from llmtui.text.format import plural

#: void: the plain comparison means nothing. warning: this may explain the difference. note: good to know.
Level = Literal["void", "warning", "note"]
LEVELS: tuple[Level, ...] = ("void", "warning", "note")
#: Medians, means, or the two answers of a round that differ by more than this are different work.
VOID_SHARE = 0.10
#: Counts that differ by less may only be counted differently (an end-of-sequence token, a chat template).
SMALL_SHARE = 0.02
#: Of more backends than these, a list has one entry for all those that are alike.
MOST_NAMES = 5
#: Of more numbers than these, that entry has the smallest and the largest.
MOST_ALIKE = 2


def severity(level: Level) -> int:
    """The rank of a level: 0 for the most severe."""
    return LEVELS.index(level)


class Check(Struct, frozen=True):
    """One finding on the fairness of a race. `text` has the evidence, `todo` the fix, both as plain text.

    `code` never changes. Backends on the same one of `sides` do not differ in this, so the check does not apply
    between them. Without sides it applies to every pair with one of `backends` in it. `spoils` are the metrics that a
    void makes incomparable.
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
        """The whole check on one line."""
        return f"{self.level} {self.code}: {self.text}" + (f"; fix: {self.todo}" if self.todo else "")

    def between(self, one: str, two: str) -> bool:
        """Whether the check applies between these two backends."""
        if not self.sides:
            return one in self.backends or two in self.backends
        places = [next((n for n, side in enumerate(self.sides) if name in side), -1) for name in (one, two)]
        return -1 not in places and places[0] != places[1]


class Raced(Protocol):
    """A backend with the attempt that counts, such as `llmtui.runview.backend.BackendView`."""

    @property
    def backend(self) -> Backend:
        """The backend as configured."""

    @property
    def state(self) -> BackendState:
        """The backend's newest state."""

    @property
    def evidence(self) -> Evidence:
        """The evidence of the attempt that counts."""

    @property
    def latencies(self) -> Sequence[float]:
        """The latencies of its samples in s, ascending."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """The simplest `Raced`."""

    backend: Backend
    state: BackendState
    evidence: Evidence
    latencies: Sequence[float] = ()

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend.name


@dataclasses.dataclass(frozen=True)
class Race:
    """What the checks look at. `entries` are the backends with measured iterations, or with turns `at` a load.

    `prompts` are those of the run, if its requests have prompts of their own. `imported`: another tool measured it.
    """

    entries: Sequence[Entry]
    config: RunConfig
    machine: Machine
    comparisons: Sequence[Comparison] = ()
    record: Record | None = None
    spreads: Sequence[PairSpread] = ()
    at: AtLoad | None = None
    prompts: Prompts = NO_PROMPTS
    imported: Imported | None = None

    @property
    def other_prompts(self) -> bool:
        """Whether backends may have asked different prompts: in a turn of a duration the faster one asks more."""
        return self.prompts.given and self.at is not None and self.at.load.duration_s > 0

    @property
    def unit(self) -> str:
        """What a sample is: "iteration", or under a load "turn"."""
        return "iteration" if self.at is None else "turn"

    @property
    def sampled(self) -> list[Entry]:
        """The entries with at least one sample."""
        return [e for e in self.entries if e.evidence.good]


def listed(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", as plain text."""
    texts = [sanitize(name, 60) for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def each(values: Mapping[str, object], sides: Sequence[Sequence[str]] = ()) -> str:
    """ "a 64, b 12", as plain text. Of more than `MOST_NAMES`, those that are alike are one: "b 12, the other 6: 64".

    They are the largest one of `sides`, which are names, or else those with the most frequent value. All others are
    named: they are what the text is about.
    """
    texts = {name: sanitize(str(value), 80) for name, value in values.items()}
    same = _most_alike(texts, sides) if len(texts) > MOST_NAMES else []
    parts = [f"{sanitize(name, 60)} {text}" for name, text in texts.items() if name not in same]
    if same:
        parts.append(f"the other {len(same)}: {_range(texts[name] for name in same)}")
    return ", ".join(parts)


def _most_alike(texts: Mapping[str, str], sides: Sequence[Sequence[str]]) -> list[str]:
    """The names of the largest side or value, none if all are on it, or if none has two."""
    groups = [[name for name in side if name in texts] for side in sides] or alike(texts)
    largest = max(groups, key=len, default=[])
    return largest if 2 <= len(largest) < len(texts) else []


def _range(texts: Iterable[str]) -> str:
    """ "1.0", "1.0 or 1.1", "1.0 to 1.4", in ascending order if all are numbers."""
    different = list(dict.fromkeys(texts))
    with contextlib.suppress(ValueError):
        different.sort(key=float)
        if len(different) > MOST_ALIKE:
            return f"{different[0]} to {different[-1]}"
    return different[0] if len(different) == 1 else f"{', '.join(different[:-1])} or {different[-1]}"


def clusters(values: Mapping[str, float], *, share: float = 0.0, step: float = 0.0) -> list[list[str]]:
    """Names in clusters, ascending: in each, the values are within `share` and `step` of the smallest."""
    groups: list[list[str]] = []
    least = 0.0
    for name in sorted(values, key=lambda n: values[n]):
        if not groups or values[name] > least * (1 + share) + step:
            groups.append([])
            least = values[name]
        groups[-1].append(name)
    return groups


def alike(values: Mapping[str, str]) -> list[list[str]]:
    """Names with the same value, in the order of their first."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return list(groups.values())


def grouped(entries: Iterable[Entry], same: Callable[[Entry, Entry], bool]) -> list[list[str]]:
    """Names of backends in groups: within each, every two are the `same`."""
    groups: list[list[Entry]] = []
    for entry in entries:
        fits = next((group for group in groups if all(same(other, entry) for other in group)), None)
        if fits is None:
            groups.append([entry])
        else:
            fits.append(entry)
    return [[entry.name for entry in group] for group in groups]


def number(value: float) -> str:
    """A count, or a median of counts."""
    return f"{value:.10g}" if value == int(value) else f"{value:.1f}"


def of(part: int, whole: int, unit: str = "iteration") -> str:
    """ "2 of 10 iterations"."""
    return f"{part} of {plural(whole, unit)}"
