"""A Dask scheduler and its workers as processes of this machine, with TLS by temporary certificates."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from llmtui.cluster.crew import ClusterCrew
from llmtui.load.messages import Slice, SliceDone
from llmtui.model import Backend, Iteration, Note, Workers
from llmtui.text import Redactor

#: Skips what needs the extra.
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None or importlib.util.find_spec("cryptography") is None,
    reason="needs the extra: pip install llmtui[cluster]",
)
#: The key of each of the two workers of the fixture `cluster`, in this variable of its environment.
KEY = "CLUSTER_TEST_KEY"
KEYS = ("sk-theirs-9876543210", "sk-slow-5647382910")
#: How often a turn is taken on a busy machine.
TRIES = 5
START_S = 60.0
GONE_S = 10.0


class Dask:
    """A scheduler and its workers, in `folder`. `environ` has the certificates, for those who connect.

    `restore` starts what does not run; `close` leaves no process behind.
    """

    def __init__(self, folder: Path, *, tls: bool = True, host: str = "127.0.0.1") -> None:
        self.address = ""
        self.environ = certificates(folder) if tls else {}
        self.workers: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._where = ("--host", f"{'tls' if tls else 'tcp'}://{host}", "--port", "0")
        self._log = (folder / "dask.log").open("wb")
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._registered = 0

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        """The process of the scheduler."""
        assert self._scheduler is not None
        return self._scheduler

    def restore(self, workers: Sequence[Mapping[str, str]], within: Sequence[Sequence[str]] = ()) -> None:
        """Start the scheduler and the workers that do not run, each with more variables. The command of worker i begins
        with `within[i]`."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            self._end(self.workers)
            self.workers.clear()
            file = self._folder / f"scheduler-{len(self._started)}.json"
            self._scheduler = self._start(
                "dask_scheduler", *self._where, "--scheduler-file", str(file), "--idle-timeout", "15 minutes"
            )
            self.address = written(file)
        for place, environ in enumerate(workers):
            if place == len(self.workers) or self.workers[place].poll() is not None:
                self.workers[place : place + 1] = [self.start_worker(environ, *within[place : place + 1])]
        self.wait_registered()

    def start_worker(self, environ: Mapping[str, str], within: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start one more worker; `wait_registered` waits until the scheduler has it."""
        self._registered += 1
        options = ("--nthreads", "1", "--no-nanny", "--death-timeout", "60", "--local-directory", str(self._folder))
        return self._start("dask_worker", self.address, *options, environ=environ, within=within)

    def wait_registered(self) -> None:
        """Wait until the scheduler has all workers that were started."""
        log = self._folder / "dask.log"
        wait(lambda: log.read_bytes().count(b"Register worker") >= self._registered)

    def measuring(self) -> list[psutil.Process]:
        """The measuring processes of all workers."""
        found = []
        for worker in self.workers:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(worker.pid).children()
                found += [child for child in children if "llmtui.load.worker" in child.cmdline()]
        return found

    def close(self) -> None:
        """End all processes."""
        self._end(reversed(self._started))
        self._log.close()

    def _start(
        self, program: str, *words: str, environ: Mapping[str, str] | None = None, within: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        command = [*within, sys.executable, "-P", "-m", f"distributed.cli.{program}", *words, "--no-dashboard"]
        env = {**os.environ, **self.environ, **(environ or {})}
        process = subprocess.Popen(command, env=env, stdout=self._log, stderr=self._log, cwd=self._folder)
        self._started.append(process)
        return process

    @staticmethod
    def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.kill()
            process.wait()


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
    within: Sequence[Sequence[str]] = (),
    host: str = "127.0.0.1",
) -> AsyncIterator[Dask]:
    """Start a scheduler and workers: see Dask. At the end none of the processes is left."""
    cluster = Dask(folder, tls=tls, host=host)
    try:
        await asyncio.to_thread(cluster.restore, [{}] * workers, within)
        yield cluster
    finally:
        cluster.close()


def with_key(of: Slice, key: str) -> Slice:
    """A slice whose requests have this key."""
    backend = Backend(name="a", url=of.backend.url, api_key=key)
    return msgspec.structs.replace(of, backend=backend, headers=of.headers | {"Authorization": f"Bearer {key}"})


class Watched:
    """A crew of a cluster, and what it says and reports."""

    def __init__(self, cluster: Dask, redact: Redactor) -> None:
        self.notes: list[str] = []
        #: What it says of other runs on this machine: another test may measure meanwhile.
        self.others: list[str] = []
        self.samples: list[Iteration] = []
        self.crew = ClusterCrew(Workers(scheduler=cluster.address), redact, self._keep)

    def _keep(self, note: Note) -> None:
        (self.others if note.text.startswith("another run measures") else self.notes).append(note.text)

    async def run(self, of: Slice, on_pulse: object = None) -> SliceDone:
        """Carry out a slice with all workers."""
        self.samples.clear()
        workers = await self.crew.size(of.level)
        of = msgspec.structs.replace(of, workers=workers)
        return await self.crew.run(of, self.samples.extend, on_pulse or (lambda _: None))  # type: ignore[arg-type]

    async def run_whole(self, of: Slice) -> SliceDone:
        """The same again, if llmtui itself was stopped meanwhile: the machine was busy."""
        for _ in range(TRIES):
            done = await self.run(of)
            if done.error is None or "was stopped for" not in done.error.message:
                break
        return done


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
