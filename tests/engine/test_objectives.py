"""Objectives in a real engine: turns count who kept them, and what is missed from the start is said once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from llmtui.model import Slo
from tests.engine.helpers import engine_for, load_of, truth_backend


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history of each test is its own."""
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


@pytest.mark.slow
async def test_a_server_that_misses_an_objective_at_the_smallest_level_is_reported_once() -> None:
    slow = truth_backend("slow", arguments=["--ttft-ms", "150", "--itl-ms", "1"])
    fast = truth_backend("fast", arguments=["--ttft-ms", "2", "--itl-ms", "1"])
    plan = load_of(slow, fast, concurrency=[1, 2], requests=10, iterations=2)
    async with engine_for(msgspec.structs.replace(plan, slo=Slo(ttft_s=0.1))) as run:
        run_view = await run.until_done()
    (note,) = [note for note in run_view.notes if "misses" in note.text]
    assert note.backend == "slow" and note.level == "warning"
    assert note.text.startswith("even at 1 stream, the smallest level, it misses TTFT 100 ms (0% of the requests ")
    for level in (1, 2):
        figures = run_view.backends["slow"].at_level(level)
        assert (figures.kept, figures.missed, figures.attainment) == (0, 20, 0.0)
        assert (run_view.backends["fast"].at_level(level).attainment or 0.0) > 0.8
