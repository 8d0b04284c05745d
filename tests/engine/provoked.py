"""Servers and a machine that provoke fairness checks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from llmtui.model import Plan
from llmtui.runview.run import RunView
from llmtui.stats.checks import Check
from tests.engine.helpers import engine_for
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Scripted, Step, scripted, token


class Late(asyncio.Event):
    """A step of a server: wait for `ms`."""

    def __init__(self, ms: float) -> None:
        super().__init__()
        self._ms = ms

    async def wait(self) -> Literal[True]:
        await asyncio.sleep(self._ms / 1e3)
        return True


class Meanwhile(asyncio.Event):
    """A step of a server: call `happens` in the middle of its answer."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    async def wait(self) -> Literal[True]:
        self._happens()
        return True


def answer(*steps: Step, word: str = "Yes") -> list[Step]:
    """Return an answer of two tokens with `steps` between them and its usage, without cached tokens."""
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}}
    usage_event = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps({"choices": [], "usage": usage}).encode()
    return [SSE_HEAD, token(word), *steps, token(" indeed"), FINISH, usage_event, CLOSE]


def whole(content: object) -> list[Step]:
    """Return a JSON answer."""
    body = json.dumps(content).encode()
    return [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)]


@asynccontextmanager
async def serving(
    *answers: Sequence[Step], model: str = "truth", weights: str = "Q8_0", host: str = "127.0.0.1"
) -> AsyncIterator[Scripted]:
    """Serve these answers, the last one repeated, and report model and weights like llama.cpp."""
    async with scripted([b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"], host=host) as server:
        server.by_path = {
            b"GET /v1/models": [whole({"data": [{"id": model}]})],
            b"GET /props": [whole({"model_ftype": weights})],
            b"POST": answers,
        }
        yield server


async def raced(plan: Plan) -> RunView:
    """Carry out a run and return its view."""
    async with engine_for(plan) as run:
        run_view = await run.until_done()
    assert {backend_view.state.state for backend_view in run_view.backends.values()} == {"done"}
    return run_view


def checks_by_code(run_view: RunView) -> dict[str, Check]:
    """Return the checks of a run by code."""
    return {check.code: check for check in run_view.verdict().checks}


#: Imported before the engine starts: its readers then read these files.
_READS_HERE = """
import functools, os, pathlib, sys

if "llmtui.engine" in sys.orig_argv:
    from llmtui.engine.watch import conditions, cpu_time

    here = pathlib.Path(__file__).parent
    conditions.sample = functools.partial(conditions.sample, here, here)
    conditions.governor = functools.partial(conditions.governor, here)
    conditions._GPU_FILES = (str(here / "dev") + os.sep,)
    cpu_time._PROC = here
    os.getloadavg = lambda: tuple(map(float, (here / "loadavg").read_text().split()[:3]))
"""


class FileMachine:
    """A quiet machine made of files in place of /proc and /sys. `strain` disturbs an iteration."""

    def __init__(self, folder: Path, governor: str, load: float) -> None:
        self._folder = folder
        self._strains = 0
        (folder / "sitecustomize.py").write_text(_READS_HERE)
        (folder / "loadavg").write_text(f"{load} {load} {load} 1/100 1234\n")
        for name in ("cpufreq", "thermal_throttle"):
            (folder / "cpu0" / name).mkdir(parents=True)
        (folder / "cpu0" / "cpufreq" / "scaling_governor").write_text(governor + "\n")
        self._write()

    def strain(self) -> None:
        """Steal 10 s of a core, swap 7 pages (4 in, 3 out), throttle a core twice."""
        self._strains += 1
        self._write()

    def _write(self) -> None:
        n = self._strains
        (self._folder / "stat").write_text(f"cpu  100 0 100 9000 0 0 0 {1000 * n} 0 0\n")
        (self._folder / "vmstat").write_text(f"pgpgin 5\npswpin {4 * n}\npswpout {3 * n}\n")
        (self._folder / "cpu0" / "thermal_throttle" / "core_throttle_count").write_text(f"{2 * n}\n")
