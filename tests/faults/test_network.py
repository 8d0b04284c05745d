"""Faults of the network, end to end: `llmtui run` over one server per fault, in two simultaneous runs.

Each test of a fault checks what the user reads, what the history stores, and that other backends are unaffected.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmtui.measure.answer import MAX_TEXT_CHARS
from llmtui.model import Backend, BackendState, Iteration
from llmtui.store.open import open_store
from tests.engine.helpers import engine_for, plan_of
from tests.faults.servers import FAULTS, KEY, MODEL, TEXT_BYTES, WAIT_S, Fault, skip_reason

DEADLINE_S = 60.0
SETTINGS_BY_SHORT_TIMEOUT = {
    False: "timeout_s = 20\nconnect_timeout_s = 10",
    True: "timeout_s = 1\nconnect_timeout_s = 1",
}


@dataclass
class Result:
    """The output of one run, and what it stored."""

    code: int
    out: str
    err: str
    rows: dict[str, dict[str, str]]
    iterations: dict[str, Iteration]
    states: dict[str, BackendState]


@dataclass
class Results:
    """Both runs, the URLs of the servers, and the number of connections to the target of the redirects."""

    runs: dict[bool, Result]
    urls: dict[str, str]
    skipped: dict[str, str]
    other: str
    connections: int


def _config(faults: list[Fault], urls: dict[str, str], settings: str) -> str:
    tables = [f"[run]\niterations = 1\nwarmup = 0\nmax_tokens = 4\n{settings}\n"]
    for fault in faults:
        keys = {"name": fault.name, "url": urls[fault.name], "model": MODEL, "api_key": KEY}
        tables.append("[[backend]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return "\n".join(tables)


def _run(folder: Path, faults: list[Fault], urls: dict[str, str], settings: str) -> Result:
    folder.mkdir(mode=0o700)
    config, table, store = folder / "c.toml", folder / "i.csv", folder / "h.db"
    config.write_text(_config(faults, urls, settings))
    files = ["--iterations-csv", str(table), "--store", str(store)]
    done = subprocess.run(
        [sys.executable, "-m", "llmtui", "run", str(config), *files],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    history, _ = open_store(store)
    with history:
        (row,) = history.runs()
        stored = history.load(row.run)
    return Result(
        code=done.returncode,
        out=done.stdout,
        err=done.stderr,
        rows={row["backend"]: row for row in csv.DictReader(table.read_text().splitlines())},
        iterations={i.backend: i for i in stored.iterations},
        states={s.name: s for s in stored.states},
    )


async def _results(folder: Path) -> Results:
    urls: dict[str, str] = {}
    skipped: dict[str, str] = {}
    async with contextlib.AsyncExitStack() as stack:
        # Nothing accepts here: connections stay in the queue and are counted at the end.
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        other.setblocking(False)
        other_url = f"http://127.0.0.1:{other.getsockname()[1]}"
        for fault in FAULTS:
            urls[fault.name] = await stack.enter_async_context(fault.serve(other_url))
            if reason := await skip_reason(fault, urls[fault.name]):
                skipped[fault.name] = reason
        available = [fault for fault in FAULTS if fault.name not in skipped]
        short, long = await asyncio.gather(
            *(
                asyncio.to_thread(
                    _run,
                    folder / str(kind),
                    [f for f in available if f.short_timeout is kind],
                    urls,
                    SETTINGS_BY_SHORT_TIMEOUT[kind],
                )
                for kind in (True, False)
            )
        )
        connections = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                other.accept()[0].close()
                connections += 1
    return Results({True: short, False: long}, urls, skipped, other_url, connections)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """The results of both runs, once per module."""
    yield asyncio.run(_results(tmp_path_factory.mktemp("f")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_network_fault(fault: Fault, results: Results) -> None:
    """What the user reads, and what is stored."""
    if reason := results.skipped.get(fault.name):
        pytest.skip(reason)
    result = results.runs[fault.short_timeout]
    address = results.urls[fault.name].partition("//")[2]
    message = fault.message.replace("{address}", address).replace("{other}", results.other)
    iteration, row, state = result.iterations.get(fault.name), result.rows.get(fault.name), result.states[fault.name]
    if fault.stored == "state":
        assert iteration is None and row is None
        assert str(state.failure) == message
        assert f"llmtui: {fault.name}: {'failed' if 'HTTP' in message else 'not reachable'}: {message}" in result.err
        return
    assert iteration is not None and row is not None
    assert row["refused"] == str(iteration.refused) == str(fault.refused)
    (shown,) = [line for line in result.out.splitlines() if line.startswith(f"{fault.name} ") and " 1/1  " in line]
    if fault.stored == "sample":
        assert iteration.ok and state.state == "done" and row["error"] == ""
        assert re.search(r"\d +m?s +TTFT +[\d.]+ +m?s", shown)
        return
    assert row["error"] == str(iteration.error) == message
    assert shown.endswith(f"1/1  failed: {message}")
    assert (iteration.text, iteration.arrivals_ns, iteration.arrival_tokens) == ("", [], [])
    numbers = {name: value for name, value in row.items() if name.endswith(("_s", "_tokens"))}
    assert len(numbers) > 10 and set(numbers.values()) == {""}


def test_retry_after_is_reported_once_and_excluded_from_latency(results: Results) -> None:
    result = results.runs[False]
    for name, status, wait_s in (("429 with Retry-After", 429, WAIT_S), ("503 with a date", 503, 0)):
        wish = f"asks to wait {wait_s:g} s" if wait_s else "asks to retry immediately"
        note = f"llmtui: {name}: HTTP {status}, {wish}; refusals are counted, but are not samples\n"
        assert result.err.count(note) == result.err.count(f"llmtui: {name}: HTTP") == 1
        latency_s = result.iterations[name].latency_s
        assert latency_s is not None and latency_s < WAIT_S


def test_run_with_a_fault_exits_with_1_and_no_traceback(results: Results) -> None:
    for result in results.runs.values():
        assert result.code == 1
        assert "Traceback" not in result.out + result.err


def test_redirects_are_not_followed(results: Results) -> None:
    assert results.connections == 0


def test_key_is_never_shown(results: Results) -> None:
    for result in results.runs.values():
        assert KEY not in result.out + result.err + repr(result)


def _peak_bytes(pid: int) -> int:
    """Return the peak resident memory of a process (Linux, proc(5))."""
    (line,) = [n for n in Path(f"/proc/{pid}/status").read_text().splitlines() if n.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak of another process")
async def test_endless_answers_take_little_memory() -> None:
    """150 MB are sent. A line may take its 2 MB, twice while it grows; of a text only the beginning is stored."""
    endless = [f for f in FAULTS if f.name.startswith(("endless", "500 without", "10 MB"))]
    assert len(endless) == 6
    async with contextlib.AsyncExitStack() as stack:
        urls = {f.name: await stack.enter_async_context(f.serve("")) for f in endless}
        backends = [Backend(name=name, url=url, model=MODEL) for name, url in urls.items()]
        async with engine_for(plan_of(*backends, iterations=1, warmup=0, timeout_s=20.0)) as run:
            await run.until(lambda run_view: bool(run_view.run.total))
            before = _peak_bytes(run.engine.pid)
            run_view = await run.until_done()
            assert _peak_bytes(run.engine.pid) - before < 40_000_000
    (good,) = run_view.backends["10 MB of one character"].iterations
    assert good.ok and len(good.text) == MAX_TEXT_CHARS < TEXT_BYTES
