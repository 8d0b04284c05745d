"""Commands that change what the main screen shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.runview.loads import worded
from llmtui.ui.actions import details
from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.charts.kinds import right_kind
from llmtui.ui.levels import stepped
from llmtui.ui.views.attempts import shown_attempt

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


def hide_or_show(app: MonitorApp) -> None:
    """Hide the selected backend in the charts, or show it again."""
    app.view.hidden ^= {app.view.selected}
    app.main.show_changed(app.view.selected)


def next_metric(app: MonitorApp) -> None:
    """Show the next metric."""
    if app.view.page == "trend":
        app.trends.next_metric(app.view)
    else:
        app.view.next_metric()
    app.main.show_all()


def next_chart(app: MonitorApp) -> None:
    """Show the next kind of chart; if the table is in the charts' place, show the charts."""
    if app.view.table_shown and app.view.layout.shared:
        app.view.table_shown = False
        app.main.arrange_parts()
    else:
        app.view.next_chart()
        app.main.show_charts_first()


def other_scale(app: MonitorApp) -> None:
    """Switch the charts between a linear and a logarithmic scale."""
    from llmtui.ui.widgets.chart import ChartView

    chart = next((each.chart for each in app.main.query(ChartView) if each.display), None)
    if chart is None or isinstance(chart, ChartData):
        app.view.toggle_scale()
    else:
        # A chart over levels has a scale of its own: back to automatic if that gives the same one.
        app.view.forced_log = None if chart.log != chart.log_by_default else not chart.log
    app.main.show_charts_first()


def _halve(app: MonitorApp, last: bool) -> None:
    counts = [shown_attempt(backend).figures(backend).measured for backend in app.view.samples.values()]
    if app.view.zoom.halve(max(counts, default=0), last=last):
        if app.view.layout.charts != 2:
            app.view.chart_kind = "scatter"
        elif right_kind(app.view.run_view.plan) != "scatter":
            app.view.statistics_kind = "scatter"
        app.main.show_charts_first()
    else:
        app.report(worded("too few iterations to halve: = shows all", app.view.run_view.plan), timeout=2.0, log=False)


def first_half(app: MonitorApp) -> None:
    """Show the first half of the iterations that the scatter shows."""
    _halve(app, last=False)


def last_half(app: MonitorApp) -> None:
    """Show the last half of the iterations that the scatter shows."""
    _halve(app, last=True)


def all_iterations(app: MonitorApp) -> None:
    """Show all iterations in the scatter again."""
    app.view.zoom.reset()
    app.main.show_charts_first()


def _step_level(app: MonitorApp, by: int) -> None:
    app.view.level_shown = stepped(app.view, by)
    app.main.show_all()


def level_before(app: MonitorApp) -> None:
    """Show the level of the load before the one that is shown."""
    _step_level(app, -1)


def level_after(app: MonitorApp) -> None:
    """Show the next level of the load."""
    _step_level(app, 1)


def table_or_chart(app: MonitorApp) -> None:
    """Switch between table and charts if there is room for one of them."""
    app.view.table_shown = not app.view.table_shown
    app.main.arrange_parts()


def sort(app: MonitorApp) -> None:
    """Sort the table that is shown by its next column."""
    from llmtui.ui.views import sorting

    if app.view.situation().iterations:
        details.sort(app)
    else:
        load = app.view.level is not None
        app.main.sort_table(sorting.following(app.view.sort, app.main.table.columns(), load=load))


def reverse(app: MonitorApp) -> None:
    """Reverse the order of the table that is shown."""
    if app.view.situation().iterations:
        details.reverse(app)
    else:
        app.main.sort_table(app.view.sort.reversed())


def hold_or_go_on(app: MonitorApp) -> None:
    """Hold the screen still, or let it catch up."""
    if app.view.behind is None:
        app.session.hold()
    else:
        app.session.catch_up()
