"""`history`, `show`, `export` and `resume`, also of a run whose engine was killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli import in_process
from tests.cli.histories import add
from tests.engine.helpers import assert_gone, process_tree
from tests.leftovers import command_line

LLMTUI = [sys.executable, "-m", "llmtui"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One truth server, three iterations."""
    path = tmp_path / "race.toml"
    launch = [
        sys.executable,
        "-m",
        "llmtui.accuracy.truth_server",
        "--port",
        "{port}",
        "--ttft-ms",
        "5",
        "--itl-ms",
        "1",
    ]
    path.write_text(
        f"[run]\niterations = 3\nwarmup = 1\nmax_tokens = 4\n[[backend]]\nname = 'one'\nlaunch = {json.dumps(launch)}\n"
        "api_key = '${KEY}'\n"
    )
    return path


def llmtui(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KEY": "hush-hush-hush", "LLMTUI_STORE": str(store)}
    return subprocess.run([*LLMTUI, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_a_run_is_listed_shown_labelled_and_exported(config: Path, tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    done = llmtui(store, "run", str(config), "--label", "first")
    assert done.returncode == 0
    (line,) = llmtui(store, "history").stdout.splitlines()
    run, state = line.split()[0], line.split()[3]
    assert state == "done"
    assert "  [first] truth: one " in line and line.endswith(" ms")
    first, *_, last = done.stderr.splitlines()
    assert first == f"llmtui: run {run} [first]"
    assert last == f"llmtui: run {run} is in the history; to see it again: llmtui show {run}, or llmtui open {run}"
    for name in ("first", "last"):
        assert llmtui(store, "show", name).stdout.startswith(f"run {run} [first]: done")
    shown = llmtui(store, "show", run[:4], "--label", "base line", "--note", "quiet machine")
    assert shown.returncode == 0
    assert f"run {run} [base line]: done" in shown.stdout
    assert "note: quiet machine" in shown.stdout
    assert "\n  one" in shown.stdout, "a single backend is not marked as fastest"
    rows = list(csv.DictReader(llmtui(store, "export", "base line").stdout.splitlines()))
    assert [(r["backend"], r["iterations"], r["run"]) for r in rows] == [("one", "3", run)]
    iterations = tmp_path / "i.csv"
    assert llmtui(store, "export", run, "--iterations-csv", str(iterations)).stdout == ""
    assert len(iterations.read_text().splitlines()) == 5
    assert b"hush-hush" not in store.read_bytes()


@pytest.mark.slow
def test_a_label_that_is_the_id_of_another_run(tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    add(store, "aaaa1111", {"a": 0.5})
    add(store, "bbbb2222", {"a": 0.5})
    shown = llmtui(store, "show", "aaaa", "--label", "bbbb2222", "--note", "mine")
    assert shown.returncode == 0
    assert shown.stdout.startswith("run aaaa1111 [bbbb2222]: done") and "note: mine" in shown.stdout
    assert llmtui(store, "show", "bbbb2222").stdout.startswith("run bbbb2222: done")
    shown = llmtui(store, "show", "aaaa", "--label", "x\ty")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("run aaaa1111 [x y]: done")
    assert llmtui(store, "show", "x y", "--label", "").stdout.startswith("run aaaa1111: done")
    assert llmtui(store, "show", "x y").returncode == 2


@pytest.mark.parametrize("command", [["run"], ["monitor"], ["show", "aaaa1111"]])
def test_last_is_refused_as_a_label(tmp_path: Path, command: list[str]) -> None:
    store = tmp_path / "history.db"
    add(store, "aaaa1111", {"a": 0.5})
    done = in_process.llmtui(*command, "--label", "last~1", LLMTUI_STORE=str(store))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "llmtui: a run cannot have the label 'last~1', which names the newest runs; choose another label\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        (["history"], ""),
        (["show", "aaaa"], ""),
        (["show", "aaaa"], "1"),
        (["export", "aaaa"], ""),
        (["export", "aaaa", "--json", "-"], "1"),
    ],
)
def test_a_full_disk_behind_stdout_is_reported(tmp_path: Path, arguments: list[str], unbuffered: str) -> None:
    store = tmp_path / "history.db"
    add(store, "aaaa1111", {"a": 0.5})
    environment = {**os.environ, "LLMTUI_STORE": str(store), "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*LLMTUI, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    assert (done.returncode, done.stderr) == (1, "llmtui: cannot write the output: No space left on device\n")


def test_a_closed_pipe_prints_no_message(tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    add(store, "aaaa1111", {"a": 0.5})
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {"LLMTUI_STORE": str(store)}
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as pipe:
        done = subprocess.run(
            [*LLMTUI, "history"], stdout=pipe, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_an_unknown_run_and_an_empty_history(tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    done = in_process.llmtui("history", LLMTUI_STORE=str(store))
    assert (done.returncode, done.stdout) == (0, "")
    assert "the history is empty" in done.stderr
    done = in_process.llmtui("show", "nope", LLMTUI_STORE=str(store))
    assert done.returncode == 2
    assert done.stderr.startswith("llmtui: no run 'nope': the history is empty")


@pytest.mark.slow
def test_iterations_of_a_killed_engine_are_in_the_history(config: Path, tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    environment = {**os.environ, "KEY": "hush-hush-hush", "LLMTUI_STORE": str(store)}
    command = [*LLMTUI, "run", str(config), "--iterations", "1000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as client:
        assert client.stdout is not None
        printed = []
        for line in client.stdout:
            printed.append(line)
            if len(printed) == 12:
                break
        tree = [p for p in process_tree(client.pid) if p.pid != client.pid]
        (engine,) = [p for p in tree if "llmtui.engine" in command_line(p)]
        os.kill(engine.pid, signal.SIGKILL)
        rest, errors = client.communicate(timeout=30)
    assert client.returncode == 1
    assert "the engine ended before the run was complete" in errors
    assert_gone(tree)
    printed += [line for line in rest.splitlines() if "tokens/s" in line and "1000" in line]
    (listed,) = llmtui(store, "history").stdout.splitlines()
    assert listed.split()[3] == "died"
    stored = llmtui(store, "export", listed.split()[0], "--iterations-csv", "-").stdout.splitlines()
    assert len(stored) - 1 >= len(printed), "every printed iteration is stored"


def test_the_run_continues_without_a_history(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("this is no history, and it is not llmtui's to touch\n" * 10)
    done = llmtui(other, "run", str(config))
    assert done.returncode == 0
    assert "this run is not in the history yet; writing is retried until it ends: " in done.stderr
    assert other.read_text().startswith("this is no history")
    assert psutil.Process().children() == []


@pytest.mark.slow
def test_a_killed_run_is_resumed_from_another_folder(config: Path, tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    long = config.read_text().replace("iterations = 3", "iterations = 30")
    config.write_text(long)
    environment = {**os.environ, "KEY": "hush-hush-hush", "LLMTUI_STORE": str(store)}
    with subprocess.Popen(
        [*LLMTUI, "run", config.name], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        while b"3/30" not in run.stdout.readline():
            pass
        (engine,) = psutil.Process(run.pid).children()
        tree = process_tree(engine.pid)
        engine.kill()
        run.communicate()
    assert_gone(tree)
    name = llmtui(store, "history").stdout.split()[0]

    config.write_text(long.replace('"--itl-ms", "1"', '"--itl-ms", "2"'))
    changed = llmtui(store, "resume", name, "--text")
    assert (changed.returncode, changed.stdout) == (2, "")
    assert "'one': launch has changed since" in changed.stderr
    config.unlink()
    gone = llmtui(store, "resume", name, "--text")
    assert gone.returncode == 2
    assert f"no such config file; if it was moved, name it: llmtui resume {name} --config FILE" in gone.stderr
    moved = tmp_path / "moved.toml"
    moved.write_text(long)
    limits = ("--fail-if", "latency>60", "--fail-if", "latency<60")
    done = llmtui(store, "resume", name, "--text", "--config", str(moved), *limits)
    assert done.returncode == 1 and done.stderr.count("--fail-if 'latency<60'") == 1, done.stderr
    assert "--fail-if 'latency>60'" not in done.stderr
    assert "resumed with" in done.stderr
    assert "30/30" in done.stdout and "  3/30" not in done.stdout
    whole = llmtui(store, "resume", name, "--text")
    assert (whole.returncode, whole.stderr) == (
        2,
        f"llmtui: run {name} is complete; to see it: llmtui open {name}\n",
    )
