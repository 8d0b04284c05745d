"""What changed in one backend beyond what changed in the others: a difference in differences.

A machine that is slower in run B makes all backends slower alike. In each run, round by round, the logarithm of a
backend's time is taken less the mean of the others' in the same round. The machine is in both and cancels; what
remains of run B is compared with what remains of run A. The rounds of one run belong together, those of two runs do
not, so the two are independent groups (llmtui.stats.run_changes).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

from llmtui.stats.compare import Comparison
from llmtui.stats.correction import holm
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds
from llmtui.stats.run_changes import Change

#: A backend with less than this share of the rounds of another one is not compared with it.
_ENOUGH = 0.5
_DIGITS = 12

#: The samples of one run, by a key for each backend.
OfRun = Mapping[int, Rounds]


@dataclasses.dataclass(frozen=True)
class Relative:
    """The change of a backend relative to `others`. `comparison` is None if it is the only reference itself.

    `mutual`: these two are compared with each other alone, so the data cannot show which of them changed.
    """

    comparison: Comparison | None
    others: list[int]
    mutual: bool = False


def in_turns(runs: Sequence[OfRun], metric: MetricKey) -> list[int]:
    """The keys of backends that took turns with one another in every run, as many as possible; [] for fewer than two.

    Those with far fewer rounds than others, and those with zeros, which have no logarithm, are left out.
    """
    keys = [key for key in runs[0] if all(_enough(run, key, metric) for run in runs)]
    met = {
        key: {other for other in keys if other != key and all(run[key].pairs(run[other], metric) for run in runs)}
        for key in keys
    }
    group: list[int] = []
    for key in sorted(keys, key=lambda key: -len(met[key])):
        if met[key].issuperset(group):
            group.append(key)
    return sorted(group) if len(group) > 1 else []


def relative_changes(
    keys: Sequence[int], same: Collection[int], change: Callable[[int, Sequence[int]], Change], level: float
) -> dict[int, Relative]:
    """The change of each backend relative to the others, corrected for their number (Holm).

    `same` are those whose setup is the same in both runs: if there are any, they alone are the reference. A backend
    that is shown to differ most is taken out of the reference of the others, then the next one, while more than two
    remain: otherwise a slowdown of one would look like a smaller speedup of all others. `change` makes the change of a
    backend relative to others.
    """
    reference = [key for key in keys if key in same] or list(keys)
    while len(reference) > 2:
        tests = _tests(keys, reference, change)
        ps = _corrected(tests)
        differing = [key for key in reference if ps.get(key, 1.0) <= 1 - level]
        if not differing:
            break
        reference.remove(max(differing, key=lambda key: abs(tests[key][1].whole.estimate)))
    tests = _tests(keys, reference, change)
    ps = _corrected(tests)
    count = len({_identity(key, others) for key, (others, _) in tests.items()})
    found: dict[int, Relative] = {}
    for key in keys:
        if reference == [key]:
            found[key] = Relative(None, [])
        if key not in tests:
            continue
        others, made = tests[key]
        mutual = key in reference and len(reference) == 2
        found[key] = Relative(made.comparison(ps[key], count), others, mutual)
    return found


def beyond(run: OfRun, key: int, others: Sequence[int], metric: MetricKey) -> list[float]:
    """Round by round, the logarithm of a backend's time less the mean of the others'; more is slower."""
    mine, *rest = (_logs(run[k], metric) for k in (key, *others))
    complete = [number for number in mine if all(number in column for column in rest)]
    # Rounded, as the last bits of equal ratios differ, and ranks would count that.
    return [round(mine[n] - statistics.fmean([column[n] for column in rest]), _DIGITS) for n in complete]


def logs(rounds: Rounds, metric: MetricKey) -> list[float]:
    """The logarithms of a backend's times; more is slower, also of a rate. [] if there is a zero, which has none."""
    return [] if rounds.zeros(metric) else list(_logs(rounds, metric).values())


def _logs(rounds: Rounds, metric: MetricKey) -> dict[int, float]:
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    return {number: sign * math.log(value) for number, value in rounds.numbered(metric)}


def _enough(run: OfRun, key: int, metric: MetricKey) -> bool:
    counts = {k: len(rounds.values(metric)) for k, rounds in run.items()}
    return counts[key] > 0 and counts[key] >= _ENOUGH * max(counts.values()) and not run[key].zeros(metric)


_Tests = dict[int, tuple[list[int], Change]]


def _tests(keys: Sequence[int], reference: Sequence[int], change: Callable[[int, Sequence[int]], Change]) -> _Tests:
    others = {key: [other for other in reference if other != key] for key in keys}
    tests = {key: (of, change(key, of)) for key, of in others.items() if of}
    # Where many iterations failed, no round may be complete.
    return {key: test for key, test in tests.items() if all([*test[1].a, *test[1].b])}


def _corrected(tests: _Tests) -> dict[int, float]:
    """The p of each backend, corrected for the number of different tests."""
    ps = {_identity(key, others): change.whole.p for key, (others, change) in tests.items()}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    return {key: corrected[_identity(key, others)] for key, (others, _) in tests.items()}


def _identity(key: int, others: Sequence[int]) -> Hashable:
    """Two backends that are compared with each other are one test."""
    return frozenset((key, *others)) if len(others) == 1 else key
