"""The network's faults, end to end: `llmtui run` over a server for each, in two runs that go at the same time.

Of each fault: the words that the user reads, what the history keeps, and that the other backends are untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmtui.measure.request import MAX_TEXT_CHARS
from llmtui.model import Backend, BackendState, Iteration
from llmtui.store.open import open_store
from tests.engine.helpers import engine_for, plan_of
from tests.faults.servers import FAULTS, KEY, MODEL, TEXT_BYTES, WAIT_S, Fault, cannot

DEADLINE_S = 60.0
SETTINGS = {
    False: "timeout_s = 20\nconnect_timeout_s = 10",
    True: "timeout_s = 1\nconnect_timeout_s = 1",
}


@dataclass
class Ran:
    """One run: what the user saw of it, and what it left behind."""

    code: int
    out: str
    err: str
    rows: dict[str, dict[str, str]]
    iterations: dict[str, Iteration]
    states: dict[str, BackendState]


@dataclass
class Everything:
    """Both runs, where the servers were, and who called at the address that the redirects lead to."""

    runs: dict[bool, Ran]
    urls: dict[str, str]
    skipped: dict[str, str]
    elsewhere: str
    callers: int


def _config(faults: list[Fault], urls: dict[str, str], settings: str) -> str:
    tables = [f"[run]\niterations = 1\nwarmup = 0\nmax_tokens = 4\n{settings}\n"]
    for fault in faults:
        told = {"name": fault.name, "url": urls[fault.name], "model": MODEL, "api_key": KEY}
        tables.append("[[backend]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items()))
    return "\n".join(tables)


def _run(folder: Path, faults: list[Fault], urls: dict[str, str], settings: str) -> Ran:
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
    return Ran(
        code=done.returncode,
        out=done.stdout,
        err=done.stderr,
        rows={row["backend"]: row for row in csv.DictReader(table.read_text().splitlines())},
        iterations={i.backend: i for i in stored.iterations},
        states={s.name: s for s in stored.states},
    )


async def _everything(folder: Path) -> Everything:
    urls: dict[str, str] = {}
    skipped: dict[str, str] = {}
    async with contextlib.AsyncExitStack() as stack:
        # Nobody accepts here: whoever calls stays in the queue, to be found at the end.
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        other.setblocking(False)
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}"
        for fault in FAULTS:
            urls[fault.name] = await stack.enter_async_context(fault.serve(elsewhere))
            if why := await cannot(fault, urls[fault.name]):
                skipped[fault.name] = why
        there = [fault for fault in FAULTS if fault.name not in skipped]
        hasty, patient = await asyncio.gather(
            *(
                asyncio.to_thread(_run, folder / str(kind), [f for f in there if f.hasty is kind], urls, SETTINGS[kind])
                for kind in (True, False)
            )
        )
        callers = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                other.accept()[0].close()
                callers += 1
    return Everything({True: hasty, False: patient}, urls, skipped, elsewhere, callers)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """Both runs are over."""
    yield asyncio.run(_everything(tmp_path_factory.mktemp("f")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_row(fault: Fault, everything: Everything) -> None:
    """What the user reads, and what is kept."""
    if why := everything.skipped.get(fault.name):
        pytest.skip(why)
    ran = everything.runs[fault.hasty]
    place = everything.urls[fault.name].partition("//")[2]
    words = fault.words.replace("{place}", place).replace("{elsewhere}", everything.elsewhere)
    iteration, row, state = ran.iterations.get(fault.name), ran.rows.get(fault.name), ran.states[fault.name]
    if fault.kept == "state":
        assert iteration is None and row is None
        assert str(state.failure) == words
        assert f"llmtui: {fault.name}: {'failed' if 'HTTP' in words else 'not reachable'}: {words}" in ran.err
        return
    assert iteration is not None and row is not None
    assert row["refused"] == str(iteration.refused) == str(fault.refused)
    (shown,) = [line for line in ran.out.splitlines() if line.startswith(f"{fault.name} ") and " 1/1  " in line]
    if fault.kept == "sample":
        assert iteration.ok and state.state == "done" and row["error"] == ""
        assert " s  TTFT 0." in shown
        return
    assert row["error"] == str(iteration.error) == words
    assert shown.endswith(f"1/1  failed: {words}")
    assert (iteration.text, iteration.arrivals_ns, iteration.arrival_tokens) == ("", [], [])
    numbers = {name: value for name, value in row.items() if name.endswith(("_s", "_tokens"))}
    assert len(numbers) > 10 and set(numbers.values()) == {""}


def test_the_wait_that_a_server_asks_for_is_told_once_and_is_no_latency(everything: Everything) -> None:
    ran = everything.runs[False]
    for name, status, asked in (("429 with Retry-After", 429, WAIT_S), ("503 with a date", 503, 0)):
        wish = f"asks to wait {asked:g} s" if asked else "asks to retry immediately"
        told = f"llmtui: {name}: HTTP {status}, {wish}; the refusals are counted and no samples\n"
        assert ran.err.count(told) == ran.err.count(f"llmtui: {name}: HTTP") == 1
        latency_s = ran.iterations[name].latency_s
        assert latency_s is not None and latency_s < WAIT_S


def test_a_run_with_a_fault_ends_with_exit_code_1_and_no_traceback(everything: Everything) -> None:
    for ran in everything.runs.values():
        assert ran.code == 1
        assert "Traceback" not in ran.out + ran.err


def test_where_a_redirect_leads_nobody_calls(everything: Everything) -> None:
    assert everything.callers == 0


def test_the_key_is_nowhere(everything: Everything) -> None:
    for ran in everything.runs.values():
        assert KEY not in ran.out + ran.err + repr(ran)


def _peak_bytes(pid: int) -> int:
    """The most memory that a process ever had resident (Linux, proc(5))."""
    (line,) = [n for n in Path(f"/proc/{pid}/status").read_text().splitlines() if n.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of another process")
async def test_what_has_no_end_takes_no_memory() -> None:
    """150 MB are sent; a line may take its 2 MB, twice while it grows, and of a text the beginning is kept."""
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
