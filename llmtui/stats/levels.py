"""How sure a result has to be: the level of a race, stricter for each further look at it, metric of it, or rerun."""

from __future__ import annotations

from collections.abc import Iterable

from llmtui.model import RESTING
from llmtui.stats.at_load import AtLoad
from llmtui.stats.correction import LEVEL
from llmtui.stats.metrics import CHARTED

#: The level after rounds were added until the intervals were narrow. That takes a second look, after one at `LEVEL`:
#: at this level both looks together err in 6% of races and not in 9% (tests.bench.calibration --until).
LEVEL_OF_MORE = 0.99
#: Peeking at results inflates the error rate: stopping at the first shown difference errs in 1% to 2% of races with
#: this share of errors spread over the planned rounds, be they 10 or 200 (tests.bench.calibration --early).
_EARLY_SHARE = 0.1
_EARLY_LEAST = 10
#: The share of errors of the second attempt, half of it for the third, and so on.
_RERUN_SHARE = 0.01
_MOST_ATTEMPTS = 30
#: Rounds are added up to this multiple of those planned.
MORE_TIMES = 10


def level_after(planned: int, made: int, *, early: bool = False) -> float:
    """The level to judge at after `made` of `planned` iterations of a backend.

    `early`: more iterations follow, or a backend was stopped before its end. Each look at the results can show a
    difference by chance, so looking early, or adding rounds until one shows, takes a wider interval.
    """
    looks = max(_EARLY_LEAST, planned)
    if made > planned:
        return 1 - _EARLY_SHARE / (MORE_TIMES * looks) if early else LEVEL_OF_MORE
    return 1 - _EARLY_SHARE / looks if early or made < planned else LEVEL


def level_of_attempt(attempt: int) -> float:
    """The level at which this attempt is judged: each rerun is one more chance of a difference that is none.

    An attempt k of 2 and more errs in a share of 0.01 * 2^-(k-2), so all attempts together err in at most 7%.
    """
    return 1 - _RERUN_SHARE * 2.0 ** -(min(attempt, _MOST_ATTEMPTS) - 2) if attempt > 1 else LEVEL


def level_of(raced: Iterable[tuple[str, int]], planned: int, *, done: bool, attempt: int = 1) -> float:
    """The level of a race: `raced` has the state of each backend and the number of its measured iterations.

    It is stricter during the race, if a backend was stopped before its end or while rounds were added, and for a rerun:
    `attempt` is the highest of those compared.
    """
    backends = list(raced)
    made = max((measured for _, measured in backends), default=0)
    # A backend that still runs when the run is over was stopped with it.
    stopped = [measured for state, measured in backends if measured and (state == "stopped" or state not in RESTING)]
    early = not done or any(n < planned or made > planned for n in stopped)
    return max(level_after(planned, made, early=early), level_of_attempt(attempt))


def level_of_others(level: float, at: AtLoad | None = None, *, counting: bool = False) -> float:
    """The level of each metric besides the one that counts: together they err as often as that one (Bonferroni).

    A load of several levels spends half of these errors on the metric that counts at the other levels (`counting`), and
    half on the other metrics at all levels.
    """
    if at is None:
        return 1 - (1 - level) / (len(CHARTED) - 1)
    # The attainment is compared too, by differences.
    levels, others = at.load.most_levels, len(at.judged) - 1 + at.objectives
    if levels < 2:
        return 1 - (1 - level) / others
    return 1 - (1 - level) / 2 / (levels - 1 if counting else levels * others)
