"""The comparison of two runs in words that claim no more than the runs show. All texts are plain text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from llmtui.model import STATE_WORDS
from llmtui.stats.checks.base import listed
from llmtui.stats.compare import Comparison, percent, zeros_in
from llmtui.stats.metrics import METRICS
from llmtui.stats.run_outcomes import Outcome
from llmtui.stats.verdict import Contender
from llmtui.text import sanitize
from llmtui.text.format import percent_text, plural

_NAME = 40
_SENTENCE = 600
#: The most names of other backends in a sentence.
_MOST_OTHERS = 3


def sentence(outcome: Outcome, contenders: tuple[Contender, Contender], head: str) -> str:
    """The result of one backend, or why there is none. `head` is "" for two backends of one run."""
    return sanitize(_result(outcome, contenders, head) + _failing(outcome), _SENTENCE)


def title(a: str, b: str) -> str:
    """A backend of two runs: "x", or "old in A, new in B"."""
    return sanitize(a, _NAME) if a == b else f"{sanitize(a, _NAME)} in A, {sanitize(b, _NAME)} in B"


def common_sentence(backends: Sequence[str], total: int, ratios: Sequence[float], shown: str, real: bool | None) -> str:
    """What these of all `total` backends have in common; `ratios` are their slowdowns in B. See `Common`."""
    names = [sanitize(name, _NAME) for name in backends]
    every = f"{'both' if total == 2 else f'all {total}'} backends"
    who = f"{every if len(names) == total else listed(names)} {'is' if len(names) == 1 else 'are'}"
    mean = statistics.geometric_mean(ratios)
    ends = sorted(abs(ratio - 1) for ratio in (ratios if shown else [mean]))
    least, most = percent_text(ends[0]).removesuffix("%"), percent_text(ends[-1])
    size = most if f"{least}%" == most else f"{least} to {most}"
    average = "" if shown or len(names) == 1 else " on average"
    start = f"{who} {size} {'slower' if mean > 1 else 'faster'} in B{average}"
    if real is None:
        return f"{start}: that {'looks like' if shown else 'may be'} the machine"
    only = "" if shown or len(names) == 1 else ", but not shown of each of them"
    return f"{start}: {f'that is more than such runs differ{only}' if real else 'such runs differ as much'}"


def _result(outcome: Outcome, contenders: tuple[Contender, Contender], head: str) -> str:
    one, two = (sanitize(name, _NAME) for name in outcome.names)
    comparison, leading = outcome.comparison, outcome.leading
    head_of_pair = head or f"{one} and {two}: "
    before = ""
    if leading.instead_of is not None:
        # The evidence is among the differences.
        reason = leading.reason.partition(":")[0]
        before = f"not comparable by {METRICS[leading.instead_of].title} ({reason})"
        if leading.metric is None:
            return head_of_pair + before
        before += "; "
    assert leading.metric is not None
    if outcome.reference:
        return f"{head}{before}the others are compared with it, as its setup is the same in both runs"
    if comparison is None:
        why = _missing(outcome, contenders, one, two)
        return f"{head_of_pair}{before}nothing to compare{METRICS[leading.metric].by}: {why}"
    if head:
        return head + before + _between(outcome, comparison)
    # A shown difference within one run names both backends itself.
    return f"{'' if comparison.decided and not before else head_of_pair}{before}{_sanitized(comparison).outcome}"


def _sanitized(comparison: Comparison) -> Comparison:
    names = {"slower": sanitize(comparison.slower, _NAME), "faster": sanitize(comparison.faster, _NAME)}
    return msgspec.structs.replace(comparison, **names)


def _between(outcome: Outcome, c: Comparison) -> str:
    """What the runs show of one backend."""
    by = METRICS[c.metric].by
    if c.basis == "apart":
        return (
            f"{_claim(c, past=True)} between these two runs; one run of each cannot tell a change of the backend from "
            "one of the machine"
        )
    to = f" relative to {_others(outcome.others)}" if outcome.others else ""
    if not c.bounded or c.could_show is None:
        return (
            f"no verdict{by}: {_counted(outcome, c)} are too few{f' among {c.pairs} backends' if c.pairs > 1 else ''}"
        )
    _, low, high = c.figures
    stands = f" over {_counted(outcome, c)}" if outcome.earlier or max(outcome.runs) > 1 else ""
    figures = f"{_claim(c)}{',' if to else ''}{to} ({percent(c.level)}{stands}: {low} to {high})"
    if c.decided:
        which = "; two backends cannot show which of them changed" if outcome.mutual else ""
        return figures + which
    if c.low > 1:
        among = f" among {c.pairs} backends" if c.pairs > 1 else ""
        return f"no verdict: {figures}, which may be chance{among}; measure more"
    share = c.could_show - 1
    if share < 1e-9:
        return f"no clear change{by}{to} ({_counted(outcome, c)} show the same)"
    least = f"{100 * share:.2g}%" if share < 0.995 else f"{c.could_show:.{int(c.could_show < 10)}f}x"
    return f"no clear change{by}{to} ({_counted(outcome, c)} would reveal one of {least} or more)"


def _claim(c: Comparison, *, past: bool = False) -> str:
    """ "B takes 1.10x as long as A"; of a rate "A gives 1.10x as many tokens/s as B"."""
    ratio, metric = c.figures[0], METRICS[c.metric]
    if metric.rate:
        return f"{c.faster} {'gave' if past else 'gives'} {ratio}x as many {metric.title} as {c.slower}"
    return f"{c.slower} {'took' if past else 'takes'} {ratio}x as long as {c.faster}{metric.by}"


def _others(others: Sequence[str]) -> str:
    if len(others) > _MOST_OTHERS:
        return f"{len(others)} others"
    return listed(others)


def _counted(outcome: Outcome, c: Comparison) -> str:
    """What the comparison stands on: "10 rounds each", "5 and 4 runs", "10 iterations each and 8 earlier runs"."""
    if max(outcome.runs) > 1:
        first, second = outcome.runs
        return f"{first} runs each" if first == second else f"{first} and {second} runs"
    unit = "round" if outcome.others else "iteration"
    text = f"{c.n} and {c.n_more} {unit}s" if c.n_more > c.n else f"{plural(c.n, unit)} each"
    return f"{text} and {plural(outcome.earlier, 'earlier run')}" if outcome.earlier else text


def _failing(outcome: Outcome) -> str:
    """The end of a sentence if B fails more often, "" if it does not, or without a comparison to qualify."""
    if outcome.failing <= 0 or not (outcome.n_a and outcome.n_b):
        return ""
    one, two = (sanitize(name, _NAME) for name in outcome.names)
    before = f"{outcome.failed_a} of {outcome.tried_a}" if outcome.failed_a else "none"
    unsure = "" if outcome.fails_more else " (may be chance)"
    return f"; but {two} failed in {outcome.failed_b} of {outcome.tried_b} iterations, {one} in {before}{unsure}"


def _missing(outcome: Outcome, contenders: tuple[Contender, Contender], one: str, two: str) -> str:
    """Which backend has no samples, and why; or which one has zeros, which have no ratio."""
    if not outcome.n_a and not outcome.n_b:
        return "neither has samples"
    if outcome.n_a and outcome.n_b:
        counts = [contender.rounds.zeros(outcome.metric) for contender in contenders]
        return ", ".join(zeros_in(name, count) for name, count in zip((one, two), counts, strict=True) if count)
    name, state = (two, contenders[1].state) if outcome.n_a else (one, contenders[0].state)
    why = STATE_WORDS[state.state] + (f": {sanitize(str(state.failure), 200)}" if state.failure is not None else "")
    return f"{name} has no samples ({why})"
