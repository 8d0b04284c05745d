"""The summary of an attempt as it grows: one more iteration costs the same at 10 iterations and at 100,000.

llmtui.stats.summary defines the figures; this module updates them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence

from llmtui.model import Iteration
from llmtui.stats.metrics import CHARTED, METRICS, MetricKey
from llmtui.stats.sorted_values import Sample
from llmtui.stats.summary import Summary, first_latency, outliers, percentile

#: The most stretches of a course: more than a screen has columns.
STRETCHES = 400

Points = tuple[tuple[int, float], ...]


class Counts(Sequence[int]):
    """Integers in ascending order, stored as the number of times that each occurs."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._n = 0

    def add(self, value: int) -> None:
        """Add one number."""
        self._times[value] = self._times.get(value, 0) + 1
        self._n += 1

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, at: int) -> int:  # type: ignore[override]
        for value in sorted(self._times):
            at -= self._times[value]
            if at < 0:
                return value
        raise IndexError(at)

    @property
    def median(self) -> float | None:
        """The median, None without numbers."""
        return float(percentile(self, 0.5)) if self._n else None

    @property
    def mean(self) -> float | None:
        """The mean, None without numbers."""
        return sum(value * times for value, times in self._times.items()) / self._n if self._n else None


class Course:
    """One metric over the iterations: the smallest and the largest value of each stretch, with their places.

    A stretch is one iteration at first. Its length doubles whenever there would be more stretches than `limit`.
    """

    def __init__(self, limit: int = STRETCHES) -> None:
        self._limit = limit
        self._size = 1
        self._places = (array("Q"), array("Q"))
        self._values = (array("d"), array("d"))

    def add(self, place: int, value: float) -> None:
        """Add the finite value of the iteration at `place`, which increases from call to call."""
        while place // self._size >= self._limit:
            self._halve()
        self._put(place, value, place, value)

    def _put(self, low_at: int, low: float, high_at: int, high: float) -> None:
        (lows_at, highs_at), (lows, highs) = self._places, self._values
        if not lows or lows_at[-1] // self._size != low_at // self._size:
            lows_at.append(low_at)
            lows.append(low)
            highs_at.append(high_at)
            highs.append(high)
            return
        if low < lows[-1]:
            lows_at[-1], lows[-1] = low_at, low
        if high > highs[-1]:
            highs_at[-1], highs[-1] = high_at, high

    def _halve(self) -> None:
        self._size *= 2
        old = list(zip(self._places[0], self._values[0], self._places[1], self._values[1], strict=True))
        self._places = (array("Q"), array("Q"))
        self._values = (array("d"), array("d"))
        for stretch in old:
            self._put(*stretch)

    @property
    def points(self) -> Points:
        """(place, value) in the order of the places: all at first, later at most two of each stretch."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[tuple[int, float]]:
        for low_at, low, high_at, high in zip(
            self._places[0], self._values[0], self._places[1], self._values[1], strict=True
        ):
            if low_at == high_at:
                yield low_at, low
            else:
                yield from sorted(((low_at, low), (high_at, high)))


class Running:
    """One attempt of one backend. `last` is its newest iteration, `last_failed` the newest measured one that failed.

    `warmups` counts the warm-ups, failed ones too.
    """

    def __init__(self, iterations: Iterable[Iteration] = ()) -> None:
        self.last: Iteration | None = None
        self.last_failed: Iteration | None = None
        self.measured = 0
        self.warmups = 0
        self._first: float | None = None
        self._warm = Sample()
        self._n = 0
        self._disturbed = 0
        self._samples: dict[MetricKey, Sample] = {metric: Sample() for metric in METRICS}
        self._courses: dict[MetricKey, Course] = {metric: Course() for metric in CHARTED}
        self._outputs = Counts()
        self._prompts = Counts()
        self._summary: Summary | None = None
        for iteration in iterations:
            self.add(iteration)

    def add(self, iteration: Iteration) -> None:
        """Add the next iteration, warm-up or measured, good or failed."""
        if self.last is None:
            self._first = first_latency(iteration)
        self.last = iteration
        if iteration.phase != "measured":
            self.warmups += 1
            self._summary = None
            if iteration.ok and iteration.latency_s is not None and math.isfinite(iteration.latency_s):
                self._warm.add(iteration.latency_s)
            return
        place = self.measured
        self.measured += 1
        self._summary = None
        for metric, sample in self._samples.items():
            value = METRICS[metric].of(iteration)
            if value is None or not math.isfinite(value):
                continue
            if (course := self._courses.get(metric)) is not None:
                course.add(place, value)
            if iteration.ok:
                sample.add(value)
        if not iteration.ok:
            self.last_failed = iteration
            return
        self._n += 1
        self._disturbed += iteration.disturbed
        if iteration.output_tokens is not None:
            self._outputs.add(iteration.output_tokens)
        if iteration.prompt_tokens is not None:
            self._prompts.add(iteration.prompt_tokens)

    @property
    def summary(self) -> Summary:
        """The summary of the iterations so far; computed on demand."""
        if self._summary is None:
            self._summary = Summary(
                n=self._n,
                errors=self.measured - self._n,
                disturbed=self._disturbed,
                output_tokens_median=self._outputs.median,
                prompt_tokens_median=self._prompts.median,
                outliers=outliers(self._samples["latency"].ordered),
                first_s=self._first,
                warmups=self._warm.spread(),
                **{metric: sample.spread() for metric, sample in self._samples.items()},
            )
        return self._summary

    def ordered(self, metric: MetricKey) -> Sequence[float]:
        """The values of the samples, ascending. Do not change them."""
        return self._samples[metric].ordered

    def points(self, metric: MetricKey) -> Points:
        """(place among the measured iterations from 0, value), thinned, for a metric in llmtui.stats.metrics.CHARTED.

        The outermost values are always included.
        """
        return self._courses[metric].points
