"""Does a file of many requests take more memory than one of few: Parquet that is written, AIPerf's JSON that is read?

    python -m tests.bench.files_memory [--few 20000] [--many 200000] [--gaps 64]

Parquet: a load whose requests come from the history a batch at a time, as `llmtui export --parquet` gets them. Import:
a `profile_export.jsonl` with `--gaps` gaps between chunks in each line. Each is measured in a process of its own, as
the growth of its largest resident size (ru_maxrss) after its imports. Goal for Parquet: at most 64 MB at both sizes,
and at most 8 MB more for ten times the rows. An import has the requests in memory to compute figures of all, so it is
reported per request, and as a share of the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.bench.common import heading

_BATCH = 1_000
_MB = 1e6
#: ru_maxrss is in kB on Linux, and in bytes on macOS.
_UNIT = 1 if sys.platform == "darwin" else 1024


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def parquet(requests: int) -> int:
    """Write a load of this many requests, and return the bytes by which the process grew."""
    import pyarrow.parquet  # noqa: F401

    from llmtui.export.parquet import write_parquet
    from llmtui.model import Iteration, Turn
    from tests import loads

    view = loads.raced({"a": 1.0}, rounds=2)

    def read(turn: Turn) -> Iterator[list[Iteration]]:
        for first in range(0, requests // len(view.backends["a"].turns), _BATCH):
            yield [
                turn.request(request=n, share="window", latency_s=1 + n / 1e6)
                for n in range(first + 1, first + _BATCH + 1)
            ]

    view.requests = read
    with tempfile.TemporaryDirectory() as folder:
        before = _largest()
        write_parquet(view, Path(folder) / "tables")
        return _largest() - before


def imported(requests: int, gaps: int) -> tuple[int, int]:
    """Import a file of this many requests. Return the bytes by which the process grew, and those of the file."""
    from llmtui.imports.build import runs_of
    from llmtui.imports.files import named, read_files

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile_export.jsonl"
        _write_records(path, requests, gaps)
        before = _largest()
        reads, _ = read_files(named([str(path)]))
        runs = runs_of(reads, {path: "2026-11-22T15:00:00.000Z"})
        assert sum(len(samples) for run in runs for _, samples in run.turns) == requests
        return _largest() - before, path.stat().st_size


def _write_records(path: Path, requests: int, gaps: int) -> None:
    each = [round(12.0 + n % 7 / 10, 6) for n in range(gaps)]
    with path.open("w", encoding="utf-8") as file:
        for n in range(requests):
            record = {
                "metadata": {
                    "session_num": n,
                    "request_start_ns": 1_795_359_600_000_000_000 + n // 32 * 900_000_000,
                    "benchmark_phase": "profiling",
                },
                "metrics": {
                    "request_latency": {"value": 880.5, "unit": "ms"},
                    "time_to_first_token": {"value": 101.25, "unit": "ms"},
                    "inter_chunk_latency": {"value": each, "unit": "ms"},
                    "output_sequence_length": {"value": gaps + 1, "unit": "tokens"},
                },
            }
            file.write(json.dumps(record) + "\n")


def _in_process(*words: str) -> list[int]:
    argv = [sys.executable, "-m", "tests.bench.files_memory", "--one", *words]
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return msgspec.json.decode(out.encode(), type=list[int])


def main() -> None:
    """Measure both sizes of both, or `--one` of them in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--few", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--gaps", type=int, default=64)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, *numbers = given.one
        result = [parquet(int(numbers[0]))] if kind == "parquet" else [*imported(int(numbers[0]), int(numbers[1]))]
        print(json.dumps(result))
        return
    print(heading("memory of files with many requests"))
    grown = [_in_process("parquet", str(count))[0] for count in (given.few, given.many)]
    holds = max(grown) <= 64e6 and grown[1] - grown[0] <= 8e6
    print(
        f"Parquet written: {grown[0] / _MB:.1f} MB for {given.few} requests, {grown[1] / _MB:.1f} MB for {given.many}: "
        f"{'holds' if holds else 'DOES NOT HOLD'}"
    )
    for count in (given.few, given.many):
        more, size = _in_process("import", str(count), str(given.gaps))
        print(
            f"AIPerf read: {more / _MB:.1f} MB for {count} requests in a file of {size / _MB:.1f} MB: "
            f"{more / count:.0f} bytes a request, {more / size:.2f} of the file"
        )


if __name__ == "__main__":
    main()
