"""What does a frame of a load cost, from 1 to 16 levels and from 3 to 12 backends?

    python -m tests.bench.frames --load [--frames 30]

A frame is what one more turn causes: it is added to the run, and header, panels, the verdict's line, the table, the
ranking and both charts are computed again (without a terminal). "tick" is what the running turn causes four times a
second: its panel and the header. The backends take turns at each level, as in a run, so a new turn changes one level,
and its verdict at the end of a round: the mean has that, the median may not. Reported is CPU time.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import Literal

from llmtui.config.schema import UiConfig
from llmtui.model import Load, Tick, Turn, TurnDone
from llmtui.stats.buckets import Buckets
from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.draw import draw
from llmtui.ui.layout import layout_for
from llmtui.ui.screens.run_layout import load_rows
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.header import header_lines
from llmtui.ui.views.load_table import LoadTable, load_order
from llmtui.ui.views.load_verdict import load_verdict_lines
from llmtui.ui.views.panel import panel
from llmtui.ui.views.ranking import ranking_line
from tests import loads

#: Backends and levels.
CASES = ((3, 1), (3, 4), (3, 16), (12, 1), (12, 4), (12, 16))
SIZES = ((80, 24), (120, 40), (200, 50))
ROUNDS = 12
REQUESTS = 40


def _fields(level: int) -> dict[str, object]:
    counts = {}
    for quantity, typical in (("ttft", 0.1), ("tpot", 0.014), ("latency", 1.0)):
        buckets = Buckets()
        buckets.add(typical * level * (1 + n / 200) for n in range(REQUESTS))
        counts[quantity] = buckets.encoded()
    return {"buckets": counts}


def view_of(backends: int, levels: int) -> ViewState:
    """A monitor's view of a running load."""
    load = Load(concurrency=list(range(1, levels + 1)) if levels > 1 else [8], requests=REQUESTS)
    speeds = {f"backend {n}": 1 + n / 50 for n in range(backends)}
    cached = {number: _fields(number) for number in range(levels + 2)}
    fields = {name: lambda _round, level: cached[level] for name in speeds}
    states = {name: {"state": "running"} for name in speeds}
    run_view = loads.raced(speeds, load, rounds=ROUNDS, fields=fields, states=states)
    view = ViewState(run_view.plan, UiConfig())
    view.run_view = run_view
    view.structure_changed()
    return view


def new_turn(view: ViewState, count: int) -> Turn:
    """The turn number `count` after those that the view has."""
    names, levels = view.names, view.run_view.plan.levels
    name, level = names[count % len(names)], levels[count // len(names) % len(levels)]
    number = ROUNDS + 1 + count // (len(names) * len(levels))
    return loads.turn(name, number, level.number, 1 + count % 7 / 100, seq=10_000 + count, **_fields(level.number))


def frame(view: ViewState, width: int, height: int) -> dict[str, float]:
    """Compute everything once. Return the CPU milliseconds of each part."""
    rows = load_rows(view)
    layout = view.layout = layout_for(width, height, len(view.names), load_rows=rows)
    took: dict[str, float] = {}
    level = view.level
    assert level is not None

    def timed(part: str, began: float) -> float:
        now = time.process_time()
        took[part] = took.get(part, 0.0) + (now - began) * 1e3
        return now

    began = time.process_time()
    for index, backend_view in enumerate(view.run_view.backends.values()):
        panel(backend_view, view.panel_options(index, False), width // layout.panel_columns, layout.panel_height)
    began = timed("panels", began)
    header_lines(view.run_view, "running", 60.0, None, width, layout.header, level=level)
    began = timed("header", began)
    load_verdict_lines(view.run_view, view.metric, view.level_number, width, max(1, layout.verdict_line))
    began = timed("verdict", began)
    height_of = max(layout.table_rows, layout.whole_table_rows)
    order = load_order(view.run_view, view.metric, view.sort, level, height_of - 1)
    LoadTable(view.run_view, view.metric, level, order).lines(width, height_of)
    ranking_line(view.run_view, view.metric, width, None, view.level_number)
    began = timed("table", began)
    sides: tuple[Literal["statistics", "scatter"], ...] = ("statistics", "scatter")
    for side in sides[: max(1, layout.charts)]:
        draw(chart_of(view, view.kind_at(side)), width // max(1, layout.charts) - 1, layout.chart_height - 1)
    timed("charts", began)
    return took


def ticked(view: ViewState, count: int, width: int, height: int) -> float:
    """Apply one tick, and compute what it changes. Return the CPU milliseconds."""
    began = time.process_time()
    name = view.names[count % len(view.names)]
    level = view.run_view.plan.levels[-1]
    view.run_view.apply(
        Tick(backend=name, round=1, level=level.number, phase="measured", share="window", elapsed_s=1.0 + count,
             sent=count, in_flight=8, finished=count, counted=count % REQUESTS, requests=REQUESTS, tokens=count)
    )  # fmt: skip
    layout = view.layout
    index = view.names.index(name)
    options = view.panel_options(index, False)
    panel(view.run_view.backends[name], options, width // layout.panel_columns, layout.panel_height)
    header_lines(view.run_view, "running", 60.0, None, width, layout.header, level=view.level)
    return (time.process_time() - began) * 1e3


def frames(rounds: int) -> None:
    """Measure every size and case, in turns, so that other work on the machine affects all cases alike."""
    views = {case: view_of(*case) for case in CASES}
    gc.collect()
    counts = dict.fromkeys(CASES, 0)
    print(f"CPU ms a frame of a load (median of {rounds}, the middle half, and the mean), and of its parts\n")
    for width, height in SIZES:
        samples: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in CASES}
        for turn in range(rounds + 2):
            for case, view in views.items():
                count = counts[case]
                counts[case] += 1
                began = time.process_time()
                view.run_view.apply(TurnDone(turn=new_turn(view, count)))
                added = (time.process_time() - began) * 1e3
                drawn = {"added": added, **frame(view, width, height)}
                drawn["tick"] = ticked(view, count, width, height)
                if turn >= 2:
                    samples[case].append(drawn)
        base: dict[int, float] = {}
        for (backends, levels), rows in samples.items():
            totals = sorted(sum(row.values()) - row["tick"] for row in rows)
            middle, quarter = statistics.median(totals), len(totals) // 4
            base.setdefault(backends, middle)
            parts = ", ".join(f"{part} {statistics.median(row[part] for row in rows):.2f}" for part in rows[0])
            half = f"{totals[quarter]:.1f} to {totals[-1 - quarter]:.1f}"
            half += f"; mean {statistics.fmean(totals):.1f}"
            print(f"{width}x{height} {backends:>2} backends, {levels:>2} levels: {middle:5.1f} ms ({half}), "
                  f"{middle / base[backends]:.2f} of one level; {parts}")  # fmt: skip
        print()
