"""What can be decided on backends of two runs by one metric, and what all of them have in common."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Collection, Mapping, Sequence

import msgspec

from llmtui.model.spread import Between
from llmtui.stats.between import between, mean_of
from llmtui.stats.compare import Comparison, compare_pairs
from llmtui.stats.correction import holm
from llmtui.stats.metrics import MetricKey
from llmtui.stats.relative import OfRun, Relative, beyond, in_turns, logs, relative_changes
from llmtui.stats.run_changes import LEAST_RUNS, SIDES, Change
from llmtui.stats.run_outcomes import Common
from llmtui.stats.run_words import common_sentence


@dataclasses.dataclass(frozen=True)
class Judged:
    """What can be decided on one pair: see `Outcome`. `earlier` counts the runs that a spread is from."""

    plain: Comparison | None = None
    comparison: Comparison | None = None
    relative: Relative | None = None
    earlier: int = 0


@dataclasses.dataclass(frozen=True)
class Runs:
    """The samples of the runs of both sides, oldest first, by a key for each backend; the names of the backends.

    `same` are the keys of backends with the same setup in both. `earlier` are runs like those of A, from which the
    spread between runs is known; they may lack backends.
    """

    a: Sequence[OfRun]
    b: Sequence[OfRun]
    names: Mapping[int, str]
    metric: MetricKey
    level: float
    same: Collection[int] = ()
    earlier: Sequence[OfRun] = ()

    @property
    def several(self) -> bool:
        """Whether both sides have several runs."""
        return min(len(self.a), len(self.b)) >= LEAST_RUNS

    def judge(self) -> tuple[dict[int, Judged], list[Common]]:
        """What can be decided on each backend, and what the ones have in common that the others are compared with."""
        noise = self._within()
        own = self._own([key for key, both in noise.items() if both is not None])
        plain = {key: own.get(key, both and _undecided(both)) for key, both in noise.items()}
        keys = in_turns([*self.a, *self.b], self.metric)
        found = relative_changes(keys, [key for key in keys if key in self.same], self._relative, self.level)
        related = {key: of for key, of in found.items() if not self._told_alone(key, of, own)}
        judged = {}
        for key, both in plain.items():
            of = related.get(key)
            spread = self._spread(key, of.others if of is not None else ()) if both is not None else None
            judged[key] = Judged(both, both if of is None else of.comparison, of, spread.n if spread is not None else 0)
        return judged, self._common(related, len(found), noise, own)

    def _told_alone(self, key: int, of: Relative, own: Mapping[int, Comparison]) -> bool:
        """Whether a backend's own change tells more than the shown one relative to others, which may be the others'.

        So it does of two backends compared with each other, if it went the same way; and of any backend, if the others
        are shown to have gone the other way. Where the others are the reference by their setup, theirs is the machine.
        """
        if of.comparison is None or not of.comparison.decided or not {key, *of.others} <= own.keys():
            return False
        slower = of.comparison.slower
        if of.mutual and _went(own[key], slower):
            return True
        by_setup = key not in self.same and any(other in self.same for other in of.others)
        return not by_setup and all(own[k].decided and not _went(own[k], slower) for k in of.others)

    def _within(self) -> dict[int, Comparison | None]:
        """The newest runs of both sides, compared as if nothing but the noise within them differed."""
        groups = [((SIDES[0], self.a[-1][key]), (SIDES[1], self.b[-1][key])) for key in self.names]
        return dict(zip(self.names, compare_pairs(groups, self.metric, level=self.level, basis="runs"), strict=True))

    def _own(self, keys: Sequence[int]) -> dict[int, Comparison]:
        """The changes that are told from the machine by several runs, or by the spread between earlier ones."""
        changes = {key: made for key in keys if (made := self._alone(key)) is not None}
        ps = holm([change.whole.p for change in changes.values()])
        return {key: change.comparison(p, len(changes)) for (key, change), p in zip(changes.items(), ps, strict=True)}

    def _alone(self, key: int) -> Change | None:
        a, b = ([of for run in side if (of := logs(run[key], self.metric))] for side in (self.a, self.b))
        change = Change(self.metric, self.level, a, b, spread=self._spread(key))
        return change if change.by_t else None

    def _relative(self, key: int, others: Sequence[int]) -> Change:
        a, b = ([beyond(run, key, others, self.metric) for run in side] for side in (self.a, self.b))
        return Change(self.metric, self.level, a, b, spread=self._spread(key, others))

    def _spread(self, key: int, others: Sequence[int] = ()) -> Between | None:
        """The spread of a backend between earlier runs, relative to others if there are any; None if it is not known.

        Relative to others it is that of the launches of their servers, as the machine cancels out. If it is 0, the
        rounds alone decide.
        """
        if self.several:
            return None
        if not others:
            return between(
                [mean for run in self.earlier if key in run and (mean := mean_of(logs(run[key], self.metric)))]
            )
        groups = [run for run, keys in self._earlier_in_turns if keys.issuperset((key, *others))]
        means = [mean for run in groups if (mean := mean_of(beyond(run, key, others, self.metric))) is not None]
        spread = between(means)
        return spread if spread is not None and spread.tau > 0 else None

    @functools.cached_property
    def _earlier_in_turns(self) -> list[tuple[OfRun, set[int]]]:
        return [(run, set(in_turns([run], self.metric))) for run in self.earlier]

    def _common(
        self,
        found: Mapping[int, Relative],
        total: int,
        noise: Mapping[int, Comparison | None],
        own: Mapping[int, Comparison],
    ) -> list[Common]:
        keys = sorted({other for relative in found.values() for other in relative.others})
        within = {key: both for key in keys if (both := noise[key]) is not None}
        if not within:
            return []
        known = all(key in own for key in within)
        # "All are slower" is shown if each one is, which needs no correction (intersection-union, Berger 1982).
        each = known and _all_moved([own[key] for key in within])
        compared = [own[key] for key in within] if known and self.several else list(within.values())
        ratios = [c.ratio if c.slower == SIDES[1] else 1 / c.ratio for c in compared]
        shown = "" if not _all_moved(compared) else "slower" if ratios[0] > 1 else "faster"
        real = each or self._differ(keys) if known else None
        names = [self.names[key] for key in keys]
        return [
            Common(
                backends=names,
                ratio=statistics.geometric_mean(ratios),
                low=min(ratios),
                high=max(ratios),
                shown=shown,
                real=real,
                sentence=common_sentence(names, total, ratios, shown, real),
            )
        ]

    def _differ(self, keys: Sequence[int]) -> bool:
        """Whether these together differ by more than such runs do, which only several runs of each side show."""
        if not self.several:
            return False
        a, b = ([self._mean(run, keys) for run in side] for side in (self.a, self.b))
        change = Change(self.metric, self.level, a, b)
        return change.comparison(change.whole.p, 1).decided

    def _mean(self, run: OfRun, keys: Sequence[int]) -> list[float]:
        return [statistics.fmean(statistics.median(logs(run[key], self.metric)) for key in keys)]


def _went(own: Comparison, slower: str) -> bool:
    """Whether a backend's own change is shown, with the same side as the slower one."""
    return own.decided and own.slower == slower


def _all_moved(changes: Sequence[Comparison]) -> bool:
    """Whether the interval of each of them excludes 1, all on the same side."""
    return all(c.bounded and c.low > 1 for c in changes) and len({c.slower for c in changes}) == 1


def _undecided(both: Comparison) -> Comparison:
    """The ratio alone: the noise within two runs says nothing about the machine between them."""
    return msgspec.structs.replace(both, basis="apart", decided=False, low=0.0, high=math.inf, could_show=None)
