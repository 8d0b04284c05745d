"""Gives the parts of the main screen their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import Size

from llmtui.ui.layout import CHART_FOOT, Layout
from llmtui.ui.textual_internals import ToastRack

if TYPE_CHECKING:
    from llmtui.ui.screens.run import RunScreen


def apply(screen: RunScreen, layout: Layout, size: Size) -> None:
    """Set which parts of `screen` are displayed in a terminal of this size, and how high each is."""
    grid_rows = -(-(layout.lines or len(screen.view.names)) // layout.panel_columns)
    screen.panels.styles.grid_size_columns = layout.panel_columns
    screen.panels.styles.grid_size_rows = grid_rows
    screen.panels.styles.height = grid_rows * layout.panel_height
    screen.header.styles.height = layout.header
    screen.header.display = layout.header > 0
    table_shown = layout.table or screen.view.table_shown
    chart_shown = layout.charts > 0 and not (layout.shared and screen.view.table_shown)
    screen.charts.display = chart_shown
    screen.bars.display = layout.charts == 2
    screen.table.display = table_shown and layout.table_rows >= 2
    screen.table.styles.height = layout.table_rows
    screen.verdict_line.display = (
        layout.verdict_line if screen.table.display else layout.verdict_line_alone and chart_shown
    )
    table_rows = layout.table_rows * screen.table.display + screen.verdict_line.display
    bottom_rows = layout.ranking + layout.footer
    used = layout.header + grid_rows * layout.panel_height + layout.scrolls + table_rows + bottom_rows
    # Even an empty spacer takes a row.
    screen.spacer.display = not chart_shown and used < size.height
    screen.ranking.display = layout.ranking
    screen.footer.display = layout.footer
    # Toasts cover points of a chart: its axis and legend, table, verdict and keys stay in sight.
    margin = (table_rows + CHART_FOOT if chart_shown else 0) + bottom_rows
    screen.query(ToastRack).set_styles(f"margin-bottom: {margin};")
