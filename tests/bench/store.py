"""What does the history cost on this disk? Takes a few seconds.

    python -m tests.bench.store [FOLDER]

A run is saved as an engine saves it, with answers of 64 and of 1,000 arrivals; then it is listed and loaded. `bytes
each` is the file's size per iteration, text (five bytes a token) included. `sync` compares SQLite's levels of
durability on the same rows; llmtui uses FULL.
"""

from __future__ import annotations

import math
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from llmtui.model import Backend, BackendState, Iteration, Machine, Plan, RunConfig
from llmtui.store.open import open_store
from tests.bench.common import command_line

N = 1000


def _plan(run: str) -> Plan:
    return Plan(
        run=run, created_utc="2026-11-22T15:00:00.000Z", config=RunConfig(iterations=N), backends=[Backend(name="a")]
    )


def _iterations(run: str, arrivals: int) -> list[Iteration]:
    chance = random.Random(0)
    made = []
    for number in range(1, N + 1):
        at = [150_000_000]
        for _ in range(arrivals - 1):
            at.append(at[-1] + int(chance.gauss(12_500_000, 400_000)))
        made.append(
            Iteration(
                run=run,
                backend="a",
                attempt=1,
                iteration=number,
                phase="measured",
                started_utc="2026-11-22T15:00:00.250Z",
                latency_s=at[-1] / 1e9,
                ttft_s=0.15,
                ttfo_s=0.15,
                itl_s=0.0125,
                tpot_s=0.0125,
                tokens_per_s=80.0,
                output_tokens=arrivals,
                prompt_tokens=46,
                token_source="usage",
                finish_reason="length",
                foreign_cpu=0.01,
                stamp="kernel",
                text="word " * arrivals,
                arrivals_ns=at,
                arrival_tokens=[1] * arrivals,
            )
        )
    return made


def _report(name: str, took_ms: list[float], more: str = "") -> None:
    ordered = sorted(took_ms)
    p95 = ordered[math.ceil(len(ordered) * 0.95) - 1]
    figures = f"median {statistics.median(ordered):8.3f} ms  p95 {p95:8.3f} ms  max {ordered[-1]:8.3f} ms"
    print(f"{name:34} n {len(ordered):5}  {figures}  {more}".rstrip())


def _timed(works: Iterable[Callable[[], object]]) -> list[float]:
    took_ms = []
    for work in works:
        began = time.perf_counter()
        work()
        took_ms.append((time.perf_counter() - began) * 1e3)
    return took_ms


def _save(file: Path, iterations: list[Iteration], level: str) -> None:
    run = iterations[0].run
    store, _ = open_store(file)
    with store:
        store._connection.execute(f"PRAGMA synchronous = {level}")
        store.begin(_plan(run), Machine())
        took_ms = _timed(partial(store.save_iteration, iteration) for iteration in iterations)
    grown = file.stat().st_size / len(iterations)
    _report(f"save, {len(iterations[0].arrivals_ns)} arrivals, sync {level}", took_ms, f"{grown:.0f} bytes each")


def _read(file: Path, run: str) -> None:
    store, _ = open_store(file)
    with store:
        states = [BackendState(name="a", version=str(n)) for n in range(100)]
        _report("save a state", _timed(partial(store.save_state, run, state) for state in states))
        _report(f"list a run of {N}", _timed([store.runs] * 20))
        _report(f"load a run of {N}", _timed([partial(store.load, run)] * 5))
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    _report("open, check and close", _timed([lambda: open_store(file)[0].close()] * 20), size)


def main() -> None:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("folder", nargs="?", help="folder for the file (default: the temporary folder)")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as folder:
        print(f"SQLite {sqlite3.sqlite_version}, in {folder}")
        for arrivals in (64, 1000):
            iterations = _iterations(f"{arrivals:08x}", arrivals)
            for level in ("NORMAL", "FULL"):
                _save(Path(folder) / f"{arrivals}-{level}.db", iterations, level)
            _read(Path(folder) / f"{arrivals}-FULL.db", f"{arrivals:08x}")


if __name__ == "__main__":
    main()
