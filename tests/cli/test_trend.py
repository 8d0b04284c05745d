"""`llmtui trend`: one backend over the runs of a history, and where its level shifts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from llmtui.cli.app import cli
from llmtui.cli.exits import exit_code_of
from llmtui.store.open import open_store
from tests.cli.histories import NOISE, add_load
from tests.imports import files
from tests.store import runs


def add(
    file: Path,
    number: int,
    latencies: dict[str, float],
    version: str = "1.0",
    cores: int = 2,
    n: int = 10,
    warmup: int = 0,
) -> None:
    """Write the run of a day, with backends of these latencies (s)."""
    run = f"{number:08x}"
    plan = runs.plan(run, *latencies, warmup=warmup, iterations=n, created=f"2026-10-{number:02}T12:00:00.000Z")
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
    assert [run["run"] for run in document["runs"]] == [f"{number:08x}" for number in range(3, 21)]
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


def test_a_short_run_chooses_no_setup(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, 9, {"a": 0.5}, n=1)
    alone = trend(file, "a")
    assert alone.stdout == "a: no run has 3 samples of latency\n" and "1 run with fewer than 3 samples" in alone.stderr
    assert json.loads(trend(file, "a", "--json").stdout)["left_out"] == {"few samples": 1}
    for number in range(1, 5):
        add(file, number, {"a": 0.5}, warmup=3)
    result = trend(file, "a")
    assert "4 runs of one setup" in result.stdout
    assert result.stderr == "llmtui: not in this series: 1 run with fewer than 3 samples\n"


def test_a_load_is_no_setting_of_a_race(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, 1, {"a": 0.5})
    add_load(file, 2, {1: 80.0, 8: 400.0})
    hint = "llmtui trend --like RUN shows the runs like that one\n"
    assert trend(file, "a").stderr == f"llmtui: not in this series: 1 race; {hint}"
    assert trend(file, "a", "--like", "00000001").stderr == f"llmtui: not in this series: 1 load; {hint}"


def test_an_unknown_backend_is_refused_with_the_nearest_one(history: Path) -> None:
    result = CliRunner().invoke(cli, ["trend", "A", "--store", str(history)])
    assert result.exception is not None
    assert exit_code_of(result.exception) == 2
    assert "no run in the history has a backend 'A'; did you mean 'a'?" in str(result.exception)


# --- Loads. ---


def test_a_load_has_a_series_at_each_level(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    for number in range(1, 13):
        wander = 1 + NOISE[number % 10]
        # The server lost something at 8 streams alone.
        add_load(file, number, {1: 80 * wander, 8: 400 * wander * (0.8 if number > 6 else 1)})
    add(file, 13, {"a": 0.5})
    add_load(file, 14, {1: 80.0, 4: 200.0})
    add_load(file, 15, {1: 80.0, 8: 320.0})

    at_8 = trend(file, "a", "--level", "8", "--like", "0000000f")
    assert at_8.stdout.startswith("a at 8 streams: output tokens/s, the median of each run")
    assert "== output tokens/s -20%, slower from here on" in at_8.stdout
    assert "13 runs of one setup" in " ".join(at_8.stdout.split())
    at_1 = trend(file, "a", "--level", "1 stream", "--like", "0000000f")
    assert at_1.stdout.startswith("a at 1 stream: ") and "no level shift shown" in at_1.stdout
    # Without a level it is the one that counts; the newest load has none of 4 streams.
    assert trend(file, "a").stdout.startswith("a at 8 streams: ")
    at_4 = trend(file, "a", "--level", "4")
    assert "1 run: a level shift needs" in at_4.stdout and "12 runs without this level" not in at_4.stderr
    document = json.loads(trend(file, "a", "--level", "8", "--metric", "ttft", "--json").stdout)
    assert document["level"] == "8 streams" and document["runs"] == [] and document["measured_by"] == "llmtui"


def test_a_level_that_no_run_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, 1, {"a": 0.5, "b": 0.5})
    add_load(file, 2, {1: 80.0, 8: 400.0})
    for backend, words in (
        ("a", "'16' names no level, or several, of 'a'; its newest load has: 1, 8"),
        ("b", "'16' names no level, or several, of 'b'"),
        ("c", "no run in the history has a backend 'c'"),
    ):
        result = CliRunner().invoke(cli, ["trend", backend, "--level", "16", "--store", str(file)])
        assert result.exception is not None and exit_code_of(result.exception) == 2
        assert words in str(result.exception)
    alone = tmp_path / "races.db"
    add(alone, 1, {"a": 0.5})
    result = CliRunner().invoke(cli, ["trend", "a", "--level", "8", "--store", str(alone)])
    assert "no run of 'a' was a load; leave it out" in str(result.exception)


# --- Runs of other tools. ---


def test_imported_runs_are_a_series_of_their_own_that_says_what_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, 1, {"fast": 0.5})
    for number in range(1, 13):
        times = [(1.0 if number < 7 else 1.3) * (1 + NOISE[number % 10]) * (1 + noise) for noise in NOISE]
        path = files.write(tmp_path / f"{number}.json", files.hyperfine(("fast", times)))
        os.utime(path, (files.START + 3600 * number,) * 2)
        assert CliRunner().invoke(cli, ["import", str(path), "--store", str(file)]).exit_code == 0
    result = trend(file, "fast")
    shown = " ".join(result.stdout.split())
    assert "12 runs of one setup" in shown and "== latency +30%, slower from here on" in shown
    assert "measured by hyperfine, not by llmtui; unknown: prompts" in shown
    assert "may have changed from run to run" in shown
    assert "1 run that another tool measured" in result.stderr
    own = trend(file, "fast", "--like", "00000001")
    assert "12 runs that another tool measured" in own.stderr and "hyperfine" not in own.stdout
    assert json.loads(trend(file, "fast", "--json").stdout)["measured_by"] == "hyperfine"


def test_a_load_of_another_tool_has_a_turn_for_each_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    report = files.guidellm(*({"type_": "concurrent", "streams": streams} for streams in (2, 2, 2, 8)), n=60)
    path = files.write(tmp_path / "benchmarks.json", report)
    for _ in range(2):
        assert CliRunner().invoke(cli, ["import", f"one={path}", "--store", str(file)]).exit_code == 0
    few = trend(file, "one")
    assert few.stdout == "one at 8 streams: no run has 3 samples of latency\n"
    assert "2 runs with fewer than 3 samples" in few.stderr
    at_2 = trend(file, "one", "--level", "2")
    assert at_2.stdout.startswith("one at 2 streams: latency") and "2 runs: a level shift needs" in at_2.stdout
    assert "measured by guidellm 0.8.1" in " ".join(at_2.stdout.split())
