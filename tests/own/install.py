"""Installs stand-ins as executables in a folder that is first on PATH. Import the fixture `stand_ins` from here."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: The modules of the stand-ins, by the name of the program.
MODULES = {
    "llama-server": "llama_server",
    "llamafile": "llamafile",
    "mistralrs": "mistralrs",
    "mistralrs-server": "mistralrs",
    "vllm": "vllm",
    "ollama": "ollama",
}


class StandIns:
    """Executables in `folder`, and what they recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(
        self, program: str, *faults: str, version: str = "", name: str = "", folder: Path | None = None
    ) -> Path:
        """Install a stand-in for `program` and return its path.

        `name` is the file's name, by default that of the program. Without `version` and `faults`, those of the
        environment apply when it is started (see stand_in.py).
        """
        path = (folder or self.folder) / (name or program)
        variables = {"PYTHONPATH": str(ROOT), "STAND_IN_RECORD": str(self.record(path.name))}
        variables |= {"STAND_IN_VERSION": version} if version else {}
        variables |= {"STAND_IN_FAULT": ",".join(faults)} if faults else {}
        assignments = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
        command = f'exec {shlex.quote(sys.executable)} -S -P -m tests.own.{MODULES[program]} "$@"\n'
        path.write_text(f"#!/bin/sh\n{assignments}{command}")
        path.chmod(0o755)
        return path

    def record(self, name: str) -> Path:
        return self.folder / f".{name}.jsonl"

    def records(self, name: str, what: str) -> list[dict[str, Any]]:
        """Return what the executable `name` recorded: "start", "request" or "browser"."""
        path = self.record(name)
        lines = path.read_text().splitlines() if path.exists() else []
        return [record for line in lines if (record := json.loads(line))["what"] == what]

    def starts(self, name: str) -> list[list[str]]:
        """Return the arguments of each start as a server."""
        found = [record["argv"] for record in self.records(name, "start")]
        return [argv for argv in found if not {"--version", "-v"} & set(argv)]

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of the last start."""
        environment: dict[str, str] = self.records(name, "start")[-1]["env"]
        return environment


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    """No program is on PATH but those that the test installs, and those of the system."""
    made = StandIns(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    yield made
