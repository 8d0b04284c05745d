"""What do a frame and the data behind it cost, from 10 to 100,000 iterations? It should hardly grow.

    python -m tests.bench.frames [--frames 30] [--processes 3]
    python -m tests.bench.frames --load [--frames 30]    (see tests.bench.load_frames)

Three backends share the iterations. A frame is what one more iteration causes: it is added to the run, and panels, both
charts and the table are computed again (without a terminal). Reported is CPU time, which other programs disturb less
than wall time. Memory is measured in a process for each count, with the monitor on a 120x40 screen and the iterations
received as from an engine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil

from llmtui.config.schema import UiConfig
from llmtui.link.since import HELLO_ITERATIONS
from llmtui.model import (
    AnyCommand,
    AnyEvent,
    Earlier,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    RunState,
)
from llmtui.ui.chart_source import chart_data
from llmtui.ui.charts.chart_data import Kind
from llmtui.ui.charts.draw import draw
from llmtui.ui.layout import layout_for
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.panel import panel
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.table import table_lines
from tests import build
from tests.bench import load_frames
from tests.bench.common import command_line, heading

COUNTS = (10, 100, 1_000, 10_000, 100_000)
SIZES = ((80, 24), (120, 40), (200, 50))
NAMES = ("one", "two", "three")
KINDS: tuple[Kind, ...] = ("bars", "box", "ecdf", "scatter")
TOKENS = 64


def iterations(count: int) -> list[Iteration]:
    """Return `count` iterations of the three backends in turns: times in whole nanoseconds, one in 500 an outlier."""
    return [iteration(n) for n in range(count)]


def iteration(n: int) -> Iteration:
    """Return iteration number `n` with its answer; the same number gives the same figures."""
    rng = random.Random(n)
    which = n % len(NAMES)
    slow = 3.0 if rng.random() < 0.002 else 1.0
    ttft_ns = round(150e6 * (which + 1) * rng.gauss(1, 0.03))
    gaps = [round(14e6 * (which + 1) * slow * rng.gauss(1, 0.05)) for _ in range(TOKENS - 1)]
    arrivals = [ttft_ns]
    for gap in gaps:
        arrivals.append(arrivals[-1] + gap)
    decode_s = (arrivals[-1] - ttft_ns) / 1e9
    return Iteration(
        run="20261122-150000-ab12",
        backend=NAMES[which],
        attempt=1,
        iteration=n // len(NAMES) + 1,
        phase="measured",
        started_utc=f"2026-11-22T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.{rng.randrange(1000):03}Z",
        latency_s=arrivals[-1] / 1e9,
        ttft_s=ttft_ns / 1e9,
        ttfo_s=ttft_ns / 1e9,
        itl_s=statistics.median(gaps) / 1e9,
        tpot_s=decode_s / (TOKENS - 1),
        tokens_per_s=(TOKENS - 1) / decode_s,
        output_tokens=TOKENS,
        prompt_tokens=46,
        token_source="usage",
        finish_reason="length",
        server_prefill_s=round(ttft_ns / 1e9 * 0.9, 6),
        server_decode_s=round(decode_s * 0.98, 6),
        foreign_cpu=round(abs(rng.gauss(0.02, 0.02)), 4),
        stamp="kernel",
        text="No one can eat a helicopter. " * 10,
        arrivals_ns=arrivals,
        arrival_tokens=[1] * TOKENS,
    )


def messages(count: int) -> AsyncIterator[AnyEvent]:
    """Return the events that an engine sends to a monitor that connects late."""
    plan = build.plan(*NAMES, run="20261122-150000-ab12", iterations=count // len(NAMES) + 50)
    states = [build.state(name, state="running", planned=plan.config.iterations) for name in NAMES]

    async def events() -> AsyncIterator[AnyEvent]:
        yield Hello(plan=plan, machine=Machine(), run=RunState(phase="running"), backends=states)
        for start in range(0, count, HELLO_ITERATIONS):
            stop = min(count, start + HELLO_ITERATIONS)
            yield Earlier(iterations=[iteration(n) for n in range(start, stop)])

    return events()


async def view_of(count: int) -> ViewState:
    """Return a monitor's view of `count` iterations."""
    view = ViewState(build.plan(run=""), UiConfig())
    async for event in messages(count):
        view.run_view.apply(event)
    view.structure_changed()
    return view


def frame(view: ViewState, width: int, height: int) -> dict[str, float]:
    """Compute everything once. Return the milliseconds of each part."""
    layout = view.layout = layout_for(width, height, len(NAMES))
    took: dict[str, float] = {}

    def timed(part: str, began: float) -> None:
        took[part] = took.get(part, 0.0) + (time.process_time() - began) * 1e3

    began = time.process_time()
    for index, backend_view in enumerate(view.run_view.backends.values()):
        panel(backend_view, view.panel_options(index, False), width // layout.panel_columns, layout.panel_height)
    timed("panels", began)
    began = time.process_time()
    table_lines(view.run_view, view.metric, width, frozenset(), view.selected)
    ranking_line(view.run_view, view.metric, width, None)
    timed("table", began)
    for kind in KINDS:
        began = time.process_time()
        draw(chart_data(view, kind), width // max(1, layout.charts) - 1, layout.chart_height - 1)
        timed(kind, began)
    return took


def frames(rounds: int) -> None:
    """Measure every size at every count, in turns, so that other work on the machine affects all counts alike."""
    views = {count: asyncio.run(view_of(count)) for count in COUNTS}
    gc.collect()
    added = dict.fromkeys(COUNTS, 0)
    print(f"CPU ms a frame (median of {rounds}, and the middle half), of its parts; added: us an iteration\n")
    for width, height in SIZES:
        samples: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
        for turn in range(rounds + 2):
            for count, view in views.items():
                new = iteration(count + added[count])
                added[count] += 1
                began = time.process_time()
                view.run_view.apply(IterationDone(iteration=new))
                took = (time.process_time() - began) * 1e6
                drawn = frame(view, width, height)
                if turn >= 2:
                    samples[count].append(drawn | {"added": took})
        base = 0.0
        for count, rows in samples.items():
            # Two charts are side by side, one of them the scatter; of the others the slowest counts.
            totals = sorted(r["panels"] + r["table"] + r["scatter"] + max(r[k] for k in KINDS[:3]) for r in rows)
            middle = statistics.median(totals)
            base = base or middle
            quarter = len(totals) // 4
            parts = ", ".join(f"{part} {statistics.median(r[part] for r in rows):.1f}" for part in rows[0])
            half = f"{totals[quarter]:.1f} to {totals[-1 - quarter]:.1f}"
            print(f"{width}x{height} n={count:>6}: {middle:5.1f} ms ({half}), {middle / base:.2f} of n=10; {parts}")
        print()


class _FinishedEngine:
    """A connection to an engine that sends its past and nothing after it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.sent = asyncio.Event()

    async def events(self) -> AsyncIterator[AnyEvent]:
        async for event in messages(self._count):
            yield event
        self.sent.set()
        await asyncio.Event().wait()

    async def send(self, command: AnyCommand) -> None:
        pass

    async def close(self) -> None:
        pass


async def weigh(count: int) -> None:
    """Print the resident and peak memory of this process with a monitor of `count` iterations, in MB."""
    from llmtui.ui.app import MonitorApp

    link = _FinishedEngine(count)

    async def opened() -> _FinishedEngine:
        return link

    plan = build.plan(*NAMES, run="")
    app = MonitorApp(plan, opened, ui=UiConfig())
    async with app.run_test(size=(120, 40)) as pilot:
        await link.sent.wait()
        await pilot.pause(1.2)
        for _ in range(4):
            await pilot.press("c", "m")
            await pilot.pause()
        gc.collect()
        print(psutil.Process().memory_info().rss / 1e6, _peak_mb())


def _peak_mb() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM"))


def memory(rounds: int) -> None:
    """Report the resident memory of the monitor at every count."""
    base = 0.0
    for count in COUNTS:
        sizes = []
        for _ in range(rounds):
            argv = [sys.executable, "-P", "-m", "tests.bench.frames", "--weigh", str(count)]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            sizes.append(tuple(map(float, done.stdout.split())))
        resident = statistics.median(t[0] for t in sizes)
        base = resident if count == 100 else base
        share = f", {(resident / base - 1) * 100:+.1f}% from n=100" if base else ""
        lowest, highest = min(t[0] for t in sizes), max(t[0] for t in sizes)
        peak = max(t[1] for t in sizes)
        print(
            f"n={count:>6}: {resident:.1f} MB resident ({lowest:.1f} to {highest:.1f}, {rounds} processes){share}; "
            f"peak {peak:.1f} MB"
        )


def main() -> None:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--load", action="store_true", help="frames of a load, by its levels and backends")
    parser.add_argument("--weigh", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.weigh is not None:
        asyncio.run(weigh(arguments.weigh))
        return
    if arguments.load:
        print(heading("frames of the monitor under a load"))
        load_frames.frames(arguments.frames)
        return
    print(heading("frames and memory of the monitor by iterations, three backends"))
    frames(arguments.frames)
    memory(arguments.processes)


if __name__ == "__main__":
    main()
