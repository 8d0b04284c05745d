"""The token timeline of one iteration: its arrivals over a time axis, and the gaps between them.

Each tick is an arrival with a timestamp. An arrival of several tokens is one tick, and the more tokens, the higher.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics

from llmtui.config.schema import Marker
from llmtui.model import Iteration
from llmtui.text.format import figure, plural
from llmtui.ui.charts.axes import Scale, scale_for
from llmtui.ui.charts.sparkline import GRID, bit_of, cell_of, sparkline
from llmtui.ui.layout import TIMELINE_LEAST_WIDTH
from llmtui.ui.text.spans import Line, Role, Span, width_of

#: A gap of more than this many times the median ITL is long.
LONG = 3.0
#: Rows of the timeline without the plot of its gaps, which needs at least three more.
ROWS = 4
_PLOT_FROM = 8


@dataclasses.dataclass(frozen=True)
class Gap:
    """A long gap between two arrivals, in ns since the request was written. `token` is the first one after it."""

    start_ns: int
    end_ns: int
    token: int

    @property
    def length_ns(self) -> int:
        """The length of the gap in ns."""
        return self.end_ns - self.start_ns


@dataclasses.dataclass(frozen=True)
class Arrivals:
    """The arrivals of an iteration: times in ns since the request was written, and the tokens of each.

    `reported` is the server's count of output tokens.
    """

    times_ns: list[int]
    tokens: list[int]
    reported: int | None
    in_one_piece: bool = False

    @classmethod
    def of(cls, iteration: Iteration) -> Arrivals:
        """Return the arrivals of `iteration`; an arrival without a count has one token."""
        times = iteration.arrivals_ns
        tokens = [max(1, count) for count in iteration.arrival_tokens[: len(times)]]
        return cls(times, tokens + [1] * (len(times) - len(tokens)), iteration.output_tokens, iteration.in_one_piece)

    @property
    def wait(self) -> str:
        """What the time before the first arrival is called."""
        return "nothing for" if self.in_one_piece else "TTFT"

    @property
    def gaps_ns(self) -> list[int]:
        """The gaps between arrivals, in their order."""
        return [b - a for a, b in itertools.pairwise(self.times_ns)]

    @property
    def median_ns(self) -> float | None:
        """The median gap: this iteration's ITL."""
        return statistics.median(gaps) if (gaps := self.gaps_ns) and not self.in_one_piece else None

    @property
    def long(self) -> list[Gap]:
        """The gaps of more than `LONG` times the median, the longest first."""
        median = self.median_ns
        if median is None:
            return []
        least = LONG * median
        ends = itertools.accumulate(self.tokens)
        gaps = [
            Gap(a, b, before + 1)
            for (a, b), before in zip(itertools.pairwise(self.times_ns), ends, strict=False)
            if b - a > least
        ]
        return sorted(gaps, key=lambda gap: -gap.length_ns)

    @property
    def word(self) -> str:
        """What an arrival contains: tokens, or pieces of text if the server's count of tokens differs."""
        # The token that ends the answer has no text.
        return "token" if self.reported is None or 0 <= self.reported - sum(self.tokens) <= 1 else "piece"


def span_text(ns: float) -> str:
    """Format a duration with its unit."""
    return figure(ns / 1e9, "s")


def gap_text(arrivals: Arrivals) -> str:
    """Describe the longest gap, if it is long: "longest gap 84 ms at token 23 (6.8x ITL)"; else empty."""
    if not (long := arrivals.long) or not (median := arrivals.median_ns):
        return ""
    gap = long[0]
    return f"longest gap {span_text(gap.length_ns)} at {arrivals.word} {gap.token} ({gap.length_ns / median:.1f}x ITL)"


def summary(iteration: Iteration, width: int, marker: Marker) -> Line:
    """Summarise the timeline in one line: as many facts as fit, the most important first."""
    arrivals = Arrivals.of(iteration)
    most = max(arrivals.tokens)
    count = f"{plural(sum(arrivals.tokens), arrivals.word)} in {plural(len(arrivals.times_ns), 'arrival')}"
    many = len(arrivals.long)
    digits = marker in ("dot", "ascii") and len(arrivals.times_ns) > 1
    facts: list[Span] = [
        (gap_text(arrivals), "warn"),
        (f"ITL {span_text(arrivals.median_ns)}" if arrivals.median_ns is not None else "", ""),
        (count + (f", at most {most} in one" if most > 1 else ""), ""),
        (f"{arrivals.wait} {span_text(arrivals.times_ns[0])}", ""),
        (f"{many} gaps over {LONG:g}x ITL" if many > 1 else "", "warn"),
        (_reasoning(iteration), ""),
        ("a digit counts the tokens in its cell" if digits else "", "dim"),
        (f"{'kernel' if iteration.stamp == 'kernel' else 'client'} timestamps" if iteration.stamp else "", "dim"),
    ]
    line: list[Span] = []
    for text, role in facts:
        if width_of(line) + len(text) > width and not line:
            text = text.partition(" (")[0]
        if text and width_of(line) + len(text) + (3 if line else 0) <= width:
            line += [(";  " if line else "", "dim"), (text, role)]
    return tuple(line)


def _reasoning(iteration: Iteration) -> str:
    ttft, ttfo = iteration.ttft_s, iteration.ttfo_s
    return f"reasoning until {span_text(ttfo * 1e9)}" if ttft and ttfo and ttfo > ttft else ""


def drawn(iteration: Iteration, width: int, height: int, marker: Marker, role: Role) -> list[Line]:
    """Draw the timeline in at most `height` rows: ticks, then summary, axis and gaps if there is room."""
    arrivals = Arrivals.of(iteration)
    if width < TIMELINE_LEAST_WIDTH or height < 1:
        return []
    if not arrivals.times_ns:
        return [(("this answer has no arrival times", "dim"),)]
    scale = scale_for(0.0, arrivals.times_ns[-1] / 1e6, width, across=True)
    plot = height - ROWS - 2 if height >= _PLOT_FROM and len(arrivals.times_ns) > 2 else 0
    rows = 2 if height > ROWS and marker in ("braille", "fhd") else 1
    ticks = _ticks(arrivals, scale, width, rows, marker, role)
    words, axis = summary(iteration, width, marker), _axis(scale, width)
    if height == 1:
        return ticks
    if height < ROWS:
        return [words, *ticks, axis] if height == 3 else [*ticks, axis]
    lines = [words, *ticks, *([_marks(arrivals, scale, width)] if arrivals.long else []), axis]
    spare = height - len(lines)
    if plot and spare >= 3:
        lines += _gap_plot(arrivals, width, spare, marker, role)
    return lines


def _ticks(arrivals: Arrivals, scale: Scale, width: int, rows: int, marker: Marker, role: Role) -> list[Line]:
    across, down = GRID[marker]
    columns: dict[int, int] = {}
    for at_ns, tokens in zip(arrivals.times_ns, arrivals.tokens, strict=True):
        x = min(width * across - 1, max(0, round(scale.at(at_ns / 1e6) * across)))
        columns[x] = columns.get(x, 0) + tokens
    most = max(columns.values())
    cells: list[list[Span]] = [[(" ", "")] * width for _ in range(rows)]
    # The marks between the ticks are in the last row.
    for x, span in enumerate(_bar(min(columns) // across, arrivals.wait, span_text(arrivals.times_ns[0]))):
        cells[-1][x] = span
    for gap in arrivals.long:
        start, end = (round(scale.at(ns / 1e6) * across) // across for ns in (gap.start_ns, gap.end_ns))
        for x in range(start + 1, min(width, end)):
            cells[-1][x] = ("╌", "warn")
    if across == 1:
        for x, tokens in columns.items():
            cells[-1][x] = ("│" if tokens == 1 else str(tokens) if tokens < 10 else "#", role)
    else:
        bits: dict[tuple[int, int], int] = {}
        for x, tokens in columns.items():
            for level in range(max(1, -(-tokens * rows * down // most))):
                y = rows * down - 1 - level
                at = (y // down, x // across)
                bits[at] = bits.get(at, 0) | bit_of(x, y, marker)
        for (y, x), filled in bits.items():
            cells[y][x] = (cell_of(filled, marker), role)
    return [_joined(row) for row in cells]


def _bar(cells: int, word: str, time: str) -> list[Span]:
    """The time to the first arrival over `cells` cells, with its name and value if there is room."""
    for name in (f" {word} {time} ", f" {time} "):
        if len(name) + 2 <= cells:
            left = (cells - 2 - len(name)) // 2
            text = "├" + "─" * left + name + "─" * (cells - 2 - len(name) - left) + "┤"
            break
    else:
        text = "├" + "─" * (cells - 2) + "┤" if cells >= 2 else "─" * cells
    return [(character, "accent") for character in text]


def _marks(arrivals: Arrivals, scale: Scale, width: int) -> Line:
    """The lengths of the long gaps, each below its gap; one that would overlap a longer one is left out."""
    row = [" "] * width
    for nth, gap in enumerate(arrivals.long):
        at = min(width - 1, round(scale.at((gap.start_ns + gap.end_ns) / 2e6)))
        name = span_text(gap.length_ns) + (f" at {arrivals.word} {gap.token}" if not nth else "")
        text, start = f"^ {name}", at
        if start + len(text) > width:
            text, start = f"{name} ^", at - len(name) - 1
        around = slice(max(0, start - 1), start + len(text) + 1)
        if start >= 0 and start + len(text) <= width and not any(c != " " for c in row[around]):
            row[start : start + len(text)] = text
    return (("".join(row), "warn"),)


def _axis(scale: Scale, width: int) -> Line:
    """Labels that begin at their ticks (the last one ends there), with the unit."""
    seconds = scale.high >= 2000
    row = [" "] * width
    end = -1
    ticks = [t for t in scale.ticks if scale.cell(t) < width]
    for tick in ticks:
        text = f"{tick / 1000 if seconds else tick:.6g}"
        if tick == ticks[-1] or len(text) + 3 > width - scale.cell(tick):
            text += " s" if seconds else " ms"
        start = min(scale.cell(tick), width - len(text))
        if start > end:
            row[start : start + len(text)] = text
            end = start + len(text)
    return (("".join(row), "dim"),)


def _gap_plot(arrivals: Arrivals, width: int, height: int, marker: Marker, role: Role) -> list[Line]:
    """Plot the gaps in the order of the arrivals, with a title and a line at their median, in `height` rows."""
    gaps, median = arrivals.gaps_ns, arrivals.median_ns
    assert median is not None
    words = f"gap before each arrival: {span_text(min(gaps))} to {span_text(max(gaps))}"
    line = f", the line is the median {span_text(median)}"
    points = [(n, gap / 1e6) for n, gap in enumerate(gaps)]
    return [
        ((words + (line if len(words + line) <= width else ""), "dim"),),
        *sparkline(points, median / 1e6, width, height - 1, marker, role, len(gaps), extremes=True),
    ]


def _joined(cells: list[Span]) -> Line:
    """Join neighbours of the same role to one span."""
    return tuple(
        ("".join(text for text, _ in group), role) for role, group in itertools.groupby(cells, key=lambda cell: cell[1])
    )
