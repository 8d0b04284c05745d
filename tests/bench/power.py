"""What does it cost to read the meters of power while a backend is asked?

Makes a tree of files as a machine with two processors and two AMD cards has them, and reads it as a run does. With
`--here` the meters of this machine are read. Prints the time of the processor that a second of reading takes, and how
long the readings at both ends of an answer take, which are outside of what is timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from llmtui.engine.watch.find_meters import find_meters
from llmtui.engine.watch.power import Idle, Recording
from tests import power_trees as trees


def tree(root: Path) -> Path:
    """Two packages with their memory, and two cards."""
    for package in range(2):
        trees.rapl_zone(root, f"intel-rapl:{package}", f"package-{package}", 1)
        trees.rapl_zone(root, f"intel-rapl:{package}:0", "dram", 1)
        trees.amd(root, package, f"0000:0{package}:00.0")
    return root


def main() -> None:
    """Read for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=200, help="answers whose ends are read")
    parser.add_argument("--here", action="store_true", help="the meters of this machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = find_meters(Path("/") if options.here else tree(Path(folder)))
        if not found.meters:
            parser.error(f"this machine has no meter of power: {'; '.join(found.unreadable) or 'nothing found'}")
        print(f"{len(found.meters)} meters: {', '.join(meter.name for meter in found.meters)}; {os.cpu_count()} cores")
        idle = [Idle() for _ in found.meters]
        recording = Recording(found.meters, idle)
        recording.start()
        before = time.process_time()
        time.sleep(options.seconds)
        used_s = time.process_time() - before
        recording.stop()
        print(f"reading every 0.1 s: {used_s / options.seconds * 1e3:.2f} ms of a core per second")
        starts, stops = [], []
        for _ in range(options.times):
            recording, at = Recording(found.meters, idle), time.perf_counter()
            recording.start()
            starts.append(time.perf_counter() - at)
            time.sleep(0.005)
            at = time.perf_counter()
            recording.stop()
            stops.append(time.perf_counter() - at)
        for name, values in (("before the request", starts), ("after the answer", stops)):
            print(f"{name}: median {statistics.median(values) * 1e3:.2f} ms, most {max(values) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
