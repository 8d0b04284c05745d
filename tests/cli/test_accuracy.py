"""`llmtui accuracy` in a real process, and in this one where it is refused before it measures."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.in_process import llmtui
from tests.leftovers import carrying

FAST = ["--tokens", "4", "--itl-ms", "1", "--ttft-ms", "2", "--rates", ""]


def accuracy(*arguments: str, state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llmtui", "accuracy", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LLMTUI_STATE": str(state), **environment},
        check=False,
    )


@pytest.mark.slow
def test_json_without_a_monitor(tmp_path: Path) -> None:
    rates = ["--rates", "50"]
    done = accuracy(
        "--json", "--streams", "1", "--requests", "2", "--no-monitor", *FAST, *rates, state=tmp_path / "state"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [
        (level["loop"], level["streams"], level["rate"], level["monitor"], level["requests"])
        for level in record["levels"]
    ] == [("race", 1, 0.0, False, 2), ("load", 1, 0.0, False, 2), ("load", 0, 50.0, False, 80)]
    assert record["levels"][2]["late_s"]["n"] == 80
    assert record["levels"][0]["itl_s"]["n"] == 6
    assert record["machine"]["cores"] >= 1 and record["stamp"] in ("kernel", "user") and "httpx" in record["versions"]
    assert "not saved" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_a_result_with_the_monitor_is_saved(tmp_path: Path) -> None:
    done = accuracy("--streams", "1", "--requests", "20", "-q", *FAST, state=tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1 stream in a race, no monitor: 20 requests" in done.stdout
    assert "1 stream, monitor on: 20 requests" in done.stdout
    assert "kB/s to its terminal" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    file = tmp_path / "state" / "accuracy.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [record] = json.loads(file.read_bytes())["records"]
    assert record["watching"]["bytes_per_s"] > 0


@pytest.mark.slow
def test_no_process_outlives_the_command(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    # The variable is inherited by every process that it starts.
    done = accuracy("--streams", "1", "--requests", "2", *FAST, state=tmp_path, XDG_RUNTIME_DIR=str(runtime))
    assert done.returncode == 0, done.stderr
    assert psutil.wait_procs(carrying("XDG_RUNTIME_DIR", str(runtime)), timeout=20)[1] == []


@pytest.mark.parametrize("streams", ["", "0", "1,,8", "1,x", "-1", "1000"])
def test_invalid_streams_are_refused(streams: str, tmp_path: Path) -> None:
    done = llmtui("accuracy", f"--streams={streams}", LLMTUI_STATE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("llmtui: --streams" + (": " if streams else " is empty; "))
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("rates", ["0", "1,,8", "1,x", "-1", "nan", "inf", "100000"])
def test_invalid_rates_are_refused(rates: str, tmp_path: Path) -> None:
    done = llmtui("accuracy", f"--rates={rates}", LLMTUI_STATE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("llmtui: --rates: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_result_that_cannot_be_saved_is_no_failure(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.write_text("")
    done = accuracy("--streams", "1", "--requests", "20", *FAST, state=state)
    assert done.returncode == 0
    assert f"cannot write {state}/accuracy.json: File exists" in done.stderr and "Traceback" not in done.stderr


def test_help_fits_a_screen() -> None:
    lines = llmtui("accuracy", "--help").stdout.splitlines()
    assert 0 < len(lines) <= 24
    assert max(len(line) for line in lines) <= 80
