"""Like for like: which metric may be compared where the work differed."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Struct
from llmtui.stats.checks.base import Check
from llmtui.stats.summary import Metric

#: What leads where the plain latency means nothing: per token first.
_PER_TOKEN: tuple[Metric, ...] = ("tokens_per_s", "itl")


class Leading(Struct, frozen=True):
    """The metric to compare by. `instead_of` is the one asked for where it is not comparable, with the `reason`."""

    metric: Metric | None
    instead_of: Metric | None = None
    reason: str = ""


def spoiled(checks: Sequence[Check], metric: Metric, one: str = "", two: str = "") -> Check | None:
    """The first check that makes `metric` not comparable: between two backends, or anywhere."""
    for check in checks:
        if metric in check.spoils and (not one or check.between(one, two)):
            return check
    return None


def leading_metric(checks: Sequence[Check], asked: Metric = "latency", one: str = "", two: str = "") -> Leading:
    """By which metric to compare these two backends (all, when none is named): the one asked for, if it is comparable.

    Else what counts per token: tokens/s, or ITL where token counts are guesses. None where nothing is comparable.
    """
    check = spoiled(checks, asked, one, two)
    if check is None:
        return Leading(metric=asked)
    instead = next((m for m in _PER_TOKEN if spoiled(checks, m, one, two) is None), None)
    return Leading(metric=instead, instead_of=asked, reason=check.text)
