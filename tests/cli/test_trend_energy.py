"""`llmtui trend --metric energy_per_token`: runs of the same meters are one series, and a shift is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmtui.cli.app import cli
from llmtui.model import Power
from llmtui.store.open import open_store
from tests.cli.histories import NOISE
from tests.store import runs


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 runs, from the 8th on with 30% more energy per token; the 3rd with another meter, the 4th without any."""
    file = tmp_path_factory.mktemp("energy") / "history.db"
    for number in range(1, 14):
        run = f"{number:08x}"
        store, _ = open_store(file)
        with store:
            plan = runs.plan(run, "a", warmup=0, iterations=6, created=f"2026-10-{number:02}T12:00:00.000Z")
            store.begin(plan, runs.MACHINE)
            meters = ["card", "package-0"] if number == 3 else ["package-0"]
            for k in range(1, 7):
                joules = 0.5 * (1.3 if number > 7 else 1.0) * (1 + NOISE[(number + k) % 10])
                power = Power(meters=meters, joules_per_token=joules, joules_per_token_error=0.02)
                store.save_iteration(runs.iteration(run, "a", k, power=power if number != 4 else None))
            store.save_state(run, runs.state("a"))
            store.finish(run, "done")
    return file


def trend(file: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["trend", "a", *arguments, "--store", str(file)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_energy_over_the_runs(history: Path) -> None:
    result = trend(history, "--metric", "energy_per_token")
    text = " ".join(result.stdout.split())
    assert text.startswith("a: energy per token, the median of each run with its 95% interval; 11 runs of one setup")
    assert "== energy per token +30%, worse from here on" in text
    assert "J/token" in text
    assert "energy of package-0: runs with other meters, or without energy, are left out" in text
    assert "2 runs with fewer than 3 samples" in result.stderr


def test_the_same_as_json(history: Path) -> None:
    document = json.loads(trend(history, "--metric", "energy_per_token", "--json").stdout)
    assert document["metric"] == "energy_per_token" and len(document["runs"]) == 11
    (shift,) = document["shifts"]
    assert shift["run"] == "00000008" and shift["ratio"] == pytest.approx(1.3, abs=0.02)


def test_latency_is_not_touched_by_it(history: Path) -> None:
    assert len(json.loads(trend(history, "--json").stdout)["runs"]) == 13


def test_the_interval_holds_what_the_readings_can_hide(history: Path) -> None:
    first = json.loads(trend(history, "--metric", "energy_per_token", "--json").stdout)["runs"][0]
    values = [0.5 * (1 + NOISE[1 + k]) for k in range(1, 7)]
    assert (first["low"], first["high"]) == pytest.approx((min(values) - 0.02, max(values) + 0.02))
