"""How long a run of the history was in progress."""

from __future__ import annotations

from llmtui.model import Iteration, RunConfig
from llmtui.store.elapsed import elapsed_s
from tests.store.runs import iteration

CONFIG = RunConfig(load_timeout_s=60.0, cooldown_s=1.0)
CREATED = "2026-11-22T15:00:00.000Z"


def at(minute: int, second: int, latency_s: float | None = 2.0) -> Iteration:
    return iteration(started_utc=f"2026-11-22T15:{minute:02}:{second:02}.000Z", latency_s=latency_s)


def test_from_the_start_to_the_recorded_end() -> None:
    iterations = [at(0, 5), at(0, 8), at(0, 11)]
    assert elapsed_s(CREATED, "2026-11-22T15:00:14.500Z", iterations, CONFIG) == 14.5
    # One that died has no end: it ends with its last iteration, which may have failed.
    assert elapsed_s(CREATED, None, iterations, CONFIG) == 13.0
    assert elapsed_s(CREATED, None, [*iterations, at(0, 20, None)], CONFIG) == 20.0


def test_a_download_before_the_first_iteration_counts() -> None:
    assert elapsed_s(CREATED, "2026-11-22T15:30:03.000Z", [at(30, 0)], CONFIG) == 1803.0


def test_the_break_before_it_was_continued_does_not_count() -> None:
    iterations = [at(0, 5), at(20, 0), at(20, 30)]
    assert elapsed_s(CREATED, "2026-11-22T15:20:32.000Z", iterations, CONFIG) == 7 + 32
    # Nor does a wait for a rerun that measured nothing.
    assert elapsed_s(CREATED, "2026-11-22T15:50:00.000Z", iterations, CONFIG) == 7 + 32


def test_a_run_without_iterations() -> None:
    assert elapsed_s(CREATED, "2026-11-22T15:03:00.000Z", [], CONFIG) == 180.0
    assert elapsed_s(CREATED, None, [], CONFIG) == 0.0
    assert elapsed_s(CREATED, "2026-11-22T14:00:00.000Z", [], CONFIG) == 0.0, "the clock was set back"
