"""The summary of an attempt as it grows: one more iteration costs the same at 10 iterations and at 100,000.

llmtui.stats.summary defines the figures; this module updates them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from llmtui.model import Iteration, Power
from llmtui.stats.course import Course, Points, Stretches
from llmtui.stats.metrics import CHARTED_OF_OBJECTIVES, METRICS, MetricKey
from llmtui.stats.sorted_values import Sample
from llmtui.stats.summary import Summary, first_latency, outliers, percentile

#: Figures of power that a summary has.
POWER = ("watts", "joules_per_token", "joules_per_token_above_idle")
_ENERGY, _ENERGY_ERROR = "joules_per_token", "joules_per_token_error"


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
        self._left_out = 0
        self._loaded = 0
        self._samples: dict[MetricKey, Sample] = {metric: Sample() for metric in METRICS}
        self._courses: dict[MetricKey, Course] = {metric: Course() for metric in CHARTED_OF_OBJECTIVES}
        self._outputs = Counts()
        self._prompts = Counts()
        self._power: dict[str, Sample] = {}
        #: The meters that the energies per token are of.
        self.meters: set[tuple[str, ...]] = set()
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
            if (latency_s := METRICS["latency"].value(iteration)) is not None and iteration.ok:
                self._warm.add(latency_s)
            return
        place = self.measured
        self.measured += 1
        self._summary = None
        for metric, sample in self._samples.items():
            value = METRICS[metric].of(iteration)
            if value is None:
                continue
            if not METRICS[metric].possible(value):
                self._left_out += iteration.ok
                continue
            if iteration.loaded:
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
        self._loaded += iteration.loaded
        if iteration.output_tokens is not None:
            self._outputs.add(iteration.output_tokens)
        if iteration.prompt_tokens is not None:
            self._prompts.add(iteration.prompt_tokens)
        if iteration.power is not None and not iteration.loaded:
            self._add_power(iteration.power)

    def _add_power(self, power: Power) -> None:
        if power.joules_per_token is not None:
            self.meters.add(tuple(power.meters))
        for name in (*POWER, _ENERGY_ERROR):
            value = getattr(power, name)
            if value is not None and math.isfinite(value):
                self._power.setdefault(name, Sample()).add(value)

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
                left_out=self._left_out,
                loaded=self._loaded,
                **{metric: sample.spread() for metric, sample in self._samples.items()},
                **{name: sample.spread() for name, sample in self._power.items() if name in POWER},
            )
        return self._summary

    def ordered(self, metric: MetricKey) -> Sequence[float]:
        """The values of the samples, ascending. Do not change them."""
        if metric == "energy_per_token":
            return self._power_values(_ENERGY)
        return self._samples[metric].ordered

    @property
    def energy_errors(self) -> Sequence[float]:
        """How far each energy per token may be off by when the meters were read (J/token), ascending."""
        return self._power_values(_ENERGY_ERROR)

    def _power_values(self, name: str) -> Sequence[float]:
        sample = self._power.get(name)
        return sample.ordered if sample is not None else ()

    def sample(self, metric: MetricKey) -> Sample:
        """The values of the samples with their sums. Do not change them."""
        return self._samples[metric]

    def points(self, metric: MetricKey) -> Points:
        """(place among the measured iterations from 0, value), thinned, for a metric in CHARTED_OF_OBJECTIVES.

        The outermost values are always included.
        """
        return self._courses[metric].points

    def stretches(self, metric: MetricKey) -> Stretches:
        """(place of the first, some values, ascending) of each stretch of iterations; empty while `points` has all."""
        return self._courses[metric].stretches
