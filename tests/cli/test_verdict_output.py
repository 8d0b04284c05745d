"""The verdict at the end of a real run: as plain text, and in a terminal after rounds were added with a key."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmtui.accuracy.pty_monitor import Screen, monitor_argv

WAIT_S = 60.0


def race(folder: Path, iterations: int) -> Path:
    """A config with two truth servers, one of them with three times the ITL."""
    launch = [sys.executable, "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--ttft-ms", "5", "--itl-ms"]
    text = f"[run]\niterations = {iterations}\nwarmup = 1\nmax_tokens = 16\n"
    for name, itl_ms in (("quick", "2"), ("slow", "6")):
        text += f"[[backend]]\nname = '{name}'\nlaunch = {json.dumps([*launch, itl_ms])}\n"
    (folder / "race.toml").write_text(text)
    return folder / "race.toml"


def environment(folder: Path) -> dict[str, str]:
    return {"LLMTUI_STORE": str(folder / "history.db"), "XDG_RUNTIME_DIR": str(folder), "LLMTUI_STATE": str(folder)}


@pytest.mark.slow
def test_run_ends_with_the_verdict(short_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "llmtui", "run", str(race(short_path, 8)), "-q", "--json", "-"]
    env = {**os.environ, **environment(short_path), "COLUMNS": "100"}
    done = subprocess.run([*argv[:-2]], capture_output=True, text=True, env=env, check=True)
    assert re.search(r"^slow takes [23]\.\d\dx as long as quick \(95%: [23]\.\d\d to [23]\.\d\d\)$", done.stdout, re.M)
    assert re.search(r"^quick: median \d[\d.]* m?s \(95%: .*\), mean .*, first request: .* m?s$", done.stdout, re.M)
    document = json.loads(subprocess.run(argv, capture_output=True, text=True, env=env, check=True).stdout)
    (pair,) = document["comparisons"]
    assert (pair["slower"], pair["faster"], pair["decided"], pair["n"], pair["paired"]) == (
        "slow", "quick", True, 8, True
    )  # fmt: skip


@pytest.mark.slow
def test_a_key_adds_rounds_until_the_verdict_is_decided(short_path: Path) -> None:
    screen = Screen(monitor_argv(race(short_path, 2)), environment(short_path), columns=120, rows=40)

    def until(wanted: bytes) -> re.Match[bytes]:
        seen = b""
        for chunk in screen.chunks(WAIT_S):
            seen += chunk
            if match := re.search(wanted, seen):
                return match
        raise AssertionError(f"{wanted!r} was not drawn: {seen[-400:]!r}")

    try:
        until(rb"llmtui 6/6 done")
        screen.press(b"M")
        more = until(rb"llmtui (?!6/)(\d+)/\1 done")
        # An interval needs six rounds, and `more` adds at most ten times the planned rounds.
        assert 2 + 12 <= int(more[1]) <= 2 + 40
        screen.press(b"v")
        until(rb"What the data say")
        screen.press(b"v")
        until(rb"baseline stats")
        screen.press(b"q")
        left = b"".join(screen.chunks(WAIT_S)).rpartition(b"\x1b[?1049l")[2].decode()
    finally:
        screen.close()
    assert re.search(r"slow takes [23]\.\d\dx as long \(99%: ", left)
