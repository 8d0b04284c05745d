"""Does watching change the result? A real llama.cpp, alternately with the monitor on a screen and without.

    python -m tests.bench.watching [--pairs 6] [--iterations 5] [--streams 8]

`llmtui CONFIG` in a 120x40 pseudo-terminal against `llmtui run CONFIG`, each time with a new engine and a new llama.cpp
(xllamacpp); the first of the two alternates from pair to pair. The monitored run ends when its header counts all
iterations; its figures are read from the file that the key `e` writes. Reported is the ratio of the median latencies of
each pair. With `--streams` it is a load, and an iteration is a turn of three requests a stream.
"""

from __future__ import annotations

import csv
import dataclasses
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import command_line, heading, interval

DEADLINE_S = 300.0


@dataclasses.dataclass
class Run:
    """One run: its median latency, its disturbed iterations, and the bytes and CPU of the monitor."""

    latency_s: float
    disturbed: int
    bytes_per_s: float = 0.0
    cpu_cores: float = 0.0
    seconds: float = 0.0


def read(results: Path) -> Run:
    """Read the one row of a results file. Exit if the run failed."""
    with results.open(newline="") as file:
        row = next(csv.DictReader(file))
    if row["errors"] != "0" or not row["latency_median_s"]:
        sys.exit(f"the run failed: {row['state']}, {row['errors']} iterations failed {row['reason']}")
    return Run(float(row["latency_median_s"]), int(row["disturbed"]))


def without(config: Path, folder: Path) -> Run:
    """Run without a monitor."""
    results = folder / "results.csv"
    command = [sys.executable, "-P", "-m", "llmtui", "run", str(config), "--csv", str(results), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    if done.returncode != 0:
        sys.exit(f"the run failed: {done.stderr}")
    return read(results)


def watched(config: Path, folder: Path, total: int) -> Run:
    """Run with the monitor on a screen; its CPU and bytes count from the first iteration to the last."""
    for old in folder.glob("*.csv"):
        old.unlink()
    screen = Screen(["/usr/bin/env", "-C", str(folder), *monitor_argv(config)])
    counted = re.compile(rb"\b([0-9]+)/%d\b" % total)
    began = cpu_s = seconds = 0.0
    first = last = 0
    try:
        for data in screen.chunks(DEADLINE_S):
            for count in counted.findall(data):
                if int(count) == 1 and not began:
                    began, cpu_s, first = time.monotonic(), screen.cpu_s(), screen.bytes
                elif int(count) == total and not seconds:
                    seconds, cpu_s, last = time.monotonic() - began, screen.cpu_s() - cpu_s, screen.bytes
                    screen.press(b"e")
            files = [file for file in folder.glob("*.csv") if file.stat().st_size]
            if seconds and files:
                break
        else:
            sys.exit("the monitored run did not end")
        run = read(files[0])
    finally:
        screen.close()
    return dataclasses.replace(run, bytes_per_s=(last - first) / seconds, cpu_cores=cpu_s / seconds, seconds=seconds)


def main() -> None:
    """Alternate and report."""
    parser = command_line(__doc__)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--streams", type=int, default=1)
    arguments = parser.parse_args()
    streams = arguments.streams
    # A load has a warm-up turn besides the warm-up of one request.
    total = arguments.iterations + 1 + (streams > 1)
    load = f"[load]\nconcurrency = {streams}\nrequests = {3 * streams}\n" if streams > 1 else ""
    at = f", {streams} streams" if streams > 1 else ""
    print(heading(f"latency with the monitor on screen against without: llama.cpp, 120x40{at}"))
    pairs: list[tuple[Run, Run]] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as name:
        folder = Path(name)
        config = folder / "watching.toml"
        config.write_text(
            # llama.cpp closes the connection a moment after each streamed reply; the pause avoids meeting that.
            f"[run]\niterations = {arguments.iterations}\nwarmup = 1\ncooldown_s = 0.1\non_disconnect = 'stop'\n"
            f"max_tokens = {64 if streams == 1 else 16}\n{load}"
            "[[backend]]\nname = 'llama.cpp'\nembedded = 'llama.cpp'\nlanguage = 'C++'\n"
        )
        without(config, folder)  # fetches the model file and fills the page cache
        for number in range(arguments.pairs):
            if number % 2:
                off = without(config, folder)
                on = watched(config, folder, total)
            else:
                on = watched(config, folder, total)
                off = without(config, folder)
            pairs.append((on, off))
            print(
                f"pair {number + 1}: on {on.latency_s:.4f} s, off {off.latency_s:.4f} s, ratio "
                f"{on.latency_s / off.latency_s:.4f}; disturbed {on.disturbed} and {off.disturbed}; monitor "
                f"{on.cpu_cores:.3f} cores, {on.bytes_per_s / 1e3:.2f} kB/s over {on.seconds:.1f} s",
                flush=True,
            )
    ratios = [on.latency_s / off.latency_s for on, off in pairs]
    low, high = interval(ratios)
    print(f"\nratio of median latency, on / off: {statistics.median(ratios):.4f} (95%: {low:.4f} to {high:.4f})")
    for title, values in (
        ("CPU of the monitor, cores", [on.cpu_cores for on, _ in pairs]),
        ("to the terminal, kB/s", [on.bytes_per_s / 1e3 for on, _ in pairs]),
    ):
        print(f"{title}: median {statistics.median(values):.3f}, {min(values):.3f} to {max(values):.3f}")
    print(f"n = {len(pairs)} pairs of {arguments.iterations} {'turns' if streams > 1 else 'iterations'}")


if __name__ == "__main__":
    main()
