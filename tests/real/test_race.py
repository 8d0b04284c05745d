"""End to end with real engines: `llmtui run` with the default config, from model file to table and CSV."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.leftovers import carrying

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_default_config_races_every_installed_engine(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs llmtui[local]")
    pytest.importorskip("mistralrs", reason="needs llmtui[local]")
    racing = ["llama.cpp", "mistral.rs"]
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        racing.append("HuggingFace")
    iterations = tmp_path / "iterations.csv"
    command = [sys.executable, "-m", "llmtui", "run", "--iterations", "2", "--warmup", "1", "--max-tokens", "12"]
    done = subprocess.run(
        [*command, "--iterations-csv", str(iterations)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "LLMTUI_TEST_MARK": str(tmp_path)},
        check=False,
    )
    # Llamafile and Ollama do not run here: all that is here was measured.
    assert done.returncode == 0, done.stderr
    absent = ["Llamafile", "Ollama"] if "HuggingFace" in racing else ["HuggingFace", "Llamafile", "Ollama"]
    assert f"not here: {', '.join(absent)} (llmtui init says how to get them)" in done.stdout
    with iterations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["error"] for r in rows] == [""] * len(rows)
    assert [(r["backend"], r["phase"]) for r in rows] == [
        (name, phase) for name in racing for phase in ("warmup", "measured", "measured")
    ]
    # Equal work: the prompt has as many tokens for every engine, and each generates max_tokens.
    assert {r["output_tokens"] for r in rows} == {"12"}
    assert len({r["prompt_tokens"] for r in rows}) == 1
    assert {r["token_source"] for r in rows} == {"usage"}
    assert {r["cached_tokens"] for r in rows} <= {"", "0"}
    for row in rows:
        assert 0 < float(row["ttft_s"]) < float(row["latency_s"])
    # Other runs may be active at the same time.
    assert psutil.wait_procs(carrying("LLMTUI_TEST_MARK", str(tmp_path)), timeout=20)[1] == []
