"""Redraws happen immediately, then at a limited rate."""

from __future__ import annotations

from llmtui.ui.throttle import Throttle


def test_first_request_runs_immediately_and_later_ones_are_throttled() -> None:
    now = 0.0
    runs: list[float] = []
    later: list[tuple[float, object]] = []
    pace = Throttle(0.5, lambda: runs.append(now), lambda wait, call: later.append((wait, call)), lambda: now)
    pace.request()
    assert runs == [0.0]
    now = 0.1
    for _ in range(50):
        pace.request()
    assert runs == [0.0]
    assert len(later) == 1
    wait, call = later[0]
    assert abs(wait - 0.4) < 1e-9
    now = 0.5
    call()  # type: ignore[operator]
    assert runs == [0.0, 0.5]
    now = 2.0
    pace.request()
    assert runs == [0.0, 0.5, 2.0]
