"""What is lost after `kill -9` of one process at a random moment?

    python -m tests.bench.kills [--kills 200] [--which engine] [--seed N]

Each trial is a real run of two truth servers, launched through the guard, each with a child in a session of its own.
Its client is a monitor on a terminal or `llmtui run`; a second client records every iteration that it receives. The
kinds of processes are killed in turns: every fourth time while the run starts, else during or between iterations. At
the end the history is read. `lost` are received iterations that are not in it, or differ. `left` are processes of the
trial that still run. `readable` counts the histories that open without notes and pass `PRAGMA integrity_check`.
`clean-up` is the time from the kill of an engine, guard or server (or, if the client was killed, from the end of the
second client) until all processes that depended on it are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from llmtui.accuracy.pty_monitor import Screen
from llmtui.link.client import Client
from llmtui.model import Hello, Iteration, IterationDone, RunChanged
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from tests.bench.common import command_line, heading

WHICH = ("monitor", "engine", "guard", "server")
ITERATIONS = 12
#: A process that takes longer than this has not ended, in seconds.
BOUND_S = 30.0
MARK = "LLMTUI_BENCH"
_POLL_S = 0.005

Key = tuple[str, int, str, int]


def key(iteration: Iteration) -> Key:
    """Return what identifies an iteration in its run."""
    return iteration.backend, iteration.attempt, iteration.phase, iteration.iteration


@dataclasses.dataclass
class Outcome:
    """The result of one kill. `problem` is set if the history was not readable, or a process did not end."""

    which: str
    received: int = 0
    lost: int = 0
    left: list[str] = dataclasses.field(default_factory=list)
    readable: bool = True
    clean_up_s: float = 0.0
    state: str = ""
    problem: str = ""


class TooLateError(Exception):
    """The run ended before a process was killed."""


class Trial:
    """One run with its client and the second client, `listen`."""

    def __init__(self, folder: Path, with_monitor: bool) -> None:
        self.folder = folder
        self.store = folder / "history.db"
        self.received: dict[Key, Iteration] = {}
        self.run = ""
        self.count = asyncio.Condition()
        self._drawn = asyncio.Event()
        self._mark = secrets.token_hex(8)
        self._runtime = tempfile.TemporaryDirectory(prefix="r", dir=folder)
        environment = {
            **os.environ,
            MARK: self._mark,
            "XDG_RUNTIME_DIR": self._runtime.name,
            "LLMTUI_STORE": str(self.store),
        }
        llmtui = [sys.executable, "-P", "-m", "llmtui"]
        self.output = b""
        self.status: int | None = None
        self._output_file = Path(self._runtime.name) / "output"
        self.screen: Screen | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if with_monitor:
            self.screen = Screen([*llmtui, str(folder / "race.toml")], environment)
            self.pid = self.screen.pid
            asyncio.get_running_loop().add_reader(self.screen.fileno(), self._drain)
        else:
            with self._output_file.open("wb") as output:
                self._process = subprocess.Popen(
                    [*llmtui, "run", str(folder / "race.toml")], env=environment, stdout=output, stderr=output
                )
            self.pid = self._process.pid

        self._client = psutil.Process(self.pid)

    def _drain(self) -> None:
        assert self.screen is not None
        if (data := self.screen.drain()) is None:
            asyncio.get_running_loop().remove_reader(self.screen.fileno())
        else:
            self.output += data
            self._drawn.set()

    async def shown(self, text: bytes) -> None:
        """Wait until the monitor has drawn this text."""
        while text not in self.output:
            self._drawn.clear()
            await self._drawn.wait()

    def processes(self, what: Callable[[psutil.Process], bool] = lambda _: True) -> list[psutil.Process]:
        """Return the running processes of this trial, which all inherit its mark, the oldest first."""
        entry = f"{MARK}={self._mark}".encode()
        running = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    process = psutil.Process(pid)
                    if lives(process) and what(process):
                        running.append(process)
        return sorted(running, key=lambda process: process.create_time())

    async def victim(self, which: str) -> psutil.Process:
        """Wait for a process of that kind and return the oldest. Raises TooLateError if the run ends before."""

        def wanted(process: psutil.Process) -> bool:
            return process.pid == self.pid if which == "monitor" else kind(process) == which

        while lives(self._client):
            if matches := self.processes(wanted):
                return matches[0]
            await asyncio.sleep(_POLL_S)
        raise TooLateError

    def _sockets(self) -> list[Path]:
        return list(Path(self._runtime.name).glob("llmtui/*/engine.sock"))

    async def listen(self) -> None:
        """Connect as soon as an engine listens, record its iterations, leave when the run is done."""
        while True:
            for path in self._sockets():
                with contextlib.suppress(OSError):
                    async with await Client.connect(path) as client:
                        self.run = path.parent.name
                        async for event in client.events():
                            match event:
                                case Hello(iterations=iterations):
                                    await self._record(iterations)
                                case IterationDone(iteration=iteration):
                                    await self._record([iteration])
                            run = event.run if isinstance(event, Hello | RunChanged) else None
                            if run is not None and run.phase == "done":
                                return
                    return
            await asyncio.sleep(_POLL_S)

    async def _record(self, iterations: list[Iteration]) -> None:
        self.received |= {key(i): i for i in iterations}
        async with self.count:
            self.count.notify_all()

    async def moment(self, chance: random.Random) -> None:
        """Wait for a random moment."""
        if chance.random() < 0.25:
            await asyncio.sleep(chance.uniform(0, 1.5))
            return
        least = chance.randrange(2 * ITERATIONS)
        async with self.count:
            await self.count.wait_for(lambda: len(self.received) >= least)
        await asyncio.sleep(chance.uniform(0, 0.025))

    async def leave(self) -> None:
        """Wait for the client to end: `run` ends by itself, the monitor gets `q`."""
        assert self.screen is not None or self._process is not None
        if self._process is not None:
            await asyncio.to_thread(self._process.wait, BOUND_S)
            return
        assert self.screen is not None
        async with asyncio.timeout(BOUND_S):
            while lives(self._client):
                with contextlib.suppress(OSError):
                    self.screen.press(b"q")
                await asyncio.sleep(0.2)

    def close(self) -> None:
        """Kill what is still running and reap the client."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.screen is not None:
            asyncio.get_running_loop().remove_reader(self.screen.fileno())
            self._drain()
            self.screen.close(now=True)
            self.status = self.screen.status
        if self._process is not None:
            self.status = self._process.wait()
            self.output = self._output_file.read_bytes()
        self._runtime.cleanup()


def kind(process: psutil.Process) -> str:
    """Return the kind of a process of a run; "" for a process that a server started."""
    line = process.cmdline()
    if any(part.endswith("guard.py") for part in line):
        return "guard"
    if "llmtui.engine" in line:
        return "engine"
    return "server" if "llmtui.accuracy.truth_server" in line else ""


def lives(process: psutil.Process) -> bool:
    """Return whether it is running; a zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Wait until they are gone. Return those that are still running after BOUND_S."""
    until = time.monotonic() + BOUND_S
    while (left := [process for process in processes if lives(process)]) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return left


async def kill_one(which: str, folder: Path, chance: random.Random) -> Outcome:
    """Run one trial. Raises TooLateError if the run ended before the kill."""
    outcome = Outcome(which)
    trial = Trial(folder, with_monitor=chance.random() < 0.5)
    listener = asyncio.create_task(trial.listen())
    try:
        async with asyncio.timeout(BOUND_S):
            await trial.moment(chance)
            victim = await trial.victim(which)
        if which == "engine":
            family = [p for p in trial.processes() if p.pid not in (trial.pid, victim.pid)]
        elif which == "monitor":
            family = []
        else:
            guard = victim if which == "guard" else victim.parent() or victim
            family = [guard, *guard.children(recursive=True)]
        killed = time.monotonic()
        victim.kill()
        if which != "monitor":
            await asyncio.to_thread(gone, family)
            outcome.clean_up_s = time.monotonic() - killed
        elif not trial.processes(lambda p: p.pid != trial.pid):
            listener.cancel()  # it was killed before it started an engine
        # Once the second client has left, an engine without its first client ends by itself.
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(BOUND_S if trial.run else 2.0):
                await listener
        if which == "monitor":
            alone = time.monotonic()
            await asyncio.to_thread(gone, trial.processes(lambda p: p.pid != trial.pid))
            outcome.clean_up_s = time.monotonic() - alone
        else:
            await trial.leave()
        outcome.left = [" ".join(p.cmdline()[-4:]) for p in await asyncio.to_thread(gone, trial.processes())]
    except (TimeoutError, subprocess.TimeoutExpired, psutil.Error) as error:
        outcome.problem = f"still running after {BOUND_S:g} s ({error!r})"
        outcome.left = [f"{p.pid} {' '.join(p.cmdline()[-4:])}" for p in trial.processes()]
    finally:
        listener.cancel()
        trial.close()
    outcome.received = len(trial.received)
    read_back(trial, outcome)
    if which == "monitor" and outcome.state not in ("done", ""):
        outcome.problem += f"the run did not continue to its end: {outcome.state}"
    return outcome


def read_back(trial: Trial, outcome: Outcome) -> None:
    """Compare the history with what was received."""
    try:
        store, notes = open_store(trial.store)
        with store:
            (integrity,) = store._connection.execute("PRAGMA integrity_check").fetchone()
            outcome.readable = not notes and integrity == "ok"
            outcome.problem += "; ".join([*notes, integrity] if not outcome.readable else [])
            if trial.received:
                store.mark_dead()
                stored = store.load(trial.run)
                saved = {key(i): i for i in stored.iterations}
                outcome.state = stored.state
                outcome.lost = sum(saved.get(name) != iteration for name, iteration in trial.received.items())
    except StoreError as error:
        outcome.readable, outcome.lost = False, len(trial.received)
        outcome.problem += str(error)


def write_config(folder: Path) -> None:
    """Write the config of the trials into `folder`."""
    server = (
        f"setsid sleep 600 & exec {sys.executable} -P -m llmtui.accuracy.truth_server --ttft-ms 5 --itl-ms 1 --port $0"
    )
    launch = json.dumps(["/bin/sh", "-c", server, "{port}"])
    (folder / "race.toml").write_text(
        f"[run]\niterations = {ITERATIONS}\nwarmup = 0\nmax_tokens = 16\n"
        + "".join(f"[[backend]]\nname = {name!r}\nlaunch = {launch}\n" for name in ("one", "two"))
    )


def kills(count: int, which: tuple[str, ...], seed: int, folder: Path) -> Iterator[Outcome]:
    """Run `count` trials in `folder`, one after the other."""
    write_config(folder)
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        outcome = None
        while outcome is None:
            with contextlib.suppress(TooLateError):
                outcome = asyncio.run(kill_one(which[number % len(which)], folder, chance))
        yield outcome


def main() -> None:
    """Kill and count."""
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--which", choices=WHICH, action="append")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    arguments = parser.parse_args()
    which = tuple(arguments.which or WHICH)
    print(heading(f"kill -9 at {arguments.kills} random moments, seed {arguments.seed}"), flush=True)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-kills-") as name:
        for outcome in kills(arguments.kills, which, arguments.seed, Path(name)):
            outcomes.append(outcome)
            if outcome.lost or outcome.left or outcome.problem:
                print(f"kill {len(outcomes)}: {outcome}", flush=True)
    print(
        f"{'killed':8} {'n':>4} {'received':>8} {'lost':>5} {'left':>5} {'readable':>9} {'clean-up':>10} {'slowest':>9}"
    )
    for one in (*which, "all"):
        of = [o for o in outcomes if one in (o.which, "all")]
        if of:
            print(
                f"{one:8} {len(of):4} {sum(o.received for o in of):8} {sum(o.lost for o in of):5} "
                f"{sum(len(o.left) for o in of):5} {sum(o.readable for o in of):5}/{len(of):<3} "
                f"{statistics.median(o.clean_up_s for o in of):8.2f} s {max(o.clean_up_s for o in of):7.2f} s"
            )
    sys.exit(any(o.lost or o.left or o.problem for o in outcomes))


if __name__ == "__main__":
    main()
