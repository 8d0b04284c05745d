"""A run as hyperfine writes its results (`--export-json`), a file for each backend: for scripts made for hyperfine.

results[0]      `command` (the backend, in a load with its level), `mean`, `stddev` (n - 1, null for one sample),
                `median`, `min`, `max`, `times` (the latencies in the order of completion), all in s, and
                `exit_codes` (a 0 for each time). `user` and `system` are null: they would be the CPU time of a
                command, and llmtui runs none.
llmtui          what hyperfine has no place for: `run`, `created_utc`, `backend`, `model`, `weights`, `level` (the
                one of a load that counts, of a search the first), and `failed`: how many samples failed. They have
                no latency, so they are in no other figure, and have no exit code.
"""

from __future__ import annotations

import math
import re
import statistics
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from llmtui.export.counted import counted
from llmtui.export.json import plain_json
from llmtui.runview.backend import BackendView
from llmtui.runview.run import RunView
from llmtui.store.atomic import write_atomic
from llmtui.text import sanitize

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_NAME = 60


def write_hyperfine(run_view: RunView, folder: Path) -> list[str]:
    """Write these files to `folder`, which is created. Return a sentence about each backend without one.

    Raises OSError, and StoreError if the requests of a load cannot be read.
    """
    # All are made first: nothing is written if the requests cannot be read.
    views = run_view.backends.values()
    documents = {view.backend.name: hyperfine_document(run_view, view) for view in views}
    folder.mkdir(exist_ok=True)
    taken: set[str] = set()
    for name, document in documents.items():
        if document is not None:
            write_atomic(folder / file_name(name, ".json", taken), plain_json(document))
    silent = [name for name, document in documents.items() if document is None]
    return [f"no file for {sanitize(name, 60)}: it has no samples" for name in silent]


def hyperfine_document(run_view: RunView, backend_view: BackendView) -> dict[str, Any] | None:
    """Return the document of a backend, None if it has no samples."""
    times, failed = array("d"), 0
    for sample in counted(run_view, backend_view):
        if sample.ok and sample.latency_s is not None:
            times.append(sample.latency_s)
        else:
            failed += 1
    if not times:
        return None
    plan, head, name = run_view.plan, run_view.plan.head_level, backend_view.backend.name
    mean, deviation = _mean(times)
    return {
        "results": [
            {
                "command": f"{name} ({head.title})" if head is not None else name,
                "mean": mean,
                "stddev": deviation,
                "median": statistics.median(times),
                "user": None,
                "system": None,
                "min": min(times),
                "max": max(times),
                "times": msgspec.Raw(msgspec.json.encode(times.tolist())),
                "exit_codes": [0] * len(times),
            }
        ],
        "llmtui": {
            "run": plan.run,
            "created_utc": plan.created_utc,
            "backend": name,
            "model": backend_view.model,
            "weights": backend_view.weights,
            "level": head.title if head is not None else None,
            "failed": failed,
        },
    }


def _mean(times: Iterable[float]) -> tuple[float, float | None]:
    """The mean of `times` and their sample standard deviation, None for one of them."""
    values = list(times)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def file_name(backend: str, suffix: str, taken: set[str]) -> str:
    """Return a safe name for the file of a backend, which is not in `taken`, and add it."""
    stem = _UNSAFE.sub("-", sanitize(backend)).strip("-.")[:_LONGEST_NAME] or "backend"
    name, number = f"{stem}{suffix}", 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}{suffix}", number + 1
    taken.add(name.lower())
    return name
