"""How far are the charts from the truth, read as an eye reads them?

    python -m tests.bench.charts

Each set of data is drawn at the sizes that charts get in terminals of 80x24 to 200x50, and read back from the cells and
the labels of the axes. Reported for each size: the largest error of a bar, from its upper edge, as a share of the value
and in rows; how many pairs of medians that differ have bars of one height; how many samples of the scatter cannot be
seen.

Then the CPU time of a chart of a load, from 1 to 16 levels with twelve backends: its data and its lines, as a turn that
has ended causes them, and as a second of the turn under way does.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

from llmtui.model import TurnDone
from llmtui.ui.chart_source import chart_of
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.view_state import ViewState
from tests.bench.common import command_line
from tests.ui.chart_sets import SETS, SIZES, chart_at, view_of
from tests.ui.decoded import ORDER, Decoded
from tests.ui.lines import text_of
from tests.ui.load_sets import LoadSet, size_at, ticks, turn_of, view_with

LOAD_KINDS: tuple[Kind, ...] = ("load", "ttft", "pareto", "turn", "heat")
LARGEST = LoadSet([50.0 + 5 * n for n in range(12)], turns=10)
FRAMES = 40
SHOWN = [size for size in SIZES if size >= (80, 24)]


def bars(view: ViewState, size: tuple[int, int]) -> tuple[float, float, int, int]:
    """The largest error of the bars as a share and in rows, the pairs of one height, and all pairs."""
    chart, width, height = chart_at(view, "bars", size)
    decoded = Decoded(draw(chart, width, height), chart.log)
    axis, drawn = decoded.upwards, decoded.bars()
    share = rows = 0.0
    for series in chart.series:
        for statistic in ORDER:
            truth = chart.shown(getattr(series.spread, statistic))
            edge = drawn[series.index][statistic]
            share = max(share, abs(axis.value(edge) / truth - 1))
            rows = max(rows, abs(edge - axis.place(truth)))
    medians = [(drawn[s.index]["median"], s.spread.median) for s in chart.series if s.spread is not None]
    pairs = [(a, b) for n, a in enumerate(medians) for b in medians[:n] if a[1] != b[1]]
    return share, rows, sum(a[0] == b[0] for a, b in pairs), len(pairs)


def unseen(view: ViewState, size: tuple[int, int]) -> tuple[int | None, int]:
    """How many samples of the scatter have no mark of their own (None if it is a band), and how many there are."""
    chart, width, height = chart_at(view, "scatter", size)
    lines = draw(chart, width, height)
    samples = sum(s.spread.n for s in chart.series if s.spread is not None)
    band = " p90" in text_of(lines)
    return None if band else samples - len(Decoded(lines, chart.log).marks()), samples


def frame_ms(view: ViewState, kind: Kind, size: tuple[int, int], *, turn: bool) -> float:
    """The median CPU time of a chart of a load in ms, each after one more turn, or a second more of one under way."""
    width, height = size_at(view, size)
    levels, names = view.run_view.plan.levels, view.names
    seconds = iter(ticks(names[0], levels[-1].number, 4.0 * FRAMES, each_s=1.0))
    times = []
    for number in range(FRAMES):
        if turn:
            # Another round's values, so that no cache has the frame.
            which = levels[number % len(levels)]
            view.run_view.apply(TurnDone(turn=turn_of(LARGEST, number % len(names), which, 100 + number, names)))
        else:
            view.run_view.apply(next(seconds))
        began = time.process_time()
        draw(chart_of(view, kind), width, height)
        times.append(time.process_time() - began)
    return 1e3 * statistics.median(times)


def costs() -> None:
    """Report what a chart of a load costs."""
    counts = (1, 2, 4, 8, 16)
    print(f"\n{'12 backends, ms of CPU':26}" + "".join(f"{n} levels".rjust(16) for n in counts))
    for size in SHOWN:
        for kind in LOAD_KINDS:
            for turn in (True, False):
                views = [view_with(dataclasses.replace(LARGEST, levels=range(1, n + 1))) for n in counts]
                figures = [frame_ms(view, kind, size, turn=turn) for view in views]
                what = f"{kind} {size[0]}x{size[1]}, a {'turn' if turn else 'second'}"
                print(f"{what:26}" + "".join(f"{figure:.2f}".rjust(16) for figure in figures))


def main() -> None:
    """Measure every set and report."""
    parser = command_line(__doc__)
    parser.add_argument("--load", action="store_true", help="only what charts of a load cost")
    if parser.parse_args().load:
        return costs()
    print(f"{'bars: error by edge, rows, ties':26}" + "".join(f"{w}x{h}".rjust(24) for w, h in SHOWN))
    for name in SETS:
        figures = [bars(view_of(name), size) for size in SHOWN]
        shown = [f"{share:.1%} {rows:.2f} {ties}/{pairs}" for share, rows, ties, pairs in figures]
        print(f"{name:26}" + "".join(text.rjust(24) for text in shown))
    print(f"\n{'scatter: samples not seen':26}" + "".join(f"{w}x{h}".rjust(24) for w, h in SHOWN))
    for name in SETS:
        counts = [unseen(view_of(name), size) for size in SHOWN]
        shown = [f"{hidden} of {samples}" if hidden is not None else "a band" for hidden, samples in counts]
        print(f"{name:26}" + "".join(text.rjust(24) for text in shown))
    costs()


if __name__ == "__main__":
    main()
