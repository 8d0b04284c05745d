"""Plans, iterations, states and files for tests of the history."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtui.model import Backend, BackendState, Failure, Iteration, Plan
from llmtui.store.open import open_store
from tests import build

MACHINE = build.machine(memory_bytes=8 * 2**30, os="Linux 6", python="3.11.7", llmtui="0.1.0")


def plan(run: str = "ab12cd34", *names: str, warmup: int = 1, iterations: int = 3, created: str = "") -> Plan:
    """A plan with the backends `names`, or with "a" and "b"."""
    backends = [Backend(name=n, framework="vLLM", url="http://127.0.0.1:8000/v1") for n in names or ("a", "b")]
    return build.plan(
        *backends,
        run=run,
        created_utc=created or "2026-11-22T15:00:00.000Z",
        source="config.toml",
        warmup=warmup,
        iterations=iterations,
    )


def iteration(run: str = "ab12cd34", backend: str = "a", number: int = 1, **more: Any) -> Iteration:
    """A measured iteration with three arrivals."""
    usual: dict[str, Any] = {
        "run": run,
        "started_utc": f"2026-11-22T15:00:{number % 60:02}.250Z",
        "latency_s": 0.5,
        "ttft_s": 0.125,
        "output_tokens": 3,
        "token_source": "usage",
        "text": "Hello",
        "arrivals_ns": [125_000_000, 312_500_000, 500_000_000],
        "arrival_tokens": [1, 1, 1],
    }
    return build.iteration(backend, number, **(usual | more))


def failed(run: str = "ab12cd34", backend: str = "a", number: int = 1, **more: Any) -> Iteration:
    """An iteration that timed out."""
    empty = {"latency_s": None, "ttft_s": None, "output_tokens": None, "token_source": None}
    blank = {"text": "", "arrivals_ns": [], "arrival_tokens": []}
    error = Failure(kind="timeout", message="no answer within 120 s", hint="raise timeout_s")
    return iteration(run, backend, number, **(empty | blank | {"error": error} | more))


def state(name: str = "a", **more: Any) -> BackendState:
    """The state of a backend that is done."""
    usual: dict[str, Any] = {"planned": 3, "version": "vLLM 0.19", "weights": "bf16", "load_s": 2.5}
    return build.state(name, **(usual | more))


@contextlib.contextmanager
def database(file: Path) -> Iterator[sqlite3.Connection]:
    """A plain SQLite connection to `file`."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def history_of_0_1_0(file: Path, rows: str) -> Path:
    """A history with the tables of llmtui 0.1.0 and the rows of `rows`, a file beside this one."""
    with database(file) as connection:
        for name in ("v1_schema.sql", rows):
            connection.executescript(Path(__file__).with_name(name).read_text("utf-8"))
    return file


def filled(file: Path, iterations: int = 50) -> Path:
    """A history with one run."""
    store, _ = open_store(file)
    with store:
        store.begin(plan(iterations=iterations), MACHINE)
        for number in range(1, iterations + 1):
            store.save_iteration(iteration(number=number, text="words " * 200))
        store.save_state("ab12cd34", state())
        store.finish("ab12cd34", "done")
    return file


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)
