"""A gate for CI: does B stay within a given slowdown of A, does it break it, or can the runs not tell?

A gate holds only if the data exclude a slowdown of that size (non-inferiority): the upper end of the interval is below
it. A difference that was not shown is no evidence that nothing became slower.
"""

from __future__ import annotations

from llmtui.stats.checks.launches import SMALL_LAUNCH_SHARE
from llmtui.stats.run_differences import TO_TELL, launch_difference
from llmtui.stats.run_outcomes import Across, Common, Outcome


def gate(result: Across, percent: float) -> tuple[list[str], list[str]]:
    """Sentences on what breaks a gate of `percent`, and on what the data leave open.

    B breaks it if it is shown to be slower with a ratio above the gate, if it is shown to fail more often, or if only A
    has samples. A ratio that launches of the same server may have is open if each run launched the server once. It
    holds if the interval ends below the gate. Everything else is open: also one run of each without
    anything to tell the machine from the backend, a share of failures that grew by more than `percent` points but maybe
    by chance, and a slowdown that all backends have in common, as that may be the machine.
    """
    limit = 1 + percent / 100
    broken = [o for o in result.outcomes if _breaks(o, limit)]
    open_ = [o for o in result.outcomes if o not in broken and _leaves_open(o, limit)]
    common_broken = [c.sentence for c in result.common if _common_breaks(c, limit)]
    common_open = [c.sentence for c in result.common if c.sentence not in common_broken and c.ratio > limit]
    return [*(o.sentence for o in broken), *common_broken], [*map(_open_sentence, open_), *common_open]


def _breaks(outcome: Outcome, limit: float) -> bool:
    if outcome.fails_more or (outcome.n_a and not outcome.n_b):
        return True
    change = outcome.change
    if outcome.one_launch:
        limit = max(limit, 1 + SMALL_LAUNCH_SHARE)
    return outcome.shown == "slower" and change is not None and change[0] > limit and not _other_is_faster(outcome)


def _leaves_open(outcome: Outcome, limit: float) -> bool:
    if outcome.failing > limit - 1:
        return True
    if outcome.reference:
        return False
    if outcome.comparison is None or outcome.change is None:
        return True
    high = outcome.change[2]
    return high is None or high >= limit


def _other_is_faster(outcome: Outcome) -> bool:
    """Whether, of two backends that are compared with each other, the other one rather became faster in B.

    The times of both contain the change of the machine: the one whose own time changed more is the likelier one.
    """
    if not outcome.mutual or outcome.plain is None or outcome.relative is None:
        return False
    own, relative = outcome.slowdown, outcome.relative
    return own is not None and own[0] ** 2 < relative[0]


def _open_sentence(outcome: Outcome) -> str:
    if outcome.basis == "apart":
        return f"{outcome.sentence}; {TO_TELL}"
    if outcome.one_launch and outcome.shown == "slower":
        launches = launch_difference()
        return f"{outcome.sentence}; {launches.text}: {launches.todo}"
    return outcome.sentence


def _common_breaks(common: Common, limit: float) -> bool:
    return common.real is True and common.shown == "slower" and common.ratio > limit
