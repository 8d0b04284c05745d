"""What `llmtui run` says of a load: the sentence before it, a line per turn, the table, and JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.cli.jsonl import JsonLines
from llmtui.cli.run_lines import turn_line
from llmtui.export.farewell import farewell
from llmtui.export.jsonl import sample_line
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import Backend, Failure, Load
from llmtui.model.errors import UsageError
from llmtui.model.turn import Percentiles
from llmtui.runview.loads import duration, load_sentence, short_title
from llmtui.stats.buckets import Buckets
from tests import build, loads

TTFT = {"ttft": Percentiles(n=60, p50=0.0512, p90=0.06, p95=0.071)}


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (
            Load(concurrency=[1, 4, 16], requests=40),
            "closed loop at 1, 4 and 16 streams: 10 rounds of turns of 40 requests, 3 backends: 90 turns after 9 "
            "warm-up turns",
        ),
        (
            Load(concurrency=[1, 16]),
            "closed loop at 1 and 16 streams: 10 rounds of turns of 40 to 64 requests, 3 backends: 60 turns after 6 "
            "warm-up turns",
        ),
        (
            Load(request_rate=[0.5, 2], arrival="gamma", burstiness=0.5, max_concurrency=8, duration_s=20),
            "open loop at 0.5 and 2 requests/s (gamma arrivals of burstiness 0.5, at most 8 under way): 10 rounds of "
            "turns of 20 s, 3 backends: 60 turns after 6 warm-up turns, at least 20 min",
        ),
        (
            Load(request_rate=[1], requests=1),
            "open loop at 1 request/s (Poisson arrivals): 10 rounds of turns of 1 request, 3 backends: 30 turns after "
            "3 warm-up turns",
        ),
        (Load(), ""),
    ],
)
def test_a_load_is_said_back_in_one_sentence(load: Load, sentence: str) -> None:
    assert load_sentence(loads.plan("a", "b", "c", load=load, iterations=10)) == sentence


def test_the_sentence_counts_the_warm_ups_of_each_launch() -> None:
    plan = build.plan(Backend(name="a", embedded="llama.cpp"), Backend(name="b"), iterations=10, launches=5)
    words = load_sentence(msgspec.structs.replace(plan, load=Load(concurrency=[2, 4], requests=9)))
    assert words.endswith("2 backends: 40 turns after 12 warm-up turns")
    none = msgspec.structs.replace(loads.plan("a", iterations=2, warmup=0), load=Load(concurrency=[2], requests=9))
    assert load_sentence(none).endswith("1 backend: 2 turns")


def test_titles_and_durations() -> None:
    assert short_title(Load(concurrency=[1, 4]).levels) == "closed loop 1 4"
    assert short_title(Load(request_rate=[0.5, 2.0]).levels) == "open loop 0.5 2/s"
    assert [duration(s) for s in (0.2, 40, 99, 720, 5900, 9000)] == ["1 s", "40 s", "99 s", "12 min", "98 min", "2.5 h"]


def test_a_turn_is_one_line_with_its_level() -> None:
    view = loads.raced({"a": 1.0, "long name": 1.0}, rounds=3)
    line = turn_line(view, loads.turn("a", 2, 1, percentiles=TTFT))
    assert " ".join(line.split()) == (
        "a 2/3 4 streams 512 output tokens/s 8.00 requests/s TTFT p50 51.2 ms, p95 71.0 ms (n = 60) TPOT 14.3 ms "
        "8.0 in flight"
    )
    assert "late" not in line
    assert "  late p99 0.300 ms" in turn_line(view, loads.turn("a", 2, 1, late_p99_s=0.0003))
    other = turn_line(view, loads.turn("long name", 1, 2, phase="warmup"))
    assert "warm-up 1/1  8 streams" in other
    assert line.index("output tokens/s") == other.index("output tokens/s"), "figures are below one another"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "partial"}, "partial: stopped before its end, so it is not compared"),
        (
            {"failed": 2, "refused": 1, "timed_out": 3, "unfinished": 4},
            "2 failed  1 refused  3 timed out  4 unfinished",
        ),
        (
            {"state": "partial", "error": Failure(kind="stopped", message="a worker is lost")},
            "does not count: a worker is lost",
        ),
        ({"error": Failure(kind="server", message="no \x1b[2Jmore")}, "failed: no more"),
        ({"foreign_cpu": 1.5}, "busy: other programs used 1.5 cores"),
        ({"unsettled": True}, "no steady state"),
        ({"drift": 0.12, "drift_p": 0.01}, "TPOT rose by 12% within the turn"),
        ({"beyond_capacity": True}, "beyond capacity: the queue went on growing"),
        ({"loaded": 1}, "the server loaded its model in 1 request"),
    ],
)
def test_what_was_wrong_with_a_turn_is_on_its_line(fields: dict[str, Any], words: str) -> None:
    assert turn_line(loads.raced({"a": 1.0}, rounds=1), loads.turn(**fields)).endswith("  " + words)


def test_the_table_has_a_row_per_backend_and_level() -> None:
    times = Buckets()
    times.add([0.05] * 39 + [0.5])
    ttft = {"ttft": times.encoded()}
    fields: dict[str, dict[str, Any]] = {"a": {"failed": 2, "finished": 38, "buckets": ttft}, "b": {"buckets": ttft}}
    view = loads.raced({"a": 1.0, "b": 1.2}, rounds=10, fields=fields)
    text = summary_table(view, 120)
    rows = [" ".join(line.split()[:4]) for line in text.splitlines()[2:6]]
    assert rows == ["4 streams b 10", "4 streams a 10", "8 streams b 10", "8 streams a 10"]
    (starred,) = (line for line in summary_table(loads.raced({"a": 1.0, "b": 1.2}), 120).splitlines() if line[0] == "*")
    assert starred.split()[:4] == ["*", "8", "streams", "b"], "only the level that counts gives a star"
    assert "a at 8 streams: 20 failed of 400 requests" in text
    assert "at 4 streams b gives 1.2" in text and "at 8 streams b gives 1.2" in text
    assert "TTFT p50 ms" in text and "p95 ms" in text
    assert "iteration" not in text
    assert all(len(line) <= 80 for line in summary_table(view, 80).splitlines())
    markdown = run_markdown(view)
    assert "| **`b`** " in run_markdown(loads.raced({"a": 1.0, "b": 1.2})) and markdown.count("p95 ms") == 1
    assert "closed loop at 4 and 8 streams" in markdown and "iteration" not in markdown
    assert "8 streams" in farewell(view, 80) and "at 8 streams b gives" in farewell(view, 80)


def test_a_json_line_per_turn_and_per_iteration(tmp_path: Path) -> None:
    plan = loads.plan("a")
    turn = json.loads(sample_line(plan, loads.turn("a", 2, 2, text="\u202e")))
    assert (turn["type"], turn["level_title"], turn["streams"], turn["round"]) == ("turn", "8 streams", 8, 2)
    assert turn["latency_s"] == 1.0 and turn["error"] is None and "buckets" not in turn
    race = json.loads(sample_line(build.plan("a"), build.iteration("a", 3)))
    assert (race["type"], race["iteration"]) == ("iteration", 3) and "level" not in race
    path = tmp_path / "turns.jsonl"
    lines = JsonLines(path)
    lines.write(plan, loads.turn("a", 1, 1))
    assert len(path.read_text().splitlines()) == 1, "each line is there at once"
    lines.write(plan, loads.turn("a", 2, 1))
    lines.close()
    assert [json.loads(line)["round"] for line in path.read_text().splitlines()] == [1, 2]
    with pytest.raises(UsageError, match="cannot write"):
        JsonLines(tmp_path / "none" / "x")
    full = JsonLines(Path("/dev/full"))
    full.write(plan, loads.turn())
    full.close()
    assert full.lost


@pytest.mark.slow
def test_a_real_load_streams_its_turns_and_talks_on_stderr(tmp_path: Path) -> None:
    launch = f"launch = ['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}']\n"
    path = tmp_path / "load.toml"
    path.write_text(f"[run]\nwarmup = 1\nmax_tokens = 4\n[[backend]]\nname = 'one'\n{launch}")
    command = [sys.executable, "-m", "llmtui", "run", str(path), "--max-concurrency", "1,2", "--num-prompts", "3"]
    done = subprocess.run(
        [*command, "--rounds", "2", "--jsonl", "-", "--store", str(tmp_path / "h.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    turns = [line for line in lines if line["type"] == "turn"]
    assert sorted((t["phase"], t["level_title"], t["round"]) for t in turns if t["phase"] == "measured") == [
        ("measured", "1 stream", 1),
        ("measured", "1 stream", 2),
        ("measured", "2 streams", 1),
        ("measured", "2 streams", 2),
    ]
    assert all(turn["state"] == "whole" and turn["requests"] == 3 for turn in turns)
    assert "closed loop at 1 and 2 streams: 2 rounds of turns of 3 requests, 1 backend: 4 turns" in done.stderr
    assert "every backend has had a turn at each level: the rest takes about" in done.stderr
