"""The verdict as lines: one for the monitor; a page of pairs, checks, and what each number means. Pure."""

from __future__ import annotations

import math

from llmtui.plain import plain
from llmtui.stats.compare import Comparison
from llmtui.stats.summary import METRIC_TITLES
from llmtui.stats.verdict import Verdict, times
from llmtui.ui.lines import Line, Role, Span, clip, fit, pad, width_of, wrap
from llmtui.ui.words import titled

#: A sign and a word for every level: none is told by colour alone.
_LEVELS: dict[str, tuple[str, Role]] = {"void": ("✗", "bad"), "warning": ("!", "warn"), "note": ("·", "dim")}
_NAMES_AT_MOST = 27
_MOST_LINES = 12
_DEFINITIONS = (
    ("1.31x slower", "the typical value of the one as a multiple of the other's; by tokens/s, of the time per token"),
    ("95 %: a to b", "the interval: drawn so, it holds the true ratio in 95 of 100 races"),
    ("rounds", "each backend once; compared round by round, what slows the machine for a while slows both and cancels"),
    ("could have shown", "the smallest difference that so many samples find four times out of five"),
    (
        "no difference shown",
        "the interval holds 1.0, or it may be chance among so many pairs (Holm)",
    ),
    ("iterations, n", "measured and good ones; warm-ups and failures are no samples, outliers are kept"),
    ("void", "the plain comparison means nothing: what counts per token leads"),
    ("warning", "this may explain the difference; a note is good to know"),
)


def said_line(verdict: Verdict, width: int) -> Line:
    """The verdict in one line: dim while the run goes on, with the intervals where there is room for them."""
    room = width - 2
    text = verdict.line if width_of([(verdict.line, "")]) <= room else verdict.brief
    gravest = next((c for c in verdict.checks if c.level == "void"), None)
    role: Role = "dim" if not verdict.done else "warn" if gravest is not None else "strong"
    return fit([(" ", ""), (clip(text, room), role)], width)


def page(verdict: Verdict, width: int, more_key: str = "") -> list[Line]:
    """All that there is to say, as long as it gets; `more_key` decides it by more rounds, "" where that cannot be."""
    room = max(20, width - 2)
    lines: list[Line] = []

    def say(text: str, role: Role = "", indent: int = 0) -> None:
        for number, piece in enumerate(wrap(text, room - indent, _MOST_LINES)):
            lines.append(((" " * (1 + indent + (2 if number else 0)), ""), (clip(piece, room - indent), role)))

    def head(text: str) -> None:
        if lines:
            lines.append(((" ", ""),))
        lines.append(((f" {text}", "title"),))

    head("What the data say" if verdict.done else "What the data say so far")
    if not verdict.pairs:
        say("nothing to compare yet: two backends with results make a pair", "dim")
    for text in verdict.sentences:
        say(text)
    undecided = [c for c in verdict.comparisons if not c.decided]
    if undecided and more_key:
        say(f"{more_key} adds rounds until every interval reaches no further than 5 % to either side", "dim")
    if shown := [c for c in verdict.comparisons if c.could_show is not None]:
        head(f"How many times slower, with its interval ({100 * verdict.level:.4g} %)")
        lines += plot(shown, room)
    head("Was it a fair race?")
    if not verdict.checks:
        say("nothing was found that speaks against it" if verdict.pairs else "there is no race yet", "good")
    for check in verdict.checks:
        sign, role = _LEVELS[check.level]
        say(f"{sign} {check.level} {check.code}: {check.text}", role)
        say(f"do: {check.todo}", "dim", 2)
    head("What the numbers mean")
    say(f"shown by {titled(verdict.metric)}; m shows the next metric", "dim")
    for word, meaning in _DEFINITIONS:
        say(f"{word}: {meaning}", "dim")
    return [fit(line, width) for line in lines]


def plot(comparisons: list[Comparison], width: int) -> list[Line]:
    """A row for each: `slower / faster`, and its interval on an axis of ratios on which 1.0 is marked."""
    metrics = {c.metric for c in comparisons}

    def name(c: Comparison) -> str:
        by = f" {METRIC_TITLES[c.metric]}" if len(metrics) > 1 else ""
        return f"{plain(c.slower, 40)} / {plain(c.faster, 40)}{by}"

    margin = min(_NAMES_AT_MOST, width // 3, max(width_of([(name(c), "")]) for c in comparisons))
    figures = [times(c.ratio) for c in comparisons]
    column = max(map(len, figures)) + 1
    cells = width - margin - column - 2
    low = min(1.0, *(c.low for c in comparisons))
    high = max(1.0, *(c.high for c in comparisons))
    low, high = math.log(low) - 0.01, math.log(high) + 0.01

    def at(ratio: float) -> int:
        return round((math.log(ratio) - low) / (high - low) * (cells - 1))

    one = at(1.0)
    lines: list[Line] = []
    for c, figure in zip(comparisons, figures, strict=True):
        left, middle, right = at(c.low), at(c.ratio), at(c.high)
        role: Role = "accent" if c.decided else "dim"
        spans: list[Span] = [(" " + pad(name(c), margin) + " ", "")]
        for cell in range(cells):
            mark: Span = (" ", "")
            if cell == middle:
                mark = ("●", role)
            elif cell in (left, right):
                mark = ("├" if cell == left else "┤", role)
            elif left < cell < right:
                mark = ("─", role)
            elif cell == one:
                mark = ("│", "rule")
            spans.append(mark)
        spans.append((figure.rjust(column), "strong" if c.decided else "dim"))
        lines.append(tuple(spans))
    scale = [" "] * cells
    for ratio in (1.0, math.exp(high - 0.01), math.exp(low + 0.01)):
        label = "1.0" if ratio == 1.0 else times(ratio)
        start = min(max(0, at(ratio) - len(label) // 2), cells - len(label))
        if all(cell == " " for cell in scale[max(0, start - 1) : start + len(label) + 1]):
            scale[start : start + len(label)] = label
    lines.append(((" " * (margin + 2), ""), ("".join(scale), "dim")))
    return lines
