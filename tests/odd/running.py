"""Measure an odd server: one request alone, or a run of the program in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtui.measure.answer import Answer
from llmtui.measure.figures import Figures, figures
from llmtui.measure.request import ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from tests.odd.server import MODEL


async def answer_of(url: str, timeout_s: float = 5.0, **backend: Any) -> Answer:
    """Send one measured request. Raises IterationError for everything that is not a sample."""
    one = Backend(**({"name": "a", "url": url, "model": MODEL} | backend))
    dialect = dialect_for(one)
    async with new_client(url, connect_timeout_s=2.0) as client:
        return await ask(client, dialect.request(one, RunConfig(), "hi", MODEL), dialect, timeout_s=timeout_s)


async def figures_of(url: str, **backend: Any) -> tuple[Answer, Figures]:
    """Send one measured request, and return its answer with the figures."""
    answer = await answer_of(url, **backend)
    return answer, figures(answer)


@dataclass
class Outcome:
    """What `llmtui run` printed, its exit code, and its export as JSON ({} without one)."""

    code: int
    stdout: str
    stderr: str
    run: dict[str, Any]

    @property
    def backend(self) -> dict[str, Any]:
        """The first backend of the run: `state`, `summary` and `iterations`."""
        backend: dict[str, Any] = self.run["backends"][0]
        return backend

    @property
    def iterations(self) -> list[dict[str, Any]]:
        """The iterations of the first backend."""
        rows: list[dict[str, Any]] = self.backend["iterations"]
        return rows


def run(folder: Path, config: str, *arguments: str, **environment: str) -> Outcome:
    """Run `llmtui run` with this config file in `folder`, and a history of its own."""
    (folder / "config.toml").write_text(config)
    export = folder / "run.json"
    command = [sys.executable, "-m", "llmtui", "run", str(folder / "config.toml"), "--json", str(export)]
    command += ["--store", str(folder / "history.sqlite"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=90, check=False, cwd=folder, env=os.environ | environment
    )
    return Outcome(
        done.returncode, done.stdout, done.stderr, json.loads(export.read_text()) if export.is_file() else {}
    )


def config_for(url: str, extra: str = "", **settings: Any) -> str:
    """A config with one backend "odd" at `url`; `extra` is more TOML in its table, keywords are settings of `[run]`."""
    settings = {"iterations": 3, "warmup": 0, "timeout_s": 10} | settings
    table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    return f'[run]\n{table}\n\n[[backend]]\nname = "odd"\nurl = {json.dumps(url)}\n{extra}\n'
