"""A sample during which the server loaded its model is marked, counted and shown, but it is in no figure or comparison.

Loading is not part of an answer: real servers load when their runner was started again, or when another program made
them unload the model.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import msgspec
import pytest

from llmtui.cli.run_lines import iteration_line as run_line
from llmtui.export.csv import iterations_csv, results_csv
from llmtui.export.json import run_json
from llmtui.export.table import summary_table
from llmtui.model import Iteration, IterationDone
from llmtui.model.sample import LOADED_S
from llmtui.runview.run import RunView
from llmtui.stats.checks import Evidence
from llmtui.stats.metrics import METRICS
from llmtui.stats.rounds import Rounds
from llmtui.stats.running import Running
from llmtui.stats.verdict import Verdict
from llmtui.ui.views.details import arrival_facts, clock_lines
from llmtui.ui.views.iteration_filter import iteration_filter
from llmtui.ui.views.iteration_table import iteration_line
from llmtui.ui.views.ranking import doubts, fitted_ranking
from tests import build
from tests.stats.build import NOISE
from tests.wire.replay import FIXTURES

LOAD_S = 0.54
#: load_duration of a model in memory, from requests to Ollama 0.32 and 0.33, and of one that was loaded, in s.
WARM_S = (0.000569, 0.00102, 0.00215, 0.0095, 0.0104)
COLD_S = (0.556, 0.737, 0.838, 4.07, 5.17)


def sample(name: str, number: int, load_s: float | None = 0.001, **fields: Any) -> Iteration:
    second = 2 * number + (name == "b")
    latency_s = 0.93 + NOISE[second] + (load_s or 0.0)
    usual: dict[str, Any] = {
        "started_utc": f"2026-11-22T15:00:{second:02}.000Z",
        "ttft_s": 0.11 + (load_s or 0.0),
        "ttfo_s": 0.11 + (load_s or 0.0),
        "itl_s": 0.01,
        "tokens_per_s": 90.0,
        "tpot_s": 0.011,
        "prompt_tokens": 46,
        "cached_tokens": 0,
        "server_load_s": load_s,
        "server_prefill_s": 0.1,
        "server_decode_s": 0.8,
        "foreign_cpu": 0.0,
    }
    return build.answered(name, number, **({"latency_s": latency_s} | usual | fields))


def race(loads: int, rounds: int = 12, warmup: int = 1) -> RunView:
    """Two equal backends in turns, of which "b" loads its model during its first `loads` iterations."""
    run_view = build.run_view(build.plan("a", "b", iterations=rounds, warmup=warmup))
    for number in range(1, rounds + 1):
        for name in "ab":
            load_s = LOAD_S if name == "b" and number <= loads else 0.001
            run_view.apply(IterationDone(iteration=sample(name, number, load_s)))
    for name in "ab":
        run_view.apply(build.changed(name, planned=rounds))
    return run_view


@pytest.mark.parametrize("load_s", WARM_S)
def test_a_model_that_is_in_memory_is_no_load(load_s: float) -> None:
    assert not sample("a", 1, load_s).loaded


@pytest.mark.parametrize("load_s", COLD_S)
def test_a_model_that_was_loaded_is_one(load_s: float) -> None:
    assert sample("a", 1, load_s).loaded


def test_every_captured_load_is_told_from_a_model_in_memory() -> None:
    """The answers of real servers: those that loaded have a name or a case that says so."""
    durations: dict[str, float] = {}
    for file in FIXTURES.glob("ollama*/*.response"):
        if found := re.findall(rb'"load_duration": ?(\d+)', file.read_bytes()):
            durations[file.stem] = int(found[-1]) / 1e9
    loaded = {name for name, load_s in durations.items() if sample("a", 1, load_s).loaded}
    assert len(durations) >= 10
    assert "chat_stream_cold" in loaded
    assert max(load_s for name, load_s in durations.items() if name not in loaded) < LOADED_S / 5
    assert min(durations[name] for name in loaded) > 5 * LOADED_S


def test_what_changes_no_figure_is_no_load() -> None:
    assert not sample("a", 1, 0.15, ttft_s=20.0, latency_s=60.0).loaded, "0.75% of the time to the first token"
    assert sample("a", 1, 0.3, ttft_s=20.0, latency_s=60.0).loaded
    assert sample("a", 1, 0.3, ttft_s=None, latency_s=2.0).loaded, "an answer in one piece has a latency only"
    assert not sample("a", 1, None).loaded
    assert not msgspec.structs.replace(sample("a", 1, LOAD_S), latency_s=None).loaded, "a failure is not a sample"


def test_no_figure_contains_it() -> None:
    samples = [sample("a", number) for number in range(1, 13)]
    loaded = [sample("a", number, LOAD_S) for number in range(13, 16)]
    without, with_them = Running(samples).summary, Running([*samples, *loaded]).summary
    for metric in METRICS:
        assert with_them.spread(metric) == without.spread(metric), metric
        assert Rounds([*samples, *loaded]).values(metric) == Rounds(samples).values(metric)
        assert Evidence([*samples, *loaded]).metrics[metric].values == Evidence(samples).metrics[metric].values
    assert (with_them.n, with_them.loaded, with_them.left_out, without.loaded) == (15, 3, 0, 0)


@pytest.mark.parametrize("loads", [1, 4, 7])
def test_equal_backends_stay_equal(loads: int) -> None:
    verdict = race(loads, rounds=20).verdict()
    (pair,) = verdict.board.comparisons
    assert pair.paired
    assert pair.n == 20 - loads
    assert 0.95 < pair.ratio < 1.05
    assert not verdict.fastest


def test_many_loads_withhold_a_star() -> None:
    """A server may load again because another one was slow: then the rounds in which that one was fast remain."""

    def verdict(loads: int) -> Verdict:
        run_view = build.run_view(build.plan("a", "b", iterations=20, warmup=1))
        for number in range(1, 21):
            for name in "ab":
                made = sample(name, number, LOAD_S if name == "b" and number <= loads else 0.001)
                slower = (made.latency_s or 0.0) * (1.3 if name == "b" else 1.0)
                run_view.apply(IterationDone(iteration=msgspec.structs.replace(made, latency_s=slower)))
        for name in "ab":
            run_view.apply(build.changed(name, planned=20))
        return run_view.verdict()

    assert (verdict(2).fastest, verdict(2).withheld) == ("a", "")
    assert (verdict(3).fastest, verdict(3).withheld) == ("", "loads left out")
    assert verdict(3).line.startswith("a is ahead (loads left out): b takes 1.")


def test_a_backend_that_always_loads_has_no_result() -> None:
    verdict = race(12).verdict()
    assert verdict.line == "nothing to compare by latency"
    (check,) = [check for check in verdict.checks if check.code == "loaded-inside"]
    assert check.level == "warning"


def test_the_check_says_how_often_and_what_to_do() -> None:
    (check,) = [check for check in race(4).verdict().checks if check.code == "loaded-inside"]
    assert check.level == "warning"
    assert check.backends == ["b"]
    assert check.text == "left out, as the server loaded its model meanwhile: b 4 of 12 iterations, up to 0.540 s"
    assert "keep_alive" in check.todo
    (check,) = [check for check in race(1, warmup=0).verdict().checks if check.code == "loaded-inside"]
    assert check.level == "note"
    assert check.todo == "set warmup = 1 in [run], so that a warm-up loads the model"
    assert "loaded-inside" not in {check.code for check in race(0).verdict().checks}


def test_every_place_marks_it() -> None:
    run_view = race(4)
    b, loaded, other = run_view.backends["b"], sample("b", 1, LOAD_S), sample("b", 1)
    assert "b: 4 of 12 iterations left out: the server loaded its model meanwhile" in summary_table(run_view, 120)
    assert arrival_facts(b) == ["4 of 12 iterations left out: the server loaded its model meanwhile"]
    assert "loads left out: 4 of 24" in doubts(run_view, "latency")
    narrow = fitted_ranking([("a 1.00 s", "")], ["3 of 24 measured while busy", *doubts(run_view, "latency")], 60)
    assert "".join(text for text, _ in narrow).strip().endswith("3 of 24 busy; loads left out")
    assert "load 0.540 s: in no figure" in "".join(text for text, _ in iteration_line(loaded, 160, False))
    assert "load" not in "".join(text for text, _ in iteration_line(other, 160, False))
    assert any("in no figure" in text for line in clock_lines(loaded, 100) for text, _ in line)
    assert "left out: the server loaded its model, 0.540 s" in run_line(run_view, loaded)
    warm_up = run_line(run_view, msgspec.structs.replace(loaded, phase="warmup"))
    assert warm_up.endswith("  the server loaded its model, 0.540 s")
    only_loaded = iteration_filter("loaded")
    assert only_loaded is not None and only_loaded(loaded) and not only_loaded(other)
    rows = list(csv.DictReader(io.StringIO(results_csv(run_view))))
    assert [row["loaded"] for row in rows] == ["0", "4"]
    rows = list(csv.DictReader(io.StringIO(iterations_csv(run_view))))
    assert [row["loaded"] for row in rows if row["backend"] == "b"] == ["yes"] * 4 + ["no"] * 8
    summaries = [of["summary"] for of in json.loads(run_json(run_view))["backends"]]
    assert [of["loaded"] for of in summaries] == [0, 4]


def test_a_warm_up_that_loads_is_shown_as_it_was() -> None:
    warm_up = sample("a", 1, LOAD_S, phase="warmup")
    summary = Running([warm_up, *(sample("a", number) for number in range(1, 13))]).summary
    assert summary.first_s == warm_up.latency_s
    assert summary.warmups is not None and summary.warmups.median == warm_up.latency_s
    assert summary.loaded == 0
