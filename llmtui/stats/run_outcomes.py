"""The result of comparing two runs: of each backend, of all of them together, and what else differs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from llmtui.model import Struct
from llmtui.stats.checks import Leading, Level
from llmtui.stats.compare import Basis, Comparison
from llmtui.stats.correction import holm
from llmtui.stats.metrics import MetricKey

#: The p-value at or below which more failures in B are not chance.
_CHANCE = 0.05


class Outcome(Struct, frozen=True):
    """Backend `a` of run A and `b` of run B, compared by a comparable metric (`leading`).

    `n_*` count samples of `metric`: the comparable one, or the requested one if there is none. `median_*` are their
    medians (s or tokens/s). The comparisons have the names `names`: "A" and "B", or the two backends of one run.

    `plain` compares the samples of the two runs as they are. `comparison` is what can be decided. It is the same within
    one run. Between runs its basis is "runs", and it is relative to the backends `others` if there are any (then
    `mutual` says that it may be the other one that changed), or it stands on several runs of each side, or on the
    spread between `earlier` runs, also where these show that it was the others that changed. Else its basis is "apart",
    and nothing is decided. `reference`: the others are compared with this backend, and it has no comparison of its own.
    `sentence` is plain text: the result, or why there is none.

    `failed_*` of the `tried_*` measured iterations gave no sample; if a backend gave up, its remaining iterations count
    as failed. `one_launch`: llmtui launched the server once in each run, and nothing tells how much launches differ.
    `failing_p` is the p of more failures in B (Fisher's exact test, one-sided), corrected for the number of
    backends (Holm).
    """

    a: str
    b: str
    names: tuple[str, str]
    leading: Leading
    metric: MetricKey
    n_a: int
    n_b: int
    median_a: float | None
    median_b: float | None
    comparison: Comparison | None
    sentence: str
    failed_a: int = 0
    failed_b: int = 0
    tried_a: int = 0
    tried_b: int = 0
    failing_p: float = 1.0
    plain: Comparison | None = None
    others: list[str] = []
    mutual: bool = False
    reference: bool = False
    runs: tuple[int, int] = (1, 1)
    earlier: int = 0
    one_launch: bool = False

    @property
    def failing(self) -> float:
        """The share of failed iterations in B minus that in A (-1 to 1)."""
        shares = [f / t if t else 0.0 for f, t in ((self.failed_a, self.tried_a), (self.failed_b, self.tried_b))]
        return shares[1] - shares[0]

    @property
    def fails_more(self) -> bool:
        """Whether B is shown to fail more often than A."""
        return self.failing > 0 and self.failing_p <= _CHANCE

    @property
    def basis(self) -> Basis | None:
        """What the comparison stands on; None without one."""
        return self.comparison.basis if self.comparison is not None else None

    @property
    def slowdown(self) -> tuple[float, float | None, float | None] | None:
        """The time of B as a multiple of A's, with its interval; None without samples.

        Without ends if there are too few samples, or if no interval holds between runs.
        """
        if self.plain is None:
            return None
        whole = self._of_b(self.plain)
        return whole if self.plain.basis != "apart" else (whole[0], None, None)

    @property
    def relative(self) -> tuple[float, float | None, float | None] | None:
        """The same relative to the others, always with its interval if there are enough samples."""
        return self._of_b(self.comparison) if self.others and self.comparison is not None else None

    @property
    def change(self) -> tuple[float, float | None, float | None] | None:
        """What is decided: the relative slowdown, or else the plain one."""
        return self.relative or self.slowdown

    @property
    def shown(self) -> str:
        """ "slower" or "faster" if B is shown to be, relative to the others if there are any; else ""."""
        if self.comparison is None or not self.comparison.decided:
            return ""
        return "slower" if self.comparison.slower == self.names[1] else "faster"

    def _of_b(self, both: Comparison) -> tuple[float, float | None, float | None]:
        if both.slower == self.names[1]:
            return both.ratio, both.low if both.bounded else None, both.high if both.bounded else None
        return 1 / both.ratio, 1 / both.high if both.bounded else None, 1 / both.low if both.bounded else None


class Common(Struct, frozen=True):
    """What the backends have in common with which the others are compared.

    `ratio` is the geometric mean of their slowdowns, `low` and `high` are the least and the greatest. `shown` is
    "slower" or "faster" if each of them is: by the interval over several runs of each side, or else beyond the noise
    within the runs. `real` says whether it is more than runs alike differ (if nothing is shown, their mean), None if
    the runs cannot tell it from a change of the machine.
    """

    backends: list[str]
    ratio: float
    low: float
    high: float
    shown: str
    real: bool | None
    sentence: str


class Difference(Struct, frozen=True):
    """What affects the comparison of one backend (A's name), or of all if `backend` is "". Texts are plain text."""

    code: str
    level: Level
    backend: str
    text: str
    todo: str = ""


class Across(Struct, frozen=True):
    """Two runs compared. `rest_a` and `rest_b` are the backends without a counterpart.

    `runs` are the ids of the compared runs of either side, oldest first. `common` has an item for each metric by
    which backends are compared with one another.
    """

    metric: MetricKey
    level: float
    outcomes: list[Outcome]
    rest_a: list[str]
    rest_b: list[str]
    differences: list[Difference]
    runs: tuple[list[str], list[str]] = ([], [])
    common: list[Common] = []


def with_failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """These outcomes, each with its `failing_p`."""
    ps = holm([failures_p(o.failed_a, o.tried_a, o.failed_b, o.tried_b) for o in outcomes])
    return [msgspec.structs.replace(o, failing_p=p) for o, p in zip(outcomes, ps, strict=True)]


def failures_p(failed_a: int, tried_a: int, failed_b: int, tried_b: int) -> float:
    """The probability of at least `failed_b` failures in B if every iteration is equally likely to fail (Fisher)."""
    failed = failed_a + failed_b

    def ways(of: int, taken: int) -> float:
        """The logarithm of the binomial coefficient, which itself is too large for a float."""
        return math.lgamma(of + 1) - math.lgamma(taken + 1) - math.lgamma(of - taken + 1)

    all_ways = ways(tried_a + tried_b, failed)
    most = min(failed, tried_b)
    chances = (math.exp(ways(tried_b, n) + ways(tried_a, failed - n) - all_ways) for n in range(failed_b, most + 1))
    return min(1.0, math.fsum(chances))
