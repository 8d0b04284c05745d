"""The verdict on one line: who is ahead, by how much, and what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.model.plan import LEAST_LAUNCHES
from llmtui.stats.board import Board
from llmtui.stats.compare import Comparison, percent
from llmtui.stats.correction import LEVEL, cannot_decide, rounds_to_decide
from llmtui.stats.levels import level_of_attempt, level_of_others
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize
from llmtui.text.format import plural

if TYPE_CHECKING:
    from llmtui.stats.verdict import Verdict

#: What a verdict on launches needs.
NEEDS_LAUNCHES = f"needs {LEAST_LAUNCHES} launches"
_NAME = 40
#: A ratio below this is 1.00 in two decimals.
_EQUAL = 1.005


def verdict_line(verdict: Verdict, *, spans: bool) -> str:
    """The best backend against the others; "" for fewer than two backends with samples.

    By another metric than the one that counts, it starts with "also". Under a load it names the level: "at 8 streams a
    gives 1.24 times the output tokens/s of b (95%: 1.18 to 1.31)".
    """
    if len(verdict.samples) < 2:
        return ""
    line = start = _start(verdict, spans)
    if verdict.board.metric is not None:
        line += "; " * bool(line) + _body(verdict, spans)
    if verdict.at is None:
        return line if verdict.counts else f"also, {line}"
    claim = not start and _shown(verdict.board)
    # No level of a search counts: the metric that was asked for is the first one there.
    first = verdict.counts or (bool(verdict.at.load.search) and verdict.metric == verdict.asked)
    return f"{'at' if first else 'also at'} {verdict.at.title}{' ' if claim else ': '}{line}"


def _start(verdict: Verdict, spans: bool) -> str:
    """Why the line is about another metric than the one that was asked for; "" if it is not."""
    placed = verdict.board
    if not placed.instead:
        return ""
    reason = f": {verdict.leading.reason}" if spans or placed.metric is None else ""
    return f"not comparable by {METRICS[verdict.metric].title}{reason}"


def _body(verdict: Verdict, spans: bool) -> str:
    placed = verdict.board
    assert placed.metric is not None
    if not placed.comparisons:
        zeros = _zeros(verdict)
        return f"nothing to compare by {METRICS[placed.metric].title}" + (f": {', '.join(zeros)}" if zeros else "")
    if placed.beaten:
        return "no clear winner: every backend is slower than another one"
    # A race is about the latency unless it says otherwise; a load is not.
    by = METRICS[placed.metric].by if verdict.at is None else f" by {METRICS[placed.metric].title}"
    empty, unlike = _left_out(verdict)
    no_result = _zeros(verdict) + ([f"no result of {', '.join(empty)}"] if empty else [])
    shown = _shown(placed)
    in_turns = [c for c in placed.comparisons if c.basis != "apart"]
    if not shown:
        rest = [f"not comparable by {METRICS[placed.metric].title}: {', '.join(unlike)}"] if unlike else []
        if in_turns:
            return "; ".join([_undecided(verdict, by), *_not_in_turns(placed), *no_result, *rest])
        return "; ".join([_apart(verdict, by), *no_result, *rest])
    parts = []
    for number, c in enumerate(shown):
        at = f"{percent(verdict.level)}: " if number == 0 else ""
        words = _multiple(c, first=number == 0) if verdict.at is None else _advantage(verdict, c, by, first=number == 0)
        parts.append(words + (f" ({at}{c.span})" if spans and not c.tiny else ""))
    rest = [*_open(placed), *_not_in_turns(placed), *no_result]
    rest += [f"not comparable to {', '.join(unlike)}"] if unlike else []
    line = ", ".join([*parts, *rest])
    if verdict.at is None:
        return f"{_head(verdict, by, len(shown))}: {line}"
    withheld = verdict.withheld if verdict.counts and len(shown) == len(placed.comparisons) else ""
    return line + (f"; no star: {withheld}" if withheld else "")


def _shown(placed: Board) -> list[Comparison]:
    """The comparisons with the best that show a difference; none if a backend is shown to be faster than the best."""
    return [] if placed.beaten else [c for c in placed.comparisons if c.decided]


def _advantage(verdict: Verdict, comparison: Comparison, by: str, *, first: bool) -> str:
    """ "a gives 1.24 times the output tokens/s of b", "a is 1.24 times as fast as b by TTFT"; next "1.31 times ..."."""
    name, ratio = sanitize(comparison.slower, _NAME), comparison.figures[0]
    best = f"{sanitize(comparison.faster, _NAME)} " if first else ""
    far = "" if verdict.done or not first else " so far"
    if comparison.tiny:
        return f"{best}differs{far} by {comparison.span} from {name}{by if first else ''}"
    metric = METRICS[comparison.metric]
    if metric.rate:
        of = f"the {metric.title} of" if first else "those of"
        return f"{best}{'gives' if first else ''}{far} {ratio} times {of} {name}".strip()
    return f"{best}{'is' if first else ''}{far} {ratio} times as fast as {name}{by if first else ''}".strip()


def _head(verdict: Verdict, by: str, shown: int) -> str:
    """ "a is fastest", "a is fastest of the 3 comparable ones", "a is ahead so far", "a is ahead (under 0.1%)"."""
    placed = verdict.board
    unlike = sum(not standing.alike for standing in placed.standings)
    starred = verdict.counts and not verdict.withheld and shown == len(verdict.samples) - 1 - unlike
    group = f" of the {shown + 1} comparable ones" if starred and unlike else ""
    far = "" if verdict.done else " so far"
    # That a pair did not take turns is said of the pair.
    all_shown = verdict.counts and shown == len(placed.comparisons)
    reason = f" ({verdict.withheld})" if verdict.withheld and all_shown else ""
    return f"{sanitize(placed.best, _NAME)} is {'fastest' if starred else 'ahead'}{by}{group}{far}{reason}"


def _multiple(comparison: Comparison, *, first: bool) -> str:
    """ "b takes 1.31x as long" for the first backend, "c 2.40x" for the next; of a rate "1.31x as many as b"."""
    name, ratio = sanitize(comparison.slower, _NAME), comparison.figures[0]
    if comparison.tiny:
        return f"{name} differs by {comparison.span}"
    if METRICS[comparison.metric].rate:
        return f"{ratio}x as many as {name}"
    takes = "took" if comparison.basis == "apart" else "takes"
    return f"{name} {takes} {ratio}x as long" if first else f"{name} {ratio}x"


def _apart(verdict: Verdict, by: str) -> str:
    """What can be said without turns: the ratios, and that the machine may explain them."""
    placed, far = verdict.board, "" if verdict.done else " so far"
    assert placed.metric is not None
    count = min(placed.comparisons, key=lambda c: c.n).count
    ordered = verdict.basis == "apart"
    start = "in this order " if ordered else ""
    turns = "" if ordered else ", but not in turns"
    if all(c.ratio < _EQUAL for c in placed.comparisons):
        metric = METRICS[placed.metric]
        same = f"gave as many {metric.title}" if metric.rate else f"took as long{by}"
        return f"{start}all {same}{far}{turns} ({count}); the machine may explain it"
    ratios = ", ".join(_multiple(c, first=number == 0) for number, c in enumerate(placed.comparisons))
    best = sanitize(placed.best, _NAME)
    return f"{start}{best} was ahead{by}{far}{turns}: {ratios} ({count}); the machine may explain it"


def _open(placed: Board) -> list[str]:
    """Phrases on the backends that the best one is not shown to be faster than."""
    tied: list[str] = []
    open_: list[str] = []
    for c in placed.comparisons:
        if not c.decided and c.basis != "apart":
            (tied if c.low <= 1 and c.could_show is not None else open_).append(_other(placed, c))
    parts = [f"no clear difference to {', '.join(tied)}"] if tied else []
    return parts + ([f"no verdict on {', '.join(open_)}"] if open_ else [])


def _not_in_turns(placed: Board) -> list[str]:
    """A phrase on the backends that did not take turns with the best one."""
    names = [_other(placed, c) for c in placed.comparisons if c.basis == "apart"]
    return [f"not in turns with {', '.join(names)}"] if names else []


def _other(placed: Board, comparison: Comparison) -> str:
    """The name of the backend that this comparison with the best one is about."""
    return sanitize(comparison.slower if comparison.faster == placed.best else comparison.faster, _NAME)


def _zeros(verdict: Verdict) -> list[str]:
    """Which backends have values of 0, which have no ratio: "a has 0 in 6 of 6 turns"."""
    metric = verdict.board.metric
    assert metric is not None
    unit = "turn" if verdict.at is not None else "iteration"
    return [
        f"{sanitize(name, _NAME)} has 0 in {zeros} of {plural(len(rounds.values(metric)), unit)}"
        for name, rounds in verdict.samples.items()
        if (zeros := rounds.zeros(metric))
    ]


def _left_out(verdict: Verdict) -> tuple[list[str], list[str]]:
    """The names of backends that have no ratio to the best: for lack of values, and because the work differed."""
    placed = verdict.board
    assert placed.metric is not None
    without = [standing for standing in placed.standings if standing.ratio is None]
    empty = [
        sanitize(standing.name, _NAME)
        for standing in without
        if standing.alike and not verdict.samples[standing.name].zeros(placed.metric)
    ]
    return empty, [sanitize(standing.name, _NAME) for standing in without if not standing.alike]


def _undecided(verdict: Verdict, by: str) -> str:
    compared = [c for c in verdict.board.comparisons if c.basis != "apart"]
    yet = "" if verdict.done else " yet"
    least = min(compared, key=lambda c: (c.bounded, c.could_show is not None, c.n))
    if not least.bounded or least.could_show is None:
        return _too_few(verdict, least, by)
    if any(c.low > 1 for c in compared):
        few = min(compared, key=lambda c: c.n)
        return f"no verdict{by}{yet}: {few.count} are too few{few.among}"
    most = max(compared, key=lambda c: c.could_show or 0.0)
    return f"no clear difference{by}{yet} ({most.limit})"


def _too_few(verdict: Verdict, least: Comparison, by: str) -> str:
    """How many rounds are needed, or that the planned ones are too few."""
    if not least.paired:
        return f"no verdict{by}{'' if verdict.done else ' yet'}: {least.limit}"
    if least.basis == "launches":
        if verdict.done:
            return f"no verdict{by}: {least.limit}; {LEAST_LAUNCHES} launches can decide"
        return f"no verdict{by} yet: {NEEDS_LAUNCHES}"
    if verdict.done:
        return f"no verdict{by}: {least.limit}; {rounds_to_decide(verdict.level)} can decide"
    final = level_of_attempt(verdict.attempt)
    final = final if verdict.counts else level_of_others(final)
    return not_yet(verdict.planned, verdict.rivals, verdict.level, by, final)


def not_yet(planned: int, backends: int, level: float, by: str = "", final: float = LEVEL) -> str:
    """ "no verdict yet: needs 8 rounds", or that the planned ones cannot decide; "" for fewer than two backends.

    `level` is the one before the end, `final` the one at the end.
    """
    if backends < 2:
        return ""
    if never := cannot_decide(planned, backends, final):
        return never
    return f"no verdict{by} yet: needs {min(planned, rounds_to_decide(level))} rounds"
