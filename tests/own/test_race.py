"""A whole run of own servers: several launches, its exports, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.own.install import StandIns

pytestmark = pytest.mark.slow
CONFIG = """
[run]
model = "{model}"
iterations = 5
launches = 5
warmup = 1
max_tokens = 8
threads = 1

[[backend]]
framework = "llama.cpp"

[[backend]]
server = "llama-server"
env = {{ LLMTUI_TEST = "on {{port}}", TOKEN = "${{SECRET}}" }}
"""
SECRET = "sk-abcdef0123456789abcdef"


def test_launches_of_own_servers(stand_ins: StandIns, tiny: Path, tmp_path: Path) -> None:
    program = stand_ins.install("llama-server")
    (tmp_path / "race.toml").write_text(CONFIG.format(model=tiny))
    (tmp_path / "run").mkdir(mode=0o700)
    store = tmp_path / "history.db"
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "LLMTUI_STORE": str(store),
        "SECRET": SECRET,
    }
    command = [sys.executable, "-m", "llmtui", "run", "race.toml", "--csv", "out.csv", "--json", "out.json"]
    command += ["--markdown", "out.md"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["backend"], row["start"], row["launches"]) for row in rows] == [
        ("llama.cpp", "own server", "5"),
        ("llama-server", "own server", "5"),
    ]
    assert all(row["version"].startswith("llama-server ") for row in rows)
    document = json.loads((tmp_path / "out.json").read_text())
    assert [one["start"] for one in document["backends"]] == ["own server", "own server"]
    assert {one["backend"]["program"] for one in document["backends"]} == {str(program)}
    assert "own server" in (tmp_path / "out.md").read_text()
    assert "own server" in done.stdout
    starts = stand_ins.starts("llama-server")
    assert len(starts) == 10
    ports = [argv[argv.index("--port") + 1] for argv in starts]
    environments = [one["env"] for one in stand_ins.records("llama-server", "start") if "LLMTUI_TEST" in one["env"]]
    assert {one["LLMTUI_TEST"] for one in environments} <= {f"on {port}" for port in ports}
    assert {one["TOKEN"] for one in environments} == {SECRET}
    texts = [done.stdout, done.stderr, *((tmp_path / f"out.{kind}").read_text() for kind in ("csv", "json", "md"))]
    assert not any(SECRET in text for text in texts)
    assert SECRET.encode() not in store.read_bytes()
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tiny) in (one.info["cmdline"] or [])]
