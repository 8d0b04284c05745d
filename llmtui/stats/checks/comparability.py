"""Like for like: which metric may be compared where the work differed."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Struct
from llmtui.stats.checks.base import Check
from llmtui.stats.summary import Metric

#: What leads where the plain latency means nothing. ITL does not: where the tokens were not counted, nobody knows how
#: many an arrival brought.
_PER_TOKEN: tuple[Metric, ...] = ("tokens_per_s", "tpot")
#: What leads in place of the TTFT, of which the prompt is the larger part.
_PER_PROMPT_TOKEN: tuple[Metric, ...] = ("prefill_tokens_per_s", *_PER_TOKEN)


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

    Else what counts per token: tokens/s (for the TTFT: prefill tokens/s). None where nothing is comparable.
    """
    check = spoiled(checks, asked, one, two)
    if check is None:
        return Leading(metric=asked)
    choice = _PER_PROMPT_TOKEN if asked == "ttft" else _PER_TOKEN
    fair = next((m for m in choice if spoiled(checks, m, one, two) is None), None)
    return Leading(metric=fair, instead_of=asked, reason=check.text)


def besides(checks: Sequence[Check], leading: Leading, one: str = "", two: str = "") -> list[Metric]:
    """What else counts per token between these two, where the metric asked for is not comparable; else nothing.

    Of what says the same twice (tokens/s and TPOT), the first.
    """
    if leading.instead_of is None:
        return []
    rates: tuple[Metric, ...] = ("tokens_per_s", "prefill_tokens_per_s")
    return [m for m in rates if m != leading.metric and spoiled(checks, m, one, two) is None]
