"""What the benchmarks share: headings, command lines, configs of truth servers, intervals and trends."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import random
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmtui.engine.watch.machine import describe_machine
from llmtui.stats.summary import percentile

#: The command of a truth server, without its options.
TRUTH_SERVER = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server"]
#: Escape sequences in what a program writes to its terminal.
ESCAPES = re.compile(
    rb"\x1b(?:\[[0-9;?:<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
)


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the module's docstring, line breaks included."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def size(text: str) -> tuple[int, int]:
    """Parse a terminal's size, such as "120x40", into columns and rows."""
    columns, rows = (int(number) for number in text.split("x"))
    return columns, rows


def load_config(path: Path, levels: Sequence[int], requests: int = 0) -> None:
    """Write a config of a load at these levels on two truth servers without a limit of slots, which lasts long enough.

    A turn has twice as many requests as streams, unless it is said. Answers have 32 tokens, 20 and 22 ms apart.
    """
    run = {"iterations": 1000, "warmup": 0, "max_tokens": 32, "on_disconnect": "stop"}
    lines = ["[run]", *(f"{key} = {json.dumps(value)}" for key, value in run.items())]
    lines += ["[load]", f"concurrency = {json.dumps(list(levels))}", f"requests = {requests or 2 * max(levels)}"]
    for name, itl_ms in {"one": 20.0, "two": 22.0}.items():
        launch = [*TRUTH_SERVER, "--port", "{port}", "--itl-ms", str(itl_ms)]
        lines += ["[[backend]]", f"name = {json.dumps(name)}", f"launch = {json.dumps(launch)}"]
    path.write_text("\n".join(lines) + "\n")


def truth_config(path: Path, servers: Mapping[str, float], **settings: int | str) -> None:
    """Write a config that launches a truth server for each name, with its ITL in ms; `settings` go to [run]."""
    lines = ["[run]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    for name, itl_ms in servers.items():
        launch = [*TRUTH_SERVER, "--port", "{port}", "--itl-ms", str(itl_ms)]
        lines += ["[[backend]]", f"name = {json.dumps(name)}", f"launch = {json.dumps(launch)}"]
    path.write_text("\n".join(lines) + "\n")


def two_cores() -> tuple[int, int]:
    """Return two cores for a client and a server; exit if this process may use only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("this benchmark needs two cores: one for the client, one for the server")
    return cores[0], cores[1]


def heading(what: str) -> str:
    """Return the subject, the machine, and its load average of the last minute, as the head of a report."""
    machine = describe_machine()
    return f"{what}\n{machine.cpu}, {machine.cores} cores, {machine.os}; load {os.getloadavg()[0]:.2f} before\n"


def interval(values: Sequence[float], rounds: int = 10_000) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the median; the same values give the same interval."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(rounds))
    return percentile(medians, 0.025), percentile(medians, 0.975)


@dataclasses.dataclass(frozen=True)
class Trend:
    """A least-squares line through (x, y): its slope, the slope's standard error, and the scatter around it.

    `autocorrelation` is that of neighbouring residuals; the standard error is widened for it.
    """

    slope: float
    error: float
    scatter: float
    autocorrelation: float
    n: int


def trend(x: Sequence[float], y: Sequence[float]) -> Trend:
    """Fit a line to three or more points, in the order in which they were taken.

    Correlated neighbours carry less information: n is reduced to n (1 - r) / (1 + r), with r the autocorrelation at
    lag one if it is positive.
    """
    n = len(x)
    slope, intercept = statistics.linear_regression(x, y)
    residuals = [b - (intercept + slope * a) for a, b in zip(x, y, strict=True)]
    squares = sum(r * r for r in residuals)
    lagged = sum(a * b for a, b in itertools.pairwise(residuals)) / squares if squares else 0.0
    effective = max(3.0, n * (1 - max(0.0, lagged)) / (1 + max(0.0, lagged)))
    scatter = math.sqrt(squares / max(1, n - 2))
    spread = math.sqrt(sum((a - statistics.fmean(x)) ** 2 for a in x))
    widened = math.sqrt((n - 2) / (effective - 2)) if effective < n else 1.0
    return Trend(slope, scatter / spread * widened, scatter, lagged, n)
