"""How far a run is, and how long it still takes: from the iterations that each backend has finished."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from llmtui.engine.backend_run import BackendRun
from llmtui.model import FAILED, RunConfig


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """Finished and planned iterations, or turns, with the warm-ups, and the time left, with that of planned launches.

    `eta_s` is None while a backend with work left has finished no iteration. `current_s` is the part of it that
    belongs to what is under way, negative if that takes longer than expected, None if it is unknown.
    """

    finished: int
    total: int
    eta_s: float | None
    current_s: float | None


def run_progress(backends: Iterable[BackendRun], config: RunConfig, now: float) -> RunProgress:
    """Return the progress of a run at `now` (time.monotonic())."""
    backends = list(backends)
    finished = sum(_finished(backend_run, config) for backend_run in backends)
    left = sum(len(backend_run.queue) + backend_run.asking for backend_run in backends)
    turns = config.iterations + bool(config.warmup)
    left += sum(backend_run.probes_left * turns for backend_run in backends)
    queued_s: float | None = 0.0
    current_s: float | None = None
    for backend_run in backends:
        under_way = backend_run.expected_s(backend_run.level)
        if backend_run.queue or backend_run.asking:
            levels = Counter(job.level for job in backend_run.queue)
            expected = {level: backend_run.expected_s(level) for level in levels}
            if queued_s is None or None in expected.values() or (not expected and under_way is None):
                queued_s = None
            else:
                queued_s += sum(n * ((expected[level] or 0.0) + config.cooldown_s) for level, n in levels.items())
                queued_s += backend_run.launches_left * (backend_run.usual_load_s or 0.0)
                # Probes that may follow are taken to be as long as the newest.
                queued_s += backend_run.probes_left * turns * ((under_way or 0.0) + config.cooldown_s)
        if backend_run.launching_at is not None and backend_run.usual_load_s is not None:
            current_s = backend_run.usual_load_s - (now - backend_run.launching_at)
        elif backend_run.asked_at is not None and under_way is not None:
            current_s = under_way - (now - backend_run.asked_at)
        elif backend_run.resting_until is not None:
            current_s = max(0.0, backend_run.resting_until - now)
    eta_s = queued_s + max(0.0, current_s or 0.0) if queued_s is not None else None
    return RunProgress(finished, finished + left, _rounded(eta_s), _rounded(current_s))


def _finished(backend_run: BackendRun, config: RunConfig) -> int:
    """The finished iterations of the attempt, warm-ups and failures among them."""
    if backend_run.state.state in FAILED or backend_run.under_load:
        return backend_run.finished
    state = backend_run.state
    planned = config.warmups_of(backend_run.backend, state.planned) + state.planned
    return planned - len(backend_run.queue) - backend_run.asking - backend_run.dropped


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 1) if seconds is not None else None
