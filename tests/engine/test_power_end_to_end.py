"""Power in real runs: read from a recorded tree whose counter runs, into history, CSV and notes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from llmtui.export.csv import iterations_csv, results_csv, turns_csv
from llmtui.runview.run import RunView
from tests import power_trees as trees
from tests.engine.helpers import engine_for, from_history, load_of, notes_of, plan_of, truth_backend

pytestmark = pytest.mark.slow  # the idle machine is read for three seconds

WATTS = 120.0
SLOW = ["--itl-ms", "5"]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A processor with a counter that starts again from 0 during the run."""
    monkeypatch.setenv("LLMTUI_POWER", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path / "state"))
    return trees.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 0, most_uj=500_000_000)


async def test_a_race(package: Path) -> None:
    plan = plan_of(truth_backend("a", arguments=SLOW), iterations=2, max_tokens=64)
    with trees.counting(package, WATTS, most=500_000_000):
        async with engine_for(plan) as run:
            await run.until_done()
            view = run.run_view
    assert any(note.startswith(": power is read from package-0, idle 1") for note in notes_of(run))
    for iteration in view.backends["a"].iterations:
        power = iteration.power
        assert power is not None and power.joules is not None and iteration.latency_s is not None
        assert power.meters == ["package-0"] and power.gpu_joules is None
        assert power.watts == pytest.approx(WATTS, rel=0.1)
        assert power.seconds == pytest.approx(iteration.latency_s, abs=1e-5)
        assert power.joules_per_token == pytest.approx(power.joules / 64)
        assert abs(power.joules_above_idle or 0) <= 0.2 * power.joules, "it draws as much while it is idle"
    check_exports(view, from_history(plan))


def check_exports(view: RunView, stored: RunView) -> None:
    assert iterations_csv(stored) == iterations_csv(view)
    [result] = rows(results_csv(view))
    assert float(result["watts_median"]) == pytest.approx(WATTS, rel=0.1)
    for row in rows(iterations_csv(view)):
        assert row["energy_of"] == "package-0" and row["gpu_use"] == ""
        assert 0 < float(row["energy_error_j"]) < 0.25 * float(row["energy_j"])


async def test_a_load(package: Path) -> None:
    plan = load_of(truth_backend("a", arguments=SLOW), concurrency=[2], requests=8, iterations=1, max_tokens=32)
    with trees.counting(package, WATTS, most=500_000_000):
        async with engine_for(plan) as run:
            await run.until_done()
            view = run.run_view
    turn = view.backends["a"].turns[-1]
    power = turn.power
    assert power is not None and turn.window_s is not None and turn.output_tokens_per_s is not None
    assert power.seconds == pytest.approx(turn.window_s, abs=0.001)
    assert power.joules_per_token == pytest.approx(WATTS / turn.output_tokens_per_s, rel=0.1)
    assert turns_csv(from_history(plan)) == turns_csv(view)
    assert rows(turns_csv(view))[-1]["energy_of"] == "package-0"
    assert float(rows(results_csv(view))[-1]["energy_per_token_median_j"]) == power.joules_per_token
