"""Gives the parts of the main screen their places."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from textual.geometry import Size

from llmtui.model import FAILED
from llmtui.ui.layout import CHART_FOOT, PRESENCE_HEIGHT, Layout, layout_for, with_strip
from llmtui.ui.textual_internals import ToastRack
from llmtui.ui.widgets.panel import Panel

if TYPE_CHECKING:
    from llmtui.ui.screens.run import RunScreen
    from llmtui.ui.view_state import ViewState


def choose(screen: RunScreen, size: Size) -> Size:
    """Choose the layout for a terminal of this size, and whether the line about absent and other servers is displayed.

    Return the size that it leaves for the rest.
    """
    view = screen.view
    plan = view.run_view.plan
    screen.presence.display = bool(plan.absent or plan.others) and size.height >= PRESENCE_HEIGHT
    whole, size = size, Size(size.width, size.height - screen.presence.display)
    rows = load_rows(view)
    layout = dataclasses.replace(layout_for(*size, len(view.names), load_rows=rows), load_rows=rows)
    view.layout = with_strip(layout, whole.height) if _strip_wanted(view) else layout
    return size


def outdated(view: ViewState, figures_stale: bool) -> bool:
    """Whether the parts need other places: for the strip, or, if figures have changed, for the table of a load."""
    layout = view.layout
    return _strip_wanted(view) != layout.strip_wanted or (figures_stale and load_rows(view) != layout.load_rows)


def _strip_wanted(view: ViewState) -> bool:
    """Whether the newest turn is to have a strip: from the first turn of a load until the run has ended.

    It stays between two turns, so that the charts do not move with each of them.
    """
    return view.run_view.course is not None and view.phase in ("running", "paused")


async def match_panels(screen: RunScreen) -> None:
    """Mount or remove panels until each backend has one."""
    have, want = len(screen.panels.children), len(screen.view.names)
    if have < want:
        await screen.panels.mount(*(Panel(screen.view, index) for index in range(have, want)))
    elif have > want:
        await screen.panels.remove_children(list(screen.panels.children)[want:])


def panels_of(screen: RunScreen) -> list[Panel]:
    """The panels from the first on. A query for them would look at every widget of the screen."""
    return [child for child in screen.panels.children if isinstance(child, Panel)]


def wrongly_marked(screen: RunScreen) -> list[Panel]:
    """The panels that became the selected one, or no longer are, since they were drawn."""
    view = screen.view
    there = [panel for panel in panels_of(screen) if panel.index < len(view.names)]
    return [panel for panel in there if panel.marked != (panel.backend == view.selected)]


def scroll_panels(screen: RunScreen) -> None:
    """Display the panels that have room, the selected one among them."""
    start, end = screen.view.in_sight
    for panel in panels_of(screen):
        panel.display = start <= panel.index < end
    screen.out_of_sight.display = screen.view.layout.scrolls
    screen.out_of_sight.redraw()


def load_rows(view: ViewState) -> int:
    """The rows of the table under a load: one for each level and backend that is there; 0 in a race."""
    if view.level is None:
        return 0
    there = [one for one in view.run_view.backends.values() if one.state.state not in FAILED or one.turns]
    return max(1, len(there)) * max(1, len(view.run_view.levels_shown))


def apply(screen: RunScreen, layout: Layout, size: Size) -> None:
    """Set which parts of `screen` are displayed in a terminal of this size, and how high each is."""
    grid_rows = -(-(layout.lines or len(screen.view.names)) // layout.panel_columns)
    backend_rows = grid_rows * layout.panel_height
    blank = max(0, layout.backend_rows - backend_rows - layout.scrolls)
    screen.panels.display = layout.form != "none"
    screen.panels.styles.grid_size_columns = layout.panel_columns
    screen.panels.styles.grid_size_rows = grid_rows
    screen.panels.styles.height = backend_rows
    screen.panels.styles.margin = (0, 0, blank, 0)
    screen.header.styles.height = layout.header
    screen.header.display = layout.header > 0
    on_key = screen.view.table_shown and layout.whole_table_rows > 0
    table_rows = layout.whole_table_rows if on_key else layout.table_rows if layout.table else 0
    chart_shown = layout.charts > 0 and not (layout.shared and on_key)
    screen.charts.display = chart_shown
    screen.charts.styles.height = layout.chart_height
    screen.bars.display = layout.charts == 2
    strip_rows = layout.strip_rows * chart_shown
    screen.strip.display = strip_rows > 0
    screen.strip.styles.height = strip_rows
    screen.table.display = table_rows > 0
    screen.table.styles.height = table_rows
    screen.verdict_line.display = layout.verdict_line > 0
    screen.verdict_line.styles.height = layout.verdict_line
    bottom_rows = layout.ranking + layout.footer
    used = layout.header + backend_rows + blank + layout.scrolls + layout.notices
    used += layout.chart_height * chart_shown + strip_rows + layout.verdict_line + table_rows + bottom_rows
    # Even an empty spacer takes a row.
    screen.spacer.display = used < size.height
    screen.ranking.display = layout.ranking
    screen.footer.display = layout.footer
    # Toasts cover points of a chart: its axis and legend, table, verdict and keys stay in sight.
    margin = (table_rows + layout.verdict_line + strip_rows + CHART_FOOT if chart_shown else 0) + bottom_rows
    screen.query(ToastRack).set_styles(f"margin-bottom: {margin};")


def keep_up(screen: RunScreen) -> None:
    """Mark what is out of date as a search is at another level, or as the small plots have another scale."""
    view = screen.view
    if (level := view.level) != screen.level:
        screen.level = level
        screen.invalidate_all()
        screen.request_charts()
    if screen.figures_stale and (reach := view.reach) != screen.reach:
        # The small plots of all panels have one scale.
        screen.reach = reach
        screen.invalidate(*view.names)
