"""Any chart of a load as lines of an exact size, legend included."""

from __future__ import annotations

from llmtui.ui.charts.against_load import draw_levels
from llmtui.ui.charts.distribution import title_row
from llmtui.ui.charts.heat import draw_heat
from llmtui.ui.charts.legend import legend
from llmtui.ui.charts.load_chart_data import HeatChart, LevelsChart, LoadChart, ParetoChart, TurnChart
from llmtui.ui.charts.pareto import draw_pareto
from llmtui.ui.charts.turn_course import draw_turn
from llmtui.ui.text.spans import Line


def draw_load(chart: LoadChart, width: int, height: int) -> list[Line]:
    """Draw a chart that has something to draw in exactly `width` by `height` cells."""
    match chart:
        case HeatChart():
            return draw_heat(chart, width, height)
        case TurnChart():
            return draw_turn(chart, width, height)
        case ParetoChart():
            lines, caption = draw_pareto(chart, width, height - 2)
        case LevelsChart():
            lines, caption = draw_levels(chart, width, height - 2)
    return [*lines, title_row(caption, width), legend(chart, width)[0]]
