"""Any chart as lines of an exact size, legend included."""

from __future__ import annotations

from llmtui.ui.charts.bars import draw_bars
from llmtui.ui.charts.chart_data import ChartData
from llmtui.ui.charts.distribution import draw_boxes, draw_ecdf, title_row
from llmtui.ui.charts.legend import bars_legend, legend
from llmtui.ui.charts.load_chart_data import LoadChart
from llmtui.ui.charts.scatter import draw_scatter
from llmtui.ui.layout import CHART_LEAST_HEIGHT, CHART_LEAST_WIDTH
from llmtui.ui.text.spans import Line, clip, fit


def draw(chart: ChartData | LoadChart, width: int, height: int) -> list[Line]:
    """Draw the chart in exactly `width` by `height` cells; a hint if there is nothing to draw yet or no room."""
    fits = width >= CHART_LEAST_WIDTH and height >= CHART_LEAST_HEIGHT
    if not isinstance(chart, ChartData):
        if chart.drawable and fits:
            # Imported with the first chart of a load, so that the first frame of a race does not wait for it.
            from llmtui.ui.charts.draw_load import draw_load

            return draw_load(chart, width, height)
        return _hint((chart.reason or "turns appear here as they complete") if fits else "no room", width, height)
    if not chart.drawable or not fits:
        hint = chart.reason or f"{'turns' if chart.level else 'iterations'} appear here as they complete"
        hint = hint if chart.series else "all backends are hidden: x shows one"
        return _hint(hint if fits else "no room", width, height)
    if chart.kind == "bars":
        bars, complete, earlier = draw_bars(chart, width, height - 1)
        return [*bars, bars_legend(width, chart.log, complete, chart.against if earlier else "")]
    key, _ = legend(chart, width)
    match chart.kind:
        case "scatter":
            points, caption = draw_scatter(chart, width, height - 2)
            return [*points, title_row(caption, width), key]
        case "box":
            body = draw_boxes(chart, width, height - 2)
        case "ecdf":
            body = draw_ecdf(chart, width, height - 2)
    return [*(fit(line, width) for line in body), title_row(chart.axis, width), key]


def _hint(hint: str, width: int, height: int) -> list[Line]:
    lines: list[Line] = [((" " * width, ""),)] * height
    if height:
        text = clip(hint, width)
        lines[height // 2] = fit([(" " * ((width - len(text)) // 2), ""), (text, "dim")], width)
    return lines
