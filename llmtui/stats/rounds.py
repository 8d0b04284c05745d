"""The samples of one attempt in columns: what a comparison needs, in some 80 bytes a sample."""

from __future__ import annotations

import datetime
import itertools
import operator
from array import array
from collections.abc import Iterable, Sequence
from typing import TypeVar

from llmtui.model import Iteration
from llmtui.stats.metrics import METRICS, MetricKey

#: How many of a backend's newest samples are compared with those of the others.
MOST = 20_000
_UNKNOWN = float("nan")
_Instant = TypeVar("_Instant", float, str)


def took_turns(starts: Sequence[_Instant], others: Sequence[_Instant]) -> bool:
    """Whether each round of two backends, which started at these instants, was done before the next one started."""
    last, first = list(map(max, starts, others)), list(map(min, starts, others))
    return all(map(operator.le, last, first[1:]))


class Rounds:
    """The newest `most` samples of one attempt, in order of completion.

    `launches` is how often the server is launched for them by plan; from 2 on a launch is a sample.
    """

    def __init__(self, iterations: Iterable[Iteration] = (), most: int = MOST, *, launches: int = 1) -> None:
        self._most = most
        self.launches = launches
        #: What a sample is: an iteration, or under a load a turn.
        self.unit = "iteration"
        self._numbers = array("q")
        self._launches = array("q")
        self._started = array("d")
        #: The engine's own order, in which a step of the wall clock does nothing; 0 in a history without it.
        self._sequence = array("q")
        #: The column of a metric begins with its first known value, and is empty before: a race lacks those of a load.
        self._columns: dict[MetricKey, array[float]] = {metric: array("d") for metric in METRICS}
        for iteration in iterations:
            self.add(iteration)

    def add(self, iteration: Iteration) -> None:
        """Add a sample. A value that is not finite counts as unknown."""
        self.unit = "turn" if iteration.level else self.unit
        self._numbers.append(iteration.iteration)
        self._launches.append(iteration.launch)
        self._started.append(_seconds(iteration.started_utc))
        self._sequence.append(iteration.seq)
        for metric, values in self._columns.items():
            value = METRICS[metric].counted(iteration)
            if value is not None and not values:
                values.extend(itertools.repeat(_UNKNOWN, len(self._numbers) - 1))
            if value is not None or values:
                values.append(_UNKNOWN if value is None else value)
        if len(self._numbers) > self._most:
            del self._numbers[0], self._launches[0], self._started[0], self._sequence[0]
            for values in self._columns.values():
                del values[:1]

    def _values(self, metric: MetricKey) -> array[float]:
        return self._columns[metric] or array("d", itertools.repeat(_UNKNOWN, len(self._numbers)))

    def copy(self) -> Rounds:
        """These samples, without those that are added later."""
        made = Rounds(most=self._most, launches=self.launches)
        made._launches, made.unit = self._launches[:], self.unit
        made._numbers, made._started, made._sequence = self._numbers[:], self._started[:], self._sequence[:]
        made._columns = {metric: values[:] for metric, values in self._columns.items()}
        return made

    def __len__(self) -> int:
        return len(self._numbers)

    def values(self, metric: MetricKey) -> list[float]:
        """The known values of a metric."""
        return [value for value in self._values(metric) if value == value]

    def numbered(self, metric: MetricKey) -> list[tuple[int, float]]:
        """The number of each round with its value, where that is known."""
        return [(number, v) for number, v in zip(self._numbers, self._values(metric), strict=True) if v == v]

    def zeros(self, metric: MetricKey) -> int:
        """The number of values that have no ratio: 0, such as the gap of tokens that arrived together."""
        return sum(value <= 0 for value in self._values(metric))

    def launches_of_pairs(self, other: Rounds, metric: MetricKey) -> list[tuple[int, int]]:
        """The launches of both servers in each of the rounds that both have a value of, by number."""
        theirs = dict(zip(other._numbers, zip(other._launches, other._values(metric), strict=True), strict=True))
        mine = sorted(zip(self._numbers, self._launches, self._values(metric), strict=True))
        both = ((launch, value, *theirs[number]) for number, launch, value in mine if number in theirs)
        return [(one, two) for one, a, two, b in both if a == a and b == b]

    def pairs(self, other: Rounds, metric: MetricKey) -> list[tuple[float, float]]:
        """The values of the same rounds if the two took turns, each round done before the next one started; else []."""
        mine, theirs = self._values(metric), other._values(metric)
        starts: Sequence[float] = self._started
        others: Sequence[float] = other._started
        if 0 not in self._sequence and 0 not in other._sequence:
            starts, others = self._sequence, other._sequence
        if self._numbers != other._numbers or list(self._numbers) != sorted(self._numbers):
            at = {number: place for place, number in enumerate(other._numbers)}
            places = sorted((number, place) for place, number in enumerate(self._numbers) if number in at)
            mine, starts = (array("d", [column[place] for _, place in places]) for column in (mine, starts))
            theirs, others = (array("d", [column[at[number]] for number, _ in places]) for column in (theirs, others))
        if not took_turns(starts, others):
            return []
        return [(a, b) for a, b in zip(mine, theirs, strict=True) if a == a and b == b]


def as_rounds(samples: Rounds | Sequence[Iteration]) -> Rounds:
    """The same samples in columns."""
    return samples if isinstance(samples, Rounds) else Rounds(samples)


def _seconds(started_utc: str) -> float:
    """An instant in seconds; 0 if it is none, as in a damaged history."""
    try:
        return datetime.datetime.fromisoformat(started_utc).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return float(started_utc)
    except ValueError:
        return 0.0
