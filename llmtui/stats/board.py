"""Who is ahead, and by how much: the best backend, and each one's ratio to it. Every table and sentence shows these.

The ratios are those of the verdict (llmtui.stats.compare): round by round if the backends took turns. They are not the
ratios of medians, which can be in another order.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from llmtui.model import Struct
from llmtui.stats.compare import Basis, Comparison, Measured, Samples, digits, measure, span_of
from llmtui.stats.correction import against_best
from llmtui.stats.levels import LEVEL_OF_MORE
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds, as_rounds

#: What a table shows in place of a ratio between unequal work.
DIFFERS = "differs"
#: And where a check of a load found that the measurement is wrong.
VOID = "void"
UNKNOWN = "-"
#: exp() of more overflows.
_MOST = 700.0


class Standing(Struct, frozen=True):
    """One backend on the board. `ratio` (1 or more) is to the best, with the interval `low` to `high`.

    `ratio` is None without one; `alike` is False if that is so because the work differed, or the measurement is `void`.
    The interval is None for the best itself, for too few samples, and if the two did not take turns.
    """

    name: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    alike: bool = True
    void: bool = False

    @property
    def figure(self) -> str:
        """The ratio in a table: "1.31", "differs", "void" or "-"."""
        if self.ratio is None:
            return UNKNOWN if self.alike else VOID if self.void else DIFFERS
        ends = (self.low, self.high) if self.low is not None and self.high is not None else (0.0, math.inf)
        return digits(self.ratio, *ends)[0]

    @property
    def span(self) -> str:
        """The interval in a table: "1.30 to 1.32", or "under 0.1%"; "" without one."""
        if self.ratio is None or self.low is None or self.high is None:
            return ""
        return span_of(self.ratio, self.low, self.high)


class Board(Struct, frozen=True):
    """The backends with samples by `metric`, from the best to the worst, then those without a ratio.

    `metric` is the one that was asked for if any two backends are comparable by it, else one per token, else None.
    `best` is the backend that no other is ahead of, "" if none was compared; `comparisons` are those with it, in the
    order of the ratios, corrected for its choice.
    """

    asked: MetricKey
    metric: MetricKey | None
    best: str
    standings: list[Standing]
    comparisons: list[Comparison]

    @property
    def instead(self) -> bool:
        """Whether the ratios are by another metric than the one that was asked for, or there are none."""
        return self.metric != self.asked

    def standing(self, name: str) -> Standing:
        """A backend's place by the metric of the board; without a ratio if it has none."""
        return next((s for s in self.standings if s.name == name), Standing(name))

    def row(self, name: str) -> Standing:
        """A backend's place in a table of the metric that was asked for."""
        standing = self.standing(name)
        if self.instead and any(s.name == name for s in self.standings):
            return Standing(name, alike=False, void=standing.void)
        return standing

    @property
    def beaten(self) -> bool:
        """Whether a backend is shown to be faster than the best: pairs can form a circle."""
        return any(c.decided and c.slower == self.best for c in self.comparisons)

    @property
    def fastest(self) -> str:
        """The best backend if it is shown to be faster than every one that it was compared with, else "".

        That is an intersection-union test: the uncorrected p of each comparison is within the level.
        """
        shown = self.comparisons and all(c.decided and c.faster == self.best for c in self.comparisons)
        return self.best if shown else ""


def deciding(
    names: Iterable[str],
    asked: MetricKey,
    choices: Sequence[MetricKey],
    comparable: Callable[[MetricKey, str, str], bool],
) -> MetricKey | None:
    """The metric by which any two of these backends are comparable: `asked`, else the first of `choices`, else None.

    For fewer than two backends it is `asked`.
    """
    pairs = list(itertools.combinations(names, 2))
    if not pairs:
        return asked
    return next((m for m in (asked, *choices) if any(comparable(m, *pair) for pair in pairs)), None)


def board(
    contenders: Mapping[str, Samples],
    asked: MetricKey,
    choices: Sequence[MetricKey],
    comparable: Callable[[MetricKey, str, str], bool],
    level: float,
    basis: Basis = "rounds",
    early: Collection[str] = (),
) -> Board:
    """Place these backends (name to samples) by `asked`, or by the first of `choices` by which any two are comparable.

    `comparable` is about the work. Without enough samples for an interval there is still a ratio. `basis` is "apart" if
    the backends were not asked to take turns. `early` are those whose answers ended early: of two groups of equal size
    that are comparable within themselves only, the best one is not of theirs.
    """
    samples = {name: as_rounds(of) for name, of in contenders.items()}
    metric = deciding(samples, asked, choices, comparable)
    if len(samples) < 2:
        valued = [name for name, iterations in samples.items() if any(iterations.values(asked))]
        alone = [Standing(name, 1.0 if name in valued else None) for name in samples]
        return Board(asked, asked, "".join(valued), alone, [])
    if metric is None:
        return Board(asked, None, "", [Standing(name, alike=False) for name in samples], [])
    race = _Race(samples, metric, lambda one, two: comparable(metric, one, two), level, basis, early)
    best = race.best()
    if not best:
        return Board(asked, metric, "", [Standing(name) for name in samples], [])
    others = [name for name in samples if name != best]
    compared = [c for _, c in race.against(best)]
    standings = {best: Standing(best, 1.0)}
    for c in compared:
        name = c.slower if c.faster == best else c.faster
        standings[name] = _standing(name, c, best)
    compared.sort(key=lambda c: standings[c.slower if c.faster == best else c.faster].ratio or 1.0)
    placed = sorted(standings.values(), key=lambda s: (s.name != best, s.ratio or 1.0))
    rest = [Standing(name, alike=comparable(metric, name, best)) for name in others if name not in standings]
    return Board(asked, metric, best, [*placed, *rest], compared)


def narrow(contenders: Mapping[str, Samples], within: float, metric: MetricKey = "latency") -> bool:
    """Whether the interval of every ratio to the best by `metric` is within `within` (0.05: 5%) of it on either side.

    False without samples, and while a difference may be chance among the number of backends. Backends that did not take
    turns get no verdict, so their interval alone is asked.
    """
    samples = {name: as_rounds(of) for name, of in contenders.items()}
    race = _Race(samples, metric, lambda *_: True, LEVEL_OF_MORE, "rounds")
    against = race.against(best) if len(samples) > 1 and (best := race.best()) else []
    return bool(against) and all(
        math.exp(min(_MOST, (m.whole.high - m.whole.low) / 2)) - 1 <= within
        and (c.basis == "apart" or ((c.decided or c.low <= 1) and c.could_show is not None))
        for m, c in against
    )


def _standing(name: str, c: Comparison, best: str) -> Standing:
    """A backend that is ahead of the best by their pair, though not by all pairs, has the ratio 1."""
    ratio, low, high = (c.ratio, c.low, c.high) if c.faster == best else (1.0, 1 / c.high, 1 / c.low if c.low else None)
    return Standing(name, ratio, low, high) if c.bounded and high is not None else Standing(name, ratio)


class _Race:
    """Pairs of backends by one metric, measured when they are needed."""

    def __init__(
        self,
        samples: Mapping[str, Rounds],
        metric: MetricKey,
        comparable: Callable[[str, str], bool],
        level: float,
        basis: Basis,
        early: Collection[str] = (),
    ) -> None:
        self._early = early
        self._samples = samples
        self._metric: MetricKey = metric
        self._comparable = comparable
        self._level = level
        self._basis: Basis = basis
        self._measured: dict[tuple[str, str], Measured | None] = {}

    def measured(self, one: str, two: str) -> Measured | None:
        """How far `one` is behind `two`; None if they are not comparable, or have no values to compare."""
        if (one, two) not in self._measured:
            groups = ((one, self._samples[one]), (two, self._samples[two]))
            alike = self._comparable(one, two)
            result = measure(*groups, self._metric, level=self._level, basis=self._basis) if alike else None
            self._measured[one, two] = result
        return self._measured[one, two]

    def against(self, best: str) -> list[tuple[Measured, Comparison]]:
        """The others against the best, corrected for its choice among those that took turns with it."""
        measured = [m for name in self._samples if name != best and (m := self.measured(name, best)) is not None]
        tested = [m for m in measured if m.basis != "apart"]
        ahead = len(tested) == len(measured) and all(m.whole.estimate > 0 for m in tested)
        ps = iter(against_best([m.whole.p for m in tested], ahead=ahead))
        return [(m, m.comparison(next(ps) if m.basis != "apart" else 1.0, rivals=len(tested) + 1)) for m in measured]

    def _behind(self, one: str, two: str) -> float | None:
        """The logarithm of how far `one` is behind `two`, below 0 if it is ahead."""
        if (measured := self._measured.get((one, two))) is not None:
            return measured.whole.estimate
        if (two, one) in self._measured:
            other = self._measured[two, one]
            return -other.whole.estimate if other is not None else None
        measured = self.measured(one, two)
        return measured.whole.estimate if measured is not None else None

    def best(self) -> str:
        """The backend that is comparable with most others, and that the fewest are ahead of, and by the least.

        Of several, it is the one with the best median, the `early` ones last. "" if no two have a ratio.
        """
        names = self._by_median()
        keys: dict[str, tuple[int, float]] = {}
        for name in names:
            behind = [self._behind(other, name) for other in names if other != name]
            ahead = [-b for b in behind if b is not None]
            keys[name] = (len(behind) - len(ahead), max(0.0, *ahead) if ahead else 0.0)
            if keys[name] == (0, 0.0):
                return name
        best = min(names, key=lambda name: keys[name], default="")
        return best if best and keys[best][0] < len(names) - 1 else ""

    def _by_median(self) -> list[str]:
        sign = -1 if METRICS[self._metric].higher_is_better else 1
        medians = {}
        for name, iterations in self._samples.items():
            if values := iterations.values(self._metric):
                medians[name] = sign * statistics.median(values)
        return sorted(medians, key=lambda name: (name in self._early, medians[name]))
