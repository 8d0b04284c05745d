"""`llmtui trend`: one backend over the runs of a history, and where its level shifts."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from llmtui.cli.app import cli
from llmtui.cli.exits import exit_code_of
from llmtui.store.open import open_store
from tests.cli.histories import NOISE
from tests.store import runs


def add(
    file: Path, number: int, latencies: dict[str, float], version: str = "1.0", cores: int = 2, n: int = 10
) -> None:
    """Write the run of a day, with backends of these latencies (s)."""
    run = f"{number:08x}"
    plan = runs.plan(run, *latencies, warmup=0, iterations=n, created=f"2026-10-{number:02}T12:00:00.000Z")
    store, _ = open_store(file)
    with store:
        store.begin(plan, msgspec.structs.replace(runs.MACHINE, cores=cores))
        for name, latency_s in latencies.items():
            for k in range(1, n + 1):
                store.save_iteration(runs.iteration(run, name, k, latency_s=latency_s * (1 + NOISE[k % 10])))
            store.save_state(run, runs.state(name, version=version))
        store.finish(run, "done")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 runs: from the 11th on `a` is 10% slower, with another version. And one on other hardware."""
    file = tmp_path_factory.mktemp("trend") / "history.db"
    for number in range(1, 21):
        wander = 1 + NOISE[number % 10]
        slower = 1.1 if number > 10 else 1.0
        add(file, number, {"a": 0.5 * slower * wander, "b": 0.4 * wander}, version="1.1" if number > 10 else "1.0")
    add(file, 21, {"a": 0.9, "b": 0.4}, n=2)
    add(file, 9 + 16, {"c": 0.9}, cores=4)
    return file


def trend(file: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["trend", *arguments, "--store", str(file)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_shift_is_named_with_what_changed_and_what_did_not(history: Path) -> None:
    result = trend(history, "a")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a: latency, the median of each run with its 95% interval; 20 runs of one setup,")
    assert "1 run with fewer than 3 samples" in result.stderr
    at = next(place for place, line in enumerate(lines) if line.startswith("0000000b"))
    assert lines[at - 2] == "== latency +10%, slower from here on" and lines[at - 1] == "-- version 1.0 -> 1.1"
    # The plot: each median at its place between the least and the largest end of an interval.
    plots = [line.rindex("o") for line in lines if line.startswith("000000")]
    assert min(plots[10:]) > max(plots[:10]) + 10
    sentence = " ".join(" ".join(lines[at + 10 :]).split())
    assert "shifts at run 0000000b of 2026-10-11: latency +10%" in sentence
    assert "changed at this run: version 1.0 -> 1.1" in sentence
    assert "the other backends of these runs: b " in sentence and "looks like the machine" not in sentence
    steady = trend(history, "b")
    assert "no level shift shown" in steady.stdout


def test_the_same_as_json(history: Path) -> None:
    document = json.loads(trend(history, "a", "--json", "-n", "18").stdout)
    assert (document["backend"], document["metric"], document["level"]) == ("a", "latency", "")
    assert [run["run"] for run in document["runs"]] == [f"{number:08x}" for number in range(4, 21)]
    assert document["left_out"] == {"few samples": 1}
    (shift,) = document["shifts"]
    assert shift["run"] == "0000000b" and shift["low"] < 1.1 < shift["high"] and 0 < shift["p"] <= document["alpha"]
    changed = {run["run"]: run["changes"] for run in document["runs"] if run["changes"]}
    assert changed == {"0000000b": [{"what": "version", "before": "1.0", "after": "1.1"}]}


def test_other_hardware_is_another_series(history: Path, tmp_path: Path) -> None:
    file = tmp_path / "two.db"
    for number in range(1, 5):
        add(file, number, {"a": 0.5}, cores=2 if number < 3 else 4)
    result = trend(file, "a")
    assert "2 runs on other hardware" in result.stderr
    assert "2 runs: a level shift needs 10 at least" in result.stdout
    assert "00000001" in trend(file, "a", "--like", "00000002").stdout


def test_an_unknown_backend_is_refused_with_the_nearest_one(history: Path) -> None:
    result = CliRunner().invoke(cli, ["trend", "A", "--store", str(history)])
    assert result.exception is not None
    assert exit_code_of(result.exception) == 2
    assert "no run in the history has a backend 'A'; did you mean 'a'?" in str(result.exception)
