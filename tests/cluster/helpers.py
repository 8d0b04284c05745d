"""A Dask scheduler and its workers as processes of this machine, with TLS by temporary certificates."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from llmtui.cluster.crew import ClusterCrew
from llmtui.load.messages import Slice, SliceDone
from llmtui.model import Iteration, Workers
from llmtui.text import Redactor

#: Skips what needs the extra.
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None or importlib.util.find_spec("cryptography") is None,
    reason="needs the extra: pip install llmtui[cluster]",
)
START_S = 60.0
GONE_S = 10.0


@dataclasses.dataclass
class Dask:
    """A running cluster. `environ` has its certificates, for those who connect."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    environ: dict[str, str]

    def measuring(self) -> list[psutil.Process]:
        """The measuring processes of all workers."""
        found = []
        for worker in self.workers:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(worker.pid).children()
                found += [child for child in children if "llmtui.load.worker" in child.cmdline()]
        return found


def certificates(folder: Path) -> dict[str, str]:
    """Write certificates into `folder`, and return the variables with which Dask finds them."""
    from distributed.security import Security

    made = Security.temporary()
    texts = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in texts.items():
        (folder / f"{name}.pem").write_text(text)
    tls = "DASK_DISTRIBUTED__COMM__TLS"
    environ = {f"{tls}__CA_FILE": str(folder / "ca.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        environ |= {f"{tls}__{role}__CERT": str(folder / "cert.pem"), f"{tls}__{role}__KEY": str(folder / "key.pem")}
    return environ


def written(file: Path) -> str:
    """Wait for the file of a scheduler, and return its address."""
    wait(lambda: file.exists() and file.read_text() != "")
    return str(json.loads(file.read_text())["address"])


def wait(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    until = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextlib.asynccontextmanager
async def dask(
    folder: Path,
    workers: int = 2,
    *,
    tls: bool = True,
    environ: dict[str, str] | None = None,
    within: Sequence[Sequence[str]] = (),
    host: str = "127.0.0.1",
) -> AsyncIterator[Dask]:
    """Start a scheduler and workers; `environ` is for the workers only. The command of worker i begins with
    `within[i]`. At the end none of the processes is left."""
    security = certificates(folder) if tls else {}
    base = {**os.environ, **security}
    file = folder / "scheduler.json"
    scheme = "tls" if tls else "tcp"
    log = (folder / "dask.log").open("wb")
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *words: str, env: dict[str, str], prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        command = [*prefix, sys.executable, "-P", "-m", f"distributed.cli.{program}", *words, "--no-dashboard"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
        started.append(process)
        return process

    try:
        where = ("--host", f"{scheme}://{host}", "--port", "0", "--scheduler-file", str(file))
        scheduler = start("dask_scheduler", *where, env=base)
        address = await asyncio.to_thread(written, file)
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        running = [
            start(
                "dask_worker", address, *options, env=base | (environ or {}),
                prefix=within[number] if number < len(within) else (),
            )
            for number in range(workers)
        ]  # fmt: skip
        await asyncio.to_thread(wait, lambda: (folder / "dask.log").read_bytes().count(b"Register worker") >= workers)
        yield Dask(address, scheduler, running, security)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        log.close()


class Watched:
    """A crew of a cluster, and what it says and reports."""

    def __init__(self, cluster: Dask, redact: Redactor) -> None:
        self.notes: list[str] = []
        self.samples: list[Iteration] = []
        self.crew = ClusterCrew(Workers(scheduler=cluster.address), redact, self.notes.append)

    async def run(self, of: Slice, on_pulse: object = None) -> SliceDone:
        """Carry out a slice with all workers."""
        self.samples.clear()
        workers = await self.crew.size(of.level)
        of = msgspec.structs.replace(of, workers=workers)
        return await self.crew.run(of, self.samples.extend, on_pulse or (lambda _: None))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def watched(cluster: Dask, redact: Redactor | None = None) -> AsyncIterator[Watched]:
    """Connect a crew with the certificates of a cluster. Disconnects at the end."""
    import dask.config

    tls = {
        f"distributed.comm.tls.{name}": cluster.environ[f"DASK_DISTRIBUTED__COMM__TLS__{variable}"]
        for name, variable in (("ca-file", "CA_FILE"), ("client.cert", "CLIENT__CERT"), ("client.key", "CLIENT__KEY"))
        if cluster.environ
    }
    with dask.config.set(tls):
        with_notes = Watched(cluster, redact or Redactor([]))
        try:
            yield with_notes
        finally:
            await with_notes.crew.close()


async def gone(processes: list[psutil.Process]) -> None:
    """Assert that they end by themselves."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, GONE_S)
    assert alive == []
