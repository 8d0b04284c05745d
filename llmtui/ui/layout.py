"""Which parts the monitor shows at a terminal's size, and how high each is. All breakpoints are here."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

#: The wide form, with framed panels and two charts, from this size on.
WIDE, WIDE_ROWS = 120, 32
#: Narrower terminals show no chart, no table, and only the most important facts.
NARROW = 40
#: The header has a second line from this height on.
TALL_HEADER = 20
#: Narrowest panel that can carry the figures.
PANEL_MIN = 20
PANEL_MAX_HEIGHT = 16
#: A smaller panel is a line without a frame.
PANEL_LEAST_WIDTH, PANEL_LEAST_HEIGHT = 12, 4
#: Rows that a chart needs on the main screen.
CHART_MIN = 8
#: A table of fewer rows (its heading included) is not shown.
TABLE_MIN = 3
#: At least this many backends have a line before a chart takes room from them.
LINES_MIN = 6

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

# --- Charts ---

#: A smaller chart has no frame.
CHART_FRAME_WIDTH, CHART_FRAME_HEIGHT = 40, 12
#: Rows below the points of a framed chart: axis, numbers, title, legend, frame.
CHART_FOOT = 5
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


@dataclasses.dataclass(frozen=True)
class Layout:
    """The parts of the main screen. A `panel_height` of 1 is a line; `charts` is how many are side by side."""

    form: Literal["wide", "narrow", "tiny"]
    panel_columns: int
    panel_height: int
    header: int
    charts: int
    chart_height: int
    table: bool
    ranking: bool
    footer: bool
    #: Whether chart and table share one place.
    shared: bool = False
    #: How many rows the table may take.
    table_rows: int = 0
    #: How many backends have a line if not all have, else 0.
    lines: int = 0
    #: Whether the verdict has a line above the table, and one under the charts if they replace the table.
    verdict_line: bool = False
    verdict_line_alone: bool = False

    @property
    def scrolls(self) -> bool:
        """Whether only some of the backends are in sight, with a line that counts the others."""
        return self.lines > 0


def layout_for(width: int, height: int, backends: int) -> Layout:
    """Return the layout for a terminal of `width` by `height` cells and this many backends."""
    n = max(1, backends)
    table = n + 1
    verdict_line = n > 1
    if width >= WIDE and height >= WIDE_ROWS:
        rows = 1 if width // n >= PANEL_MIN else math.ceil(n * PANEL_MIN / width)
        columns = math.ceil(n / rows)
        rest = height - 4 - table - verdict_line
        if rows == 1:
            # 13 rows have room for the large digits; beyond that, rows are worth more to the charts.
            panel = max(8, min(PANEL_MAX_HEIGHT, round((rest + verdict_line) * 0.43)))
        else:
            panel = max(5, min(10, round(rest * 0.55 / rows)))
        chart = rest - panel * rows
        if chart >= CHART_MIN:
            return Layout(
                "wide", columns, panel, 2, 2, chart, table=True, ranking=True, footer=True, table_rows=table,
                verdict_line=verdict_line,
            )  # fmt: skip
    header = 2 if height >= TALL_HEADER else 1
    charts = 2 if width >= WIDE else 1
    rest = height - header - n - 2
    if width >= NARROW and rest >= CHART_MIN:
        both = rest - table - verdict_line - 1 >= CHART_MIN + 4
        alone = verdict_line and not both and rest > CHART_MIN + 4
        chart = rest - table - verdict_line - 1 if both else rest - alone
        return Layout(
            "narrow", 1, 1, header, charts, chart, table=both, ranking=True, footer=True, shared=not both,
            table_rows=min(table, rest), verdict_line=verdict_line and rest > table, verdict_line_alone=alone,
        )  # fmt: skip
    # One row more is for the line that counts the backends out of sight.
    room = height - header - 3
    lines = min(n, room - CHART_MIN, max(LINES_MIN, room // 2))
    if width >= NARROW and lines >= LINES_MIN:
        return Layout(
            "narrow", 1, 1, header, charts, room - lines, table=False, ranking=True, footer=True, shared=True,
            table_rows=min(table, room - lines), lines=lines,
        )  # fmt: skip
    if width >= NARROW and rest >= TABLE_MIN:
        # Too low for a chart: the table is below the lines, immediately if all of it fits, else on its key.
        return Layout(
            "narrow", 1, 1, header, 0, 0, table=rest >= table, ranking=True, footer=True, table_rows=min(table, rest)
        )
    header = 1 if height > 1 else 0
    footer, ranking = height >= n + 2, height >= n + 3
    if header + n > height:
        if width >= NARROW and room >= TABLE_MIN:
            return Layout("tiny", 1, 1, header, 0, 0, table=False, ranking=True, footer=True, lines=height - header - 3)
        lines = height - header - 1
        return Layout("tiny", 1, 1, header, 0, 0, table=False, ranking=False, footer=False, lines=max(1, lines))
    return Layout("tiny", 1, 1, header, 0, 0, table=False, ranking=ranking, footer=footer)


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
    timeline = 0 if rest < 7 else 4 if rest < 12 else 5 if rest < 22 else 6 if rest < 28 else 8
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
