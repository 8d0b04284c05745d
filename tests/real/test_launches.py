"""Several launches of real engines in one run: each has a server of its own, and none is left."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.leftovers import carrying

pytestmark = [pytest.mark.real, pytest.mark.slow]

CONFIG = """
[[backend]]
name = "llama.cpp"
embedded = "llama.cpp"

[[backend]]
name = "mistral.rs"
embedded = "mistral.rs"
"""


def test_both_engines_are_launched_for_each_block_of_rounds(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs llmtui[local]")
    pytest.importorskip("mistralrs", reason="needs llmtui[local]")
    (tmp_path / "config.toml").write_text(CONFIG)
    iterations, document = tmp_path / "iterations.csv", tmp_path / "run.json"
    command = [sys.executable, "-m", "llmtui", "run", "--iterations", "10", "--launches", "5", "--warmup", "1"]
    done = subprocess.run(
        [*command, "--max-tokens", "8", "--iterations-csv", str(iterations), "--json", str(document)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "LLMTUI_TEST_MARK": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with iterations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows] == [""] * len(rows)
    # Two rounds and a warm-up of each launch, and each block is over before the next one begins.
    assert Counter((row["backend"], row["launch"], row["phase"]) for row in rows) == {
        (name, str(launch), phase): count
        for name in ("llama.cpp", "mistral.rs")
        for launch in range(1, 6)
        for phase, count in (("warmup", 1), ("measured", 2))
    }
    in_order = sorted(rows, key=lambda row: int(row["seq"]))
    assert [row["launch"] for row in in_order] == sorted(row["launch"] for row in in_order)
    states = [backend["state"] for backend in json.loads(document.read_text())["backends"]]
    assert [len(state["loads_s"]) for state in states] == [5, 5]
    assert all(load_s > 0 for state in states for load_s in state["loads_s"])
    assert "5 launches of 2 rounds" in done.stdout
    assert "llama.cpp: launch 5 of 5: ready" in done.stderr
    assert psutil.wait_procs(carrying("LLMTUI_TEST_MARK", str(tmp_path)), timeout=20)[1] == []
