"""The verdict: one line for the main screen, and a page of pairs, checks and definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtui.model import RESTING
from llmtui.stats.checks import Check
from llmtui.stats.compare import Comparison, percent
from llmtui.stats.levels import level_after
from llmtui.stats.load_words import tail_sentences
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.verdict import Pair, Verdict, sentences_on
from llmtui.stats.verdict_line import NEEDS_LAUNCHES, not_yet
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.charts.ratios import Ratio, draw_ratios
from llmtui.ui.text.spans import Line, Role, clip, fit, width_of, wrap
from llmtui.ui.views.typical import NAMES_AT_MOST, Typical, typical_table

if TYPE_CHECKING:
    from llmtui.runview.earlier import EarlierAttempt
    from llmtui.runview.run import RunView

#: Each level has a sign besides its colour.
_LEVELS: dict[str, tuple[str, Role]] = {"void": ("✗", "bad"), "warning": ("!", "warn"), "note": ("·", "dim")}
_MOST_LINES = 12
#: All pairs of this many samples are compared while the run goes on: some 50 ms.
_COST_WHILE_RUNNING = 10_000
#: The most lines that say who is ahead, and by how much.
_WHO_LINES = 4
#: The bars of the other pairs have their intervals in figures from this width on.
_SPANS_WIDTH = 76
_DEFINITIONS = (
    (
        "rounds",
        "each backend once; backends are compared round by round, so a slowdown of the machine affects both and "
        "cancels out",
    ),
    (
        "would reveal",
        "the smallest difference that this many samples show in 4 of 5 races, without outliers",
    ),
    ("*, ·", "in the table: shown to be fastest of those comparable to it; the best one, without a star"),
    ("differs", "in the table: not comparable with the best one, as the work differed"),
    ("no clear difference", "the interval contains 1, or a difference may be chance among this many backends"),
    (
        "median, mean",
        "each with its 95% interval; that of the mean needs ten samples, and may miss rare long ones",
    ),
    ("first", "the very first request, cold if the server had just been started; warm-ups are in no other figure"),
    (
        "outliers",
        "outside the middle half by more than three times its width, and by more than 10%; they are not dropped",
    ),
    ("iterations, n", "measured iterations without errors; warm-ups and failures do not count, outliers do"),
    ("void", "the plain comparison means nothing: the verdict uses a metric per token"),
    ("warning", "may explain the difference; a note is good to know"),
)


def verdict_lines(
    verdict: Verdict, width: int, height: int, key: str = "", earlier: Sequence[EarlierAttempt] = ()
) -> list[Line]:
    """Draw the verdict in at most `height` lines, with intervals if there is room; dim during the run.

    The newest of the `earlier` ones follows if there is room for it too, and stands alone as long as there is no
    other. If even that is too long, `key` (which opens all of it) is named where it is cut.
    """
    room = width - 2
    texts = [wrap(text, room, 99) for text in _with_earlier(verdict, key, earlier)]
    lines = next((each for each in texts if len(each) <= height), texts[-1])
    if len(lines) > height:
        more = f" … {key}: all" if key else " …"
        lines = [*lines[: height - 1], _whole_words(lines[height - 1], room - len(more)) + more]
    unlike = verdict.leading.instead_of is not None
    role: Role = "dim" if not (verdict.done and verdict.line) else "warn" if unlike else "strong"
    return [fit([(" ", ""), (text, role)], width) for text in lines]


def _with_earlier(verdict: Verdict, key: str, earlier: Sequence[EarlierAttempt]) -> list[str]:
    """The verdict in words, the longest form first."""
    if not earlier:
        return [verdict.line, verdict.brief]
    last = earlier[-1]
    if not verdict.line:
        return [last.sentence, last.short]
    more = [last.short, f"{key}: {last.title}"] if key else [last.short]
    whole = [f"{verdict.line}; {then}" for then in (last.sentence, *more)]
    return [*whole, verdict.line, *(f"{verdict.brief}; {then}" for then in more), verdict.brief]


def _whole_words(text: str, width: int) -> str:
    """The words of `text` that fit: a figure that is cut would be another figure."""
    while width_of([(text, "")]) > width and " " in text:
        text = text.rpartition(" ")[0]
    return clip(text, width).removesuffix("…").rstrip(" ,")


def awaited_line(run_view: RunView, width: int) -> Line:
    """Draw, before the first sample, how many rounds a verdict needs, or that the planned ones cannot decide."""
    planned = run_view.plan.config.iterations
    states = [backend_view.state.state for backend_view in run_view.backends.values()]
    racing = sum(state not in RESTING for state in states)
    text = not_yet(planned, racing, level_after(planned, 0, early=True))
    if text and run_view.plan.relaunches:
        text = f"no verdict yet: {NEEDS_LAUNCHES}"
    return fit([(" ", ""), (clip(text, width - 2), "dim")], width)


class _Page:
    """The lines of the page as they are added."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.room = max(20, width - 2)
        self.lines: list[Line] = []

    def add(self, text: str, role: Role = "", indent: int = 0, most: int = _MOST_LINES) -> None:
        """Add a text in at most `most` lines."""
        # All lines but the first are indented by two cells.
        for number, piece in enumerate(wrap(text, self.room - indent - 2, most)):
            blank = " " * (1 + indent + (2 if number else 0))
            self.lines.append(((blank, ""), (clip(piece, self.room - indent), role)))

    def at_most(self, lines: int) -> int:
        """Return how many lines take the room of `lines` lines of 78 cells."""
        return max(lines, math.ceil(lines * 78 / self.room))

    def title(self, text: str) -> None:
        """Add a title, apart from what is before it."""
        if self.lines:
            self.lines.append(((" ", ""),))
        self.lines.append(((f" {text}", "title"),))


def verdict_page(
    verdict: Verdict,
    width: int,
    more_key: str = "",
    typical: Sequence[Typical] = (),
    *,
    pairs_key: str = "",
    pairs: bool = False,
    earlier: Sequence[EarlierAttempt] = (),
    levels: Sequence[str] = (),
    checks: Sequence[Check] | None = None,
    found: Sequence[str] = (),
) -> list[Line]:
    """Draw the whole page: the answer in ten lines, then what it stands on, with the verdicts of `earlier` attempts.

    `found` are sentences on what a search has found, `levels` those on the other levels of a load, and `checks` are
    those at all of its levels.
    `more_key` is the key that adds rounds, "" if none can be added. `pairs_key` is the one that shows the `pairs`
    without the best backend too.
    """
    page = _Page(width)
    if found:
        page.title("What the search has found")
    for text in found:
        page.add(text)
    _answer(page, verdict, more_key)
    with_best = verdict.with_best if len(verdict.samples) > 1 else []
    if shown := [pair.comparison for pair in with_best if pair.comparison is not None and pair.comparison.bounded]:
        best = f"Ratio to {sanitize(verdict.board.best, 40)}" if verdict.board.best else "Ratio of each pair"
        page.title(f"{best}, with its interval ({percent(verdict.level)})")
        page.lines += plot(shown, page.room, verdict.used, spans=not _has_intervals(page, verdict))
    for text in sentences_on([pair for pair in with_best if _needs_words(pair)]):
        page.add(text)
    beside = verdict.beside if verdict.done or verdict.cost <= _COST_WHILE_RUNNING else []
    for text in [*beside, *verdict.shapes, *tail_sentences(verdict.tails)]:
        page.add(text)
    if verdict.board.best and len(verdict.samples) > 2:
        _others(page, verdict, pairs_key, pairs)
    attempts = [attempt.sentence for attempt in earlier]
    for title, texts in (("The other levels", levels), ("Earlier attempts", attempts)):
        if texts:
            page.title(title)
        for text in texts:
            page.add(text)
    load = verdict.at is not None
    page.title("Was it a fair comparison?" if load else "Was it a fair race?")
    checks = verdict.checks if checks is None else checks
    if not checks:
        nothing = "nothing to compare yet" if load else "no race yet"
        page.add("no fairness problems found" if with_best else nothing, "good")
    for check in checks:
        sign, role = _LEVELS[check.level]
        page.add(f"{sign} {check.level} {check.code}: {check.text}", role)
        if check.todo:
            page.add(f"fix: {check.todo}", "dim", 2)
    if typical:
        page.title(f"Typical values: {METRICS[verdict.metric].title}")
        page.lines += typical_table(typical, verdict.metric, page.room)
    page.title("What the numbers mean")
    page.add(_which_metric(verdict), "dim")
    for word, meaning in [*_examples(verdict), *_DEFINITIONS]:
        page.add(f"{word}: {meaning}", "dim")
    return [fit(line, width) for line in page.lines]


# --- The answer ---


def _answer(page: _Page, verdict: Verdict, more_key: str) -> None:
    """Who is fastest and by how much, how sure that is, and what to do: at most ten lines of 78 cells."""
    far = "" if verdict.done else " so far"
    where = f" at {verdict.at.title}" if verdict.at is not None else ""
    page.title(f"What the data say{where}{far}, by {METRICS[verdict.metric].title}")
    if len(verdict.samples) < 2:
        page.add("nothing to compare yet: a pair needs two backends with results", "dim")
        return
    page.add(verdict.line if _has_intervals(page, verdict) else verdict.brief, "strong", most=page.at_most(_WHO_LINES))
    page.add(f"how sure: {_how_sure(verdict)}", most=page.at_most(2))
    page.add(f"what to do: {'; '.join(_what_to_do(verdict, more_key))}", most=page.at_most(3))


def _has_intervals(page: _Page, verdict: Verdict) -> bool:
    """Whether there is room for the intervals in the answer; else they are beside the bars."""
    return len(wrap(verdict.line, page.room - 2, 99)) <= page.at_most(_WHO_LINES)


def _how_sure(verdict: Verdict) -> str:
    """What was compared, at which level, and how many of the differences are clear."""
    compared = verdict.board.comparisons
    if not compared:
        return "nothing could be compared"
    fewest = min(compared, key=lambda c: c.n)
    clear = sum(c.decided for c in compared)
    if len(compared) == 1:
        result = "the difference is clear" if clear else "the difference is not clear"
    else:
        share = f"{clear or 'none'} of {len(compared)}"
        if clear == len(compared):
            share = "both" if clear == 2 else f"all {clear}"
        result = f"{share} differences to {sanitize(verdict.board.best, 40)} {'is' if clear < 2 else 'are'} clear"
    if all(c.basis == "apart" for c in compared):
        return f"not at all: {fewest.count}, not in turns, so a change of the machine looks like a difference"
    level = percent(verdict.level)
    text = f"{result}; {level} intervals from {fewest.count}"
    if verdict.attempt > 1:
        text = f"{result}; attempt {verdict.attempt}, judged at {level}, from {fewest.count}"
    text += f"; no star: {verdict.withheld}" if verdict.withheld else ""
    return text + (f", the newest {verdict.rounds} only" if verdict.rounds else "")


def _what_to_do(verdict: Verdict, more_key: str) -> list[str]:
    """What to do next, the most useful first: more rounds, and the checks that may explain the difference."""
    steps = []
    serious = [check for check in verdict.checks if check.level != "note"]
    if more_key and any(not c.decided and c.basis != "apart" for c in verdict.board.comparisons):
        steps.append(f"{more_key} adds rounds until every interval of {METRICS[verdict.used].title} is within 5%")
    if serious:
        warned = all(check.level == "warning" for check in serious)
        count = plural(len(serious), "warning" if warned else "problem")
        codes = ", ".join(check.code for check in serious)
        steps.append(f"{count} may explain {'it' if len(serious) == 1 else 'this'} ({codes}, below)")
        steps += [f"first: {check.todo}" for check in serious if check.todo][:1]
    return steps or ["nothing: no problem was found" + ("" if verdict.done else " so far")]


# --- Pairs ---


def _needs_words(pair: Pair) -> bool:
    """Whether the bars do not say all of a pair: the work differed, another rate was compared too, or too few."""
    comparison = pair.comparison
    return comparison is None or not comparison.bounded or pair.leading.instead_of is not None or bool(pair.more)


def _others(page: _Page, verdict: Verdict, key: str, shown: bool) -> None:
    """The pairs without the best backend, on demand."""
    count = math.comb(len(verdict.samples) - 1, 2)
    if not shown:
        if key:
            page.add(f"{key} shows {'the pair' if count == 1 else f'all {count} pairs'} of the others too", "dim")
        return
    page.title("The others among themselves, corrected for all pairs")
    if not verdict.done and verdict.cost > _COST_WHILE_RUNNING:
        page.add("compared when the run is done", "dim")
        return
    others = verdict.among_others
    if drawn := [p.comparison for p in others if p.comparison is not None and p.comparison.bounded]:
        page.lines += plot(drawn, page.room, verdict.used, spans=page.room >= _SPANS_WIDTH)
    for text in sentences_on([pair for pair in others if _needs_words(pair)]):
        page.add(text)


# --- Words ---


def _which_metric(verdict: Verdict) -> str:
    """Which metric counts, and how the others are judged."""
    asked = METRICS[verdict.asked].title
    where = f" at {verdict.at.title}" if verdict.at is not None and verdict.counts else ""
    counts = f"{asked} counts{where}, as set before the race (metric in [run])"
    if verdict.counting not in (None, verdict.asked):
        counts = (
            f"{METRICS[verdict.counting].title} counts here, because the work differed; {asked} was set before the race"
        )
    return (
        f"shown by {METRICS[verdict.metric].title}; m shows the next metric. {counts}: only it gets a star. The others "
        f"are corrected together: each is judged at {percent(verdict.level_of_others)}"
    )


def _examples(verdict: Verdict) -> list[tuple[str, str]]:
    """What a ratio and its interval mean, by one of this run if there is one."""
    bounded = [c for c in verdict.board.comparisons if c.bounded]
    example = next((c for c in bounded if c.decided), bounded[0] if bounded else None)
    ratio, low, high = example.figures if example is not None else ("1.31", "1.30", "1.32")
    slower, faster = ("one backend", "the other")
    if example is not None:
        slower, faster = sanitize(example.slower, 40), sanitize(example.faster, 40)
    return [
        (
            f"{ratio}x",
            f"the typical value of {slower} divided by that of {faster}; for tokens/s, of the time per token",
        ),
        (
            f"95%: {low} to {high}",
            "the confidence interval: in 95 of 100 races it contains the true ratio, each by itself and not all of "
            "several together; before the end, after added rounds and for reruns it is a 99% interval or wider, so "
            "that a second look does not raise the error rate",
        ),
    ]


def plot(comparisons: list[Comparison], width: int, usual: MetricKey = "latency", *, spans: bool = False) -> list[Line]:
    """Draw a row for each pair: `slower / faster`, and its interval on an axis of ratios with a mark at 1.

    Metrics other than the `usual` one are named. With `spans`, the ends of the intervals are figures too.
    """

    def figure_of(c: Comparison) -> str:
        return f"{c.figures[0]} ({c.span})" if spans else c.figures[0]

    def row(c: Comparison) -> Ratio:
        by = f" {METRICS[c.metric].title}" if c.metric != usual else ""
        name = f"{sanitize(c.slower, 40)} / {sanitize(c.faster, 40)}{by}"
        return Ratio(name, c.low, c.ratio, c.high, c.decided, figure_of(c))

    return draw_ratios([row(c) for c in comparisons], width, NAMES_AT_MOST)
