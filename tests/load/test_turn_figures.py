"""The figures of real turns: as samples arrive in batches, against all samples at hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.model import Iteration, Level
from llmtui.stats.turn_figures import TurnFigures
from tests.load.helpers import in_flight, slice_for, truth, window, worker
from tests.stats.turns import within


@pytest.mark.slow
@pytest.mark.parametrize(
    "level", [{"streams": 4}, {"rate": 60.0}, {"rate": 60.0, "cap": 3}], ids=("closed", "open", "capped")
)
async def test_figures_of_a_real_turn(level: dict[str, Any]) -> None:
    """80 answers of 8 tokens each."""
    samples: list[Iteration] = []
    figures = TurnFigures(Level(number=1, **level))

    def receive(batch: list[Iteration]) -> None:
        samples.extend(batch)
        figures.add(batch)

    async with truth(ttft_ms=20, itl_ms=4) as url, worker() as process:
        of = slice_for(url, requests=80, settle=8, tokens=8, **level)
        done = await process.run(of, receive, lambda now: figures.pulse(now.elapsed_s, now.in_flight))
    from_s, to_s = window(done)
    found = figures.figures(from_s, to_s)
    ended, tokens, _ = within(samples, from_s, to_s)
    assert found["requests"] == 80 and found["settled"] == 8
    assert found["requests_per_s"] == pytest.approx(ended / (to_s - from_s))
    assert found["output_tokens_per_s"] == pytest.approx(tokens / (to_s - from_s))
    assert found["in_flight"] == pytest.approx(in_flight(samples, done))
    assert found["in_flight_most"] == max(s.in_flight or 0 for s in samples if s.share == "window")
    assert found["little_residual"] is not None and found["little_residual"] < 0.3
    if level.get("rate"):
        assert found["percentiles"]["late"].n == 80 and found["scheduled_latency_s"] >= found["latency_s"]
        assert (found["percentiles"]["waiting"].p95 > 0) == bool(level.get("cap"))
    else:
        assert "late" not in found["percentiles"] and found["late_s"] is None
