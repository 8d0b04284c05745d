"""The sizes of the parts of the main screen."""

from __future__ import annotations

import pytest

from llmtui.ui.layout import layout_for
from llmtui.ui.views.panel import BIG_FROM


@pytest.mark.parametrize("backends", range(1, 10))
@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (100, 45), (119, 60), (120, 32), (120, 40), (200, 50)])
def test_parts_fit_the_terminal(size: tuple[int, int], backends: int) -> None:
    width, height = size
    layout = layout_for(width, height, backends)
    panels = -(-backends // layout.panel_columns) * layout.panel_height
    table = backends + 1 if layout.table else 0
    verdict_line = layout.verdict_line if layout.table else layout.verdict_line_alone
    taken = layout.header + panels + layout.chart_height + verdict_line + table + layout.ranking + layout.footer
    if layout.form != "tiny":
        assert taken <= height
    assert width // layout.panel_columns >= 20 or layout.panel_columns == 1
    if layout.charts:
        assert layout.chart_height >= 8


def test_five_backends_fill_120_by_40() -> None:
    layout = layout_for(120, 40, 5)
    assert (layout.form, layout.panel_columns, layout.charts, layout.table) == ("wide", 5, 2, True)
    assert layout.panel_height >= BIG_FROM
    assert layout.header + layout.panel_height + layout.chart_height + layout.verdict_line + 6 + 2 == 40


@pytest.mark.parametrize("count", [10, 13, 20, 31, 60])
@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 10), (80, 24), (120, 40)])
def test_parts_fit_with_more_backends_than_rows(size: tuple[int, int], count: int) -> None:
    layout = layout_for(*size, count)
    panels = (layout.lines + 1) if layout.lines else -(-count // layout.panel_columns) * layout.panel_height
    table = count + 1 if layout.table else 0
    used = layout.header + panels + layout.chart_height + table + layout.ranking + layout.footer
    assert used <= size[1]
    if size[1] >= 24:
        assert layout.charts
