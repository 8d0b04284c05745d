"""Which parts the monitor shows at a terminal's size, and how high each is. All breakpoints are here."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

#: Two charts are side by side from this width on.
WIDE = 120
#: Narrower terminals show no chart, no table, and only the most important facts.
NARROW = 40
#: A smaller terminal shows a sentence that says so.
LEAST_WIDTH, LEAST_HEIGHT = 16, 4
#: The header has a second line from this height on.
TALL_HEADER = 20
#: What is not here, and what else runs, has a line from this height on.
PRESENCE_HEIGHT = 16

# --- The main screen's parts, in rows ---

#: A chart has at least this many, and this many before other parts get more.
CHART_MIN, CHART_GOOD = 7, 14
#: The turn under way has a strip below two charts from this height on: of at least this many rows, and at most.
STRIP_HEIGHT, STRIP_MIN, STRIP_MOST = 40, 4, 9
#: Above a strip a chart has at least this many: with fewer, values that differ by a half have one height.
CHART_ABOVE_STRIP = 10
#: The verdict has a line if it leaves the chart this many.
VERDICT_CHART = 12
#: A table of fewer (its heading included) is not shown.
TABLE_MIN = 2
#: The most lines that backends have before a chart takes room from them.
LINES_MOST = 12
#: The parts of a line with facts below it.
LINE_MOST = 3
#: The most rows of the verdict's line where a narrow terminal has them.
VERDICT_MOST = 3

# --- A backend's panel ---

#: Its least size with the facts that a line has, and its greatest height; it may be narrower beside a wide table.
PANEL_MIN, PANEL_MIN_WIDE, PANEL_ROWS, PANEL_MOST_ROWS = 24, 20, 8, 18
#: A smaller one is a line without a frame.
PANEL_LEAST_WIDTH, PANEL_LEAST_HEIGHT = 12, 4
#: The newest value has digits three rows high from this height on: it is in the table too, and charts need the rows.
PANEL_LARGE_DIGITS = 15
#: What does not fit beside something else has a row of its own from this many rows within the frame on.
PANEL_APART = 5

# --- Header, from this width on ---

#: The remaining time is called "about".
HEADER_ABOUT_WIDTH = 48
#: The error that llmtui itself adds.
HEADER_ERROR_WIDTH = 60
#: The model.
HEADER_MODEL_WIDTH = 90
#: Iterations and warm-ups in words.
HEADER_FACTS_WIDTH = 110

# --- A backend's line ---

#: On a narrower line the word "hidden" takes the place of the newest value.
LINE_HIDDEN_WIDTH = 60
#: From this width on, a backend's line has "median" and "tok/s" in full.
LINE_SPACIOUS_WIDTH = 100

# --- Charts ---

#: Rows below the points of a chart: axis, numbers, title, legend.
CHART_FOOT = 4
#: A smaller chart is not drawn.
CHART_LEAST_WIDTH, CHART_LEAST_HEIGHT = 16, 6
#: The legend of the bars says what the figure above them is from this width on.
LEGEND_FIGURE_WIDTH = 50

# --- The details of a backend ---

#: From these heights on: a footer, a row of facts (and a banner), two rows, all rows (and the verdict).
DETAILS_FOOTER, DETAILS_FACTS, DETAILS_MORE_FACTS, DETAILS_ALL_FACTS = 5, 8, 16, 30
#: The columns of the iterations are further apart from this width on.
SPACED_COLUMNS_WIDTH = 150
#: The timeline's title says what it shows, and since when, from these widths on.
TIMELINE_TITLE_WIDTH, TIMELINE_WHOLE_TITLE_WIDTH = 48, 76
#: The clocks are beside the answer from the first width on, with notes from the second on.
CLOCKS_SIDE_WIDTH, CLOCKS_WIDE_SIDE_WIDTH = 76, 120
#: The table of clocks says what each row is from this width on.
CLOCK_NOTES_WIDTH = 56
#: A timeline narrower than this is not drawn.
TIMELINE_LEAST_WIDTH = 8


# --- The trend page ---

#: Its chart has three fifths of the rows that it shares with the text, at most this many; with fewer rows none.
TREND_CHART_MOST, TREND_LEAST_ROWS = 24, 14
#: Its title names the keys from this width on.
TREND_TITLE_WIDTH = 60


def trend_chart_rows(rows: int) -> int:
    """Return how many of the `rows` of chart and text the chart of the trend page has."""
    return min(TREND_CHART_MOST, rows * 3 // 5) if rows >= TREND_LEAST_ROWS else 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """The parts of the main screen. A `panel_height` below 4 is a line; `charts` is how many are side by side."""

    form: Literal["panels", "lines", "tiny", "none"]
    panel_columns: int
    panel_height: int
    header: int
    charts: int
    chart_height: int
    #: Whether the table is shown without its key, and in how many rows.
    table: bool
    table_rows: int
    ranking: bool
    footer: bool
    #: The rows of the table on its key, where it takes the charts' place; 0 if all of it is shown anyway.
    whole_table_rows: int = 0
    #: How many backends have a line if not all have, else 0.
    lines: int = 0
    #: The rows of all panels or lines, with blank ones below them.
    backend_rows: int = 0
    #: The rows of what is to be said below the panels.
    notices: int = 0
    #: The rows of the verdict under the charts.
    verdict_line: int = 0
    #: The rows that the table of a load was to have, 0 in a race.
    load_rows: int = 0
    #: Whether the turn under way was to have a strip below the charts, and the rows that it has.
    strip_wanted: bool = False
    strip_rows: int = 0

    @property
    def scrolls(self) -> bool:
        """Whether only some of the backends are in sight, with a line that counts the others."""
        return self.lines > 0

    @property
    def shared(self) -> bool:
        """Whether the table takes the charts' place on its key."""
        return self.charts > 0 and self.whole_table_rows > 0


def layout_for(width: int, height: int, backends: int, notices: int = 0, load_rows: int = 0) -> Layout:
    """Return the layout for a terminal of `width` by `height` cells, with this many backends and rows of notices.

    Under a load the table has `load_rows` rows, of backends and levels; 0 in a race. Those of one level come first,
    and the others before a chart gets more than a good height.

    With up to twelve backends a larger terminal never shows less. So how many rows each part has follows from the
    height alone, and the width decides what a row holds. Rows go, in this order, to a line for each backend, a chart,
    the verdict, the table, and frames; the rest to charts, and a third to panels.
    """
    n = max(1, backends)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Layout("none", 1, 1, height, 0, 0, table=False, table_rows=0, ranking=False, footer=False)
    header = 2 if height >= TALL_HEADER else 1
    all_rows = (load_rows or n) + 1
    lines = min(n, LINES_MOST)
    room = height - header - 2 - notices - lines
    if width < NARROW or room < CHART_MIN:
        return _layout_without_chart(width, height, n, notices, load_rows)
    verdict = int(n > 1 and room > VERDICT_CHART)
    # Of more than two backends, or of several levels, it is too long for one line of a narrow terminal.
    verdict += ((n > 2 and width < WIDE) or (n > 1 and load_rows > n)) and room > VERDICT_CHART + 1
    room -= verdict
    chart = min(room, CHART_GOOD)
    room -= chart
    whole = (min(lines, load_rows) if load_rows else lines) + 1
    table = min(room, whole) if room >= TABLE_MIN else 0
    room -= table
    rows = lines
    if table == whole:
        missing = max(0, PANEL_ROWS - lines)
        if room < missing:
            rows = lines * min(LINE_MOST, (lines + room) // lines)
        else:
            extra = room - missing
            more = min(extra // 3, max(PANEL_MOST_ROWS, 2 * lines) - lines - missing)
            rows = lines + missing + more
            listed = min(extra - more, max(0, load_rows + 1 - table))
            table += listed
            chart += extra - more - listed
    columns, panel = _arranged(width, n, rows)
    scrolls = n > LINES_MOST and panel < PANEL_LEAST_HEIGHT
    blank = rows - (rows if scrolls else math.ceil(n / columns) * panel)
    wrapped = min(blank, VERDICT_MOST - verdict) if n > 2 and width < WIDE else 0
    return Layout(
        "panels" if panel >= PANEL_LEAST_HEIGHT else "lines", columns, panel, header,
        2 if width >= WIDE else 1, chart, table=table > 0, table_rows=table, ranking=True, footer=True,
        whole_table_rows=min(all_rows, chart + table) if table < all_rows else 0,
        lines=rows - 1 if scrolls else 0, backend_rows=rows - wrapped, notices=notices, verdict_line=verdict + wrapped,
    )  # fmt: skip


def with_strip(layout: Layout, height: int) -> Layout:
    """Return `layout` with a strip for the turn under way, if a terminal of this height has room.

    The charts give it a third of their rows.
    """
    strip = min(STRIP_MOST, max(STRIP_MIN, layout.chart_height // 3))
    if layout.charts < 2 or height < STRIP_HEIGHT or layout.chart_height - strip < CHART_ABOVE_STRIP:
        strip = 0
    charts = layout.chart_height - strip
    return dataclasses.replace(layout, chart_height=charts, strip_wanted=True, strip_rows=strip)


def _arranged(width: int, backends: int, rows: int) -> tuple[int, int]:
    """How many panels (or lines) are side by side in `rows` rows, and how high each is."""
    for grid in range(1, rows // PANEL_ROWS + 1):
        columns = math.ceil(backends / grid)
        if width // columns >= (PANEL_MIN if width < WIDE else PANEL_MIN_WIDE):
            return columns, rows // grid
    return 1, max(1, min(LINE_MOST, rows // backends))


def _layout_without_chart(width: int, height: int, n: int, notices: int, load_rows: int) -> Layout:
    """The layout of a terminal that is too low or too narrow for a chart."""
    header = 2 if height >= TALL_HEADER else 1
    rest = height - header - n - 2 - notices
    if width >= NARROW and rest > TABLE_MIN:
        # The table is below the lines, immediately if all of it fits, else on its key.
        rows = (load_rows or n) + 1
        whole = rest >= rows
        return Layout(
            "lines", 1, 1, header, 0, 0, table=whole, table_rows=min(rows, rest), ranking=True, footer=True,
            whole_table_rows=0 if whole else min(rows, rest), backend_rows=n, notices=notices,
        )  # fmt: skip
    footer, ranking = height >= n + 2, height >= n + 3
    if 1 + n > height:
        # One row more is for the line that counts the backends out of sight.
        bottom = 2 if width >= NARROW and height - 4 > TABLE_MIN else 0
        lines = max(1, height - 2 - bottom)
        return Layout(
            "tiny", 1, 1, 1, 0, 0, table=False, table_rows=0, ranking=bottom > 0, footer=bottom > 0, lines=lines,
            backend_rows=lines + 1,
        )  # fmt: skip
    return Layout(
        "tiny", 1, 1, 1, 0, 0, table=False, table_rows=0, ranking=ranking, footer=footer, backend_rows=n
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DetailsLayout:
    """How many rows each part of the details screen has; 0 if it is not shown.

    `side` is the width of the clocks' column beside the answer, 0 if they have none.
    """

    header: int
    facts: int
    table: int
    timeline: int
    texts: int
    log: int
    ranking: int
    footer: int
    side: int


def _fact_rows(width: int, height: int) -> int:
    if height < DETAILS_FACTS:
        return 0
    if height < DETAILS_MORE_FACTS:
        return 1
    if height < TALL_HEADER:
        return 2
    return 4 if height >= DETAILS_ALL_FACTS and width < WIDE else 3


def details_layout_for(width: int, height: int, banner: bool = False, log: bool = False) -> DetailsLayout:
    """Return the layout at a terminal's size: with a `banner`, or with the server's `log` in place of the answer."""
    header = 2 if height >= TALL_HEADER else 1
    footer = 1 if height >= DETAILS_FOOTER else 0
    ranking = 1 if height >= DETAILS_ALL_FACTS or (banner and height >= DETAILS_FACTS) else 0
    facts = _fact_rows(width, height)
    rest = height - header - footer - ranking - facts
    timeline = 0 if rest < 7 else 4 if rest < 12 else 5 if rest < 22 else 6 if rest < 28 else 9
    tail = 0 if rest < 28 else 5 if rest < 40 else 7
    left = rest - timeline - tail
    # The clocks need seven rows; beyond that, rows are worth more to the iterations.
    texts = 0 if left < 5 else min(round(left * 0.45), 7 + max(0, left - 24) // 4)
    table = left - texts
    if log and (texts or tail):
        texts, tail = 0, texts + tail
    return DetailsLayout(
        header,
        facts,
        table,
        timeline,
        texts,
        tail,
        ranking,
        footer,
        side=62 if width >= CLOCKS_WIDE_SIDE_WIDTH else 38 if width >= CLOCKS_SIDE_WIDTH else 0,
    )
