"""The monitor of a load with objectives: goodput is a metric of it, and may be the one that counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmtui.config.schema import UiConfig
from llmtui.model import Slo
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.draw import draw
from llmtui.ui.view_state import ViewState
from tests.ui import canned_load
from tests.ui.lines import text_of
from tests.ui.loads_drawn import drawn, table


def view_of(metric: str = "goodput") -> ViewState:
    """The canned load, in which the first backend keeps more than the others."""
    hello = canned_load.hello(6)
    config: Any = msgspec.structs.replace(hello.plan.config, metric=metric)
    plan = msgspec.structs.replace(hello.plan, config=config, slo=Slo(ttft_s=0.5))
    turns = []
    for turn in hello.turns:
        kept = 38 if turn.backend == "llama.cpp" else 0
        of = {"kept": kept, "missed": 40 - kept, "objectives": {"ttft": [kept, 40 - kept, 0]}}
        turns.append(msgspec.structs.replace(turn, **of, goodput_per_s=kept / (turn.window_s or 1.0)))
    view = ViewState(plan, UiConfig())
    view.run_view.apply(msgspec.structs.replace(hello, plan=plan, turns=turns))
    view.structure_changed()
    return view


def test_the_key_of_metrics_includes_it() -> None:
    view, seen = view_of(), []
    for _ in range(7):
        seen.append(view.metric)
        view.next_metric()
    assert seen == ["goodput", "latency", "ttft", "itl", "tokens_per_s", "output_tokens_per_s", "goodput"]


@pytest.mark.parametrize("kind", ["scatter", "bars", "box", "ecdf"])
def test_charts_of_it(kind: Any) -> None:
    """Also of backends that kept nothing."""
    data = chart_data(view_of(), kind)
    assert "good requests/s" in data.title and "llama.cpp" in text_of(draw(data, 80, 20))


def test_table_and_panels() -> None:
    view = view_of()
    heading, *rows = table(view, 120, 20)
    assert "good requests/s" in heading or "req/s" in heading
    assert any("95%" in row for row in rows if "llama.cpp" in row)
    assert "95% kept" in drawn(view, 40, 16)
