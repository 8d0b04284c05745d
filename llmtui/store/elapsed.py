"""How long a run of the history was in progress."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from llmtui.model import Iteration, RunConfig


def elapsed_s(created_utc: str, ended_utc: str | None, iterations: Iterable[Iteration], config: RunConfig) -> float:
    """Return the seconds between the start of a run and its end (None: that of the last iteration).

    The history does not record when a run was continued, or when a backend was rerun after the end. A wait between two
    iterations that is longer than a server may take to load is such a break, and does not count.
    """
    spans = sorted((_seconds(i.started_utc), i.latency_s or 0.0) for i in iterations)
    created, break_s = _seconds(created_utc), config.load_timeout_s + config.cooldown_s
    at, total = created, 0.0
    for number, (start, duration) in enumerate(spans):
        wait = start - at
        # The first iteration may have waited for a download.
        if wait > 0 and (number == 0 or wait <= break_s):
            total += wait
        total += max(0.0, start + duration - max(start, at))
        at = max(at, start + duration)
    wait = _seconds(ended_utc) - at if ended_utc is not None else 0.0
    return round(total + (wait if wait > 0 and (wait <= break_s or not spans) else 0.0), 3)


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
