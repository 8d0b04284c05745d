"""The run: brings the backends up, carries out one iteration after the other, and tells what happened.

One request is under way at any time. Commands arrive through `obey` and take effect at the next safe moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmtui.engine.backend_run import BackendRun, lighten, measure
from llmtui.engine.bringup import LAUNCHES, Target
from llmtui.engine.recorder import Recorder
from llmtui.engine.schedule import Job, Turns, jobs_left
from llmtui.engine.watch.server_usage import sample_servers
from llmtui.model import (
    RESTING,
    AnyCommand,
    AnyEvent,
    BackendChanged,
    BackendState,
    Detach,
    Failure,
    Hello,
    Iteration,
    IterationDone,
    Logs,
    LogTail,
    Machine,
    More,
    Note,
    Pause,
    Plan,
    Rerun,
    Resume,
    RunChanged,
    RunState,
    Shutdown,
    Stop,
    redacted,
)
from llmtui.servers.base import StartError
from llmtui.servers.environment import withheld_variables
from llmtui.servers.launcher import ManagedServer
from llmtui.stats.compare import MORE_TIMES, narrow
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.store.rows import StoredRun

#: From a server's death to the news of it.
DEATH_NEWS_S = 1.0
#: So many of a server's last lines are told to who asks.
LOG_LINES = 100
#: So many failures one after the other, and the backend's remaining iterations are not tried.
MAX_FAILURES_IN_A_ROW = 3
#: A state of a backend that waits for nothing.
_AT_REST: dict[str, Any] = {"doing": "", "progress": None, "usual_load_s": None}


class Runner:
    """Carries out a plan. `tell` gets every event; `own_pids` lists the processes that are llmtui's own.

    `stored` is what the history has of a run that is taken up again.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        tell: Callable[[AnyEvent], None],
        machine: Machine,
        own_pids: Callable[[], list[int]],
        recorder: Recorder,
        stored: StoredRun | None = None,
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._machine = machine
        self._own_pids = own_pids
        self._journal = recorder
        self.notes: list[Note] = []
        self._config = plan.config
        self._began = time.monotonic()
        self._iterations: list[Iteration] = list(stored.iterations) if stored is not None else []
        self._entrants: dict[str, BackendRun] = {}
        addresses: list[str] = []
        usual = recorder.usual_loads()
        for number, backend in enumerate(plan.backends):
            target_folder = folder / f"server-{number + 1}"
            withheld = withheld_variables(backend, plan.backends, os.environ)
            before = next((s.listener_uids for s in stored.states if s.name == backend.name), None) if stored else None
            uids = frozenset(before) if before is not None and not backend.launched else None
            target = Target(backend, plan.config, target_folder, withheld, uids, goes_on=stored is not None)
            backend_run = BackendRun(backend, target, BackendState(name=backend.name))
            backend_run.usual_load_s = usual.get(backend.name)
            backend_run.twin = addresses.count(backend.url) if backend.url else 0
            addresses.append(backend.url)
            self._entrants[backend.name] = backend_run
            if stored is None:
                backend_run.begin(self._config, attempt=1)
            else:
                backend_run.state = next(s for s in stored.states if s.name == backend.name)
                backend_run.take_up(self._left(backend_run), salt=f"+{self._began}")
        self._turns = Turns(plan.config.order, list(self._entrants), f"{plan.config.seed}/{plan.run}")
        self._ended: float | None = None
        self._paused = False
        self._stopping = False
        self._more: More | None = None
        self._alone = False
        self._detached = False
        self._wake = asyncio.Event()
        #: What is under way, by backend: one iteration, or the bringing up of one or several.
        self._work: dict[str, asyncio.Task[None]] = {}

    # --- What clients see and say. ---

    def hello(self) -> Hello:
        """All that happened so far."""
        return Hello(
            plan=self._plan.public(),
            machine=self._machine,
            run=self._run_state(),
            backends=[backend_run.state for backend_run in self._entrants.values()],
            iterations=list(self._iterations),
            notes=self.notes,
        )

    def obey(self, command: AnyCommand) -> None:
        """Take in one command of a client. One that names an unknown backend is refused and changes nothing."""
        if isinstance(command, Rerun | Stop | Logs) and command.backend and command.backend not in self._entrants:
            known = ", ".join(self._entrants)
            self._tell(Note(text=f"there is no backend {command.backend!r}; this run has {known}", level="error"))
            return
        match command:
            case Pause():
                self._paused = True
            case Resume():
                self._paused = False
            case Rerun(backend=name):
                self._go_on()
                for backend_run in self._named(name):
                    self._interrupt(backend_run)
                    backend_run.begin(self._config, attempt=backend_run.state.attempt + 1)
                    self._set(backend_run, state="waiting", failure=None, log_tail=[], **_AT_REST)
            case Stop(backend=name):
                for backend_run in self._named(name):
                    if backend_run.queue or self._works_on(backend_run):
                        # What it works on is left undone too, unless that is bringing its server up.
                        backend_run.dropped = len(backend_run.queue) + (
                            self._works_on(backend_run) and backend_run.target.up
                        )
                        backend_run.queue.clear()
                        self._set(backend_run, state="stopped", **_AT_REST)
                        self._interrupt(backend_run)
            case Logs(backend=name):
                if name:
                    backend_run = self._entrants[name]
                    tail = LogTail(backend=name, lines=backend_run.target.log_tail(LOG_LINES))
                    self._tell(redacted(tail, backend_run.backend))
                return
            case More():
                self._ask_for_more(command)
            case Detach():
                self._detached = True
            case Shutdown():
                self.shut_down()
                return
        self._wake.set()
        self._tell_run()

    def _go_on(self) -> None:
        """A run that was done has work again. Told before its backends are, so that nobody takes it for done."""
        if self._ended is not None:
            # The time in which nothing was to do is no part of the run's.
            self._began += time.monotonic() - self._ended
            self._ended = None
            self._journal.again()
        self._tell_run()

    def _ask_for_more(self, more: More) -> None:
        if self._config.order == "sequential":
            self._remark(Note(text='more rounds can be added where backends take turns: order = "shuffled"'))
        elif why := self._enough(more):
            self._remark(Note(text=f"no rounds are added: {why}"))
        else:
            self._tell(Note(text=f"rounds are added until {_wish(more)}"))
            self._more = more
            self._go_on()

    def _enough(self, more: More) -> str:
        """Why no round is to be added for `more`; empty where one is."""
        done = [backend_run for backend_run in self._entrants.values() if backend_run.state.state == "done"]
        if any(backend_run.queue for backend_run in self._entrants.values()):
            return ""
        if len(done) < 2:
            return "there are no two backends that did all that was planned"
        most = more.most or MORE_TIMES * self._config.iterations
        if all(backend_run.state.planned >= most for backend_run in done):
            return f"every backend has its {most} iterations"
        if narrow({backend_run.name: self._measured(backend_run) for backend_run in done}, more.within, _metric(more)):
            return f"{_wish(more)} already"
        return ""

    def _add_round(self) -> bool:
        """One more iteration for every backend, if that was asked for and the verdict is still wide. Whether it was."""
        if self._more is None:
            return False
        if self._enough(self._more):
            self._more = None
            return False
        for backend_run in [
            backend_run for backend_run in self._entrants.values() if backend_run.state.state == "done"
        ]:
            number = backend_run.state.planned + 1
            backend_run.queue.append(("measured", number))
            self._set(backend_run, state="waiting", planned=number)
        return True

    def _measured(self, backend_run: BackendRun) -> list[Iteration]:
        key = (backend_run.name, backend_run.state.attempt, "measured")
        return [i for i in self._iterations if (i.backend, i.attempt, i.phase) == key]

    def audience(self, present: bool) -> None:
        """Clients came, or the last one left. Alone, a run is finished (a pause ends) or stopped, as planned."""
        self._alone = not present
        if present:
            self._detached = False
        elif self._detached or self._config.on_disconnect == "finish":
            self._paused = False
            self._wake.set()
        else:
            self.shut_down()

    def shut_down(self) -> None:
        """Stop at once; `run` then ends the servers and returns."""
        self._stopping = True
        self._wake.set()
        for work in self._work.values():
            work.cancel()

    def _named(self, name: str) -> list[BackendRun]:
        return [self._entrants[name]] if name else list(self._entrants.values())

    def _interrupt(self, backend_run: BackendRun) -> None:
        if self._works_on(backend_run):
            self._work[backend_run.name].cancel()

    def _works_on(self, backend_run: BackendRun) -> bool:
        return backend_run.name in self._work and not self._work[backend_run.name].done()

    # --- The run. ---

    async def run(self) -> None:
        """Carry out the plan, then wait for more to do until told to shut down. Leaves no server behind."""
        sampler = asyncio.create_task(sample_servers(self._entrants.values(), self._tell))
        try:
            while not self._stopping:
                backend_runs = [] if self._paused else self._next()
                if backend_runs:
                    await self._do(backend_runs)
                elif self._paused or not self._add_round():
                    await self._rest()
        finally:
            sampler.cancel()
            if self._ended is None:
                self._journal.end(complete=False)
            self._tell_run()
            await asyncio.gather(
                sampler,
                *(backend_run.target.close() for backend_run in self._entrants.values()),
                return_exceptions=True,
            )

    def _next(self) -> list[BackendRun]:
        """Whose turn it is. Unless they go one by one, all are brought up first.

        Those that only have to be asked come first and together, since one that does not answer takes its time.
        """
        waiting = [backend_run for backend_run in self._entrants.values() if backend_run.queue]
        if self._config.order != "sequential":
            down = [backend_run for backend_run in waiting if not backend_run.target.up]
            if down:
                return [backend_run for backend_run in down if backend_run.target.effort < LAUNCHES] or down[:1]
            # Who is ahead, because a run was taken up in the midst of a round or a server started again, waits: rounds
            # are compared, and those of different numbers are none.
            least = min((_place(backend_run.queue[0]) for backend_run in waiting), default=None)
            waiting = [backend_run for backend_run in waiting if _place(backend_run.queue[0]) == least]
        name = self._turns.next([backend_run.name for backend_run in waiting])
        return [self._entrants[name]] if name is not None else []

    async def _do(self, backend_runs: list[BackendRun]) -> None:
        """One step of work for each, which a command can interrupt."""
        for backend_run in backend_runs:
            step = self._iterate(backend_run) if backend_run.target.up else self._bring_up(backend_run)
            self._work[backend_run.name] = asyncio.create_task(step)
        self._tell_run()
        try:
            await asyncio.wait(self._work.values())
            for backend_run in backend_runs:
                work = self._work[backend_run.name]
                if not work.cancelled() and (error := work.exception()) is not None:
                    what = f"llmtui failed here: {error!r}"
                    self._fail(backend_run, Failure(kind="server", message=what, hint="please report this"))
                    await backend_run.target.close()
        finally:
            self._work.clear()
        for backend_run in backend_runs:
            if not backend_run.queue and backend_run.state.state not in RESTING and not self._stopping:
                self._set(backend_run, state="done")
            if self._config.order == "sequential" and not backend_run.queue:
                await backend_run.target.close()
        self._tell_run()

    async def _rest(self) -> None:
        """Nothing to do, or paused: wait for a command."""
        if not self._paused and self._ended is None:
            self._ended = time.monotonic()
            self._journal.end(complete=not any(backend_run.dropped for backend_run in self._entrants.values()))
        self._tell_run()
        if self._alone and not self._paused:
            # All is done and nobody looks: that was it.
            self._stopping = True
            return
        await self._wake.wait()
        self._wake.clear()

    async def _bring_up(self, backend_run: BackendRun) -> None:
        def report(doing: str, progress: float | None) -> None:
            # Fetching and converting come before the launch; then the server loads.
            if doing == "loading":
                self._set(backend_run, state="loading", doing="", progress=None)
            else:
                self._set(backend_run, state="preparing", doing=doing, progress=progress)

        known: dict[str, Any] = {"usual_load_s": backend_run.usual_load_s, "failure": None, "log_tail": []}
        self._set(backend_run, state="loading", doing="", progress=None, **known)
        try:
            ready = await backend_run.target.bring_up(report)
        except StartError as error:
            self._fail(backend_run, error.failure, error.log_tail)
            return
        backend_run.failures_in_a_row = 0
        backend_run.cpu = None
        backend_run.usual_load_s = ready.load_s
        self._set(
            backend_run,
            state="ready",
            **_AT_REST,
            note=", ".join(
                filter(None, (ready.note, f"restarted {backend_run.restarts} x" if backend_run.restarts else ""))
            ),
            version=ready.version,
            model=ready.model,
            weights=ready.weights,
            threads=ready.threads,
            url=ready.url,
            load_s=ready.load_s,
            model_digest=ready.model_digest,
            context_tokens=ready.context_tokens,
            listener_uids=_uids(backend_run),
        )

    async def _iterate(self, backend_run: BackendRun) -> None:
        job = backend_run.queue.popleft()
        self._set(backend_run, state="warmup" if job[0] == "warmup" else "running")
        if not self._iterations:
            self._tell_run()
        iteration = await measure(backend_run, job, self._plan, self._own_pids, self._hear)
        self._journal.iteration(iteration)
        self._iterations.append(iteration)
        lighten(self._iterations)
        self._tell(IterationDone(iteration=iteration))
        if not backend_run.state.device:
            # Known only now: some servers load at the first request.
            self._set(backend_run, device=backend_run.target.device())
        await self._judge(backend_run, iteration)
        if self._config.cooldown_s and backend_run.queue:
            await asyncio.sleep(self._config.cooldown_s)

    async def _judge(self, backend_run: BackendRun, iteration: Iteration) -> None:
        """After an iteration: is the backend still worth asking?"""
        if iteration.error is None:
            backend_run.failures_in_a_row = 0
            assert iteration.latency_s is not None
            backend_run.latencies_s.append(iteration.latency_s)
            return
        if iteration.error.kind == "stopped":
            return  # llmtui's own doing, not the server's
        backend_run.failures_in_a_row += 1
        server = backend_run.target.server
        if server is not None and iteration.error.kind in ("connect", "protocol"):
            # A server that has just died refuses connections a moment before its end is known.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEATH_NEWS_S):
                    await server.exited.wait()
        if server is not None and server.exited.is_set():
            await self._bury(backend_run, server)
        elif backend_run.failures_in_a_row >= MAX_FAILURES_IN_A_ROW or iteration.error.kind == "connect":
            self._fail(backend_run, iteration.error, server.log_tail() if server is not None else [])
            await backend_run.target.close()

    async def _bury(self, backend_run: BackendRun, server: ManagedServer) -> None:
        """A server ended by itself: it is started again, as often as planned, or its backend has failed."""
        failure = Failure(kind="server", message=f"the server ended: {server.exit_reason()}")
        tail = server.log_tail()
        left = self._left(backend_run)
        if left and backend_run.restarts < self._config.restarts:
            backend_run.restarts += 1
            backend_run.failures_in_a_row = 0
            backend_run.queue = deque(left)
            again = f"{failure.message}; started again ({backend_run.restarts} of {self._config.restarts})"
            self._remark(Note(text=again, level="warning", backend=backend_run.name))
            self._set(backend_run, state="waiting", doing="", progress=None, log_tail=tail)
        else:
            self._fail(backend_run, failure, tail)
        await backend_run.target.close()

    # --- Small parts. ---

    def _hear(self, event: AnyEvent) -> None:
        """What happens inside of an iteration."""
        if isinstance(event, Note):
            self._remark(event)
        else:
            self._tell(event)

    def _remark(self, note: Note) -> None:
        """Tell of something, those that come later too."""
        self.notes.append(note)
        self._tell(note)

    def _left(self, backend_run: BackendRun) -> list[Job]:
        """What is not made yet of what the backend's attempt was to make."""
        key = (backend_run.name, backend_run.state.attempt)
        made = {(i.phase, i.iteration) for i in self._iterations if (i.backend, i.attempt) == key}
        return jobs_left(self._config.warmup, max(self._config.iterations, backend_run.state.planned), made)

    def _fail(self, backend_run: BackendRun, failure: Failure, log_tail: list[str] | None = None) -> None:
        states: dict[str, Any] = {"connect": "unreachable", "missing": "missing"}
        backend_run.queue.clear()
        self._set(
            backend_run,
            state=states.get(failure.kind, "failed"),
            **_AT_REST,
            failure=failure,
            listener_uids=_uids(backend_run),
            log_tail=log_tail or [],
        )

    def _set(self, backend_run: BackendRun, **changes: Any) -> None:
        state = redacted(msgspec.structs.replace(backend_run.state, **changes), backend_run.backend)
        if state != backend_run.state or "failure" in changes:
            backend_run.state = state
            self._journal.state(state)
            self._tell(BackendChanged(backend=state))

    def _tell_run(self) -> None:
        self._tell(RunChanged(run=self._run_state()))

    def _run_state(self) -> RunState:
        finished = sum(
            self._config.warmup + backend_run.state.planned - len(backend_run.queue) - backend_run.dropped
            for backend_run in self._entrants.values()
            if backend_run.state.state not in ("unreachable", "missing", "failed")
        )
        left = sum(len(backend_run.queue) for backend_run in self._entrants.values())
        asking = any(backend_run.state.state in ("warmup", "running") for backend_run in self._entrants.values())
        phase: Any = "running" if self._iterations or asking else "starting"
        if self._ended is not None:
            phase = "done"  # and stays so while the servers are stopped
        elif self._stopping:
            phase = "stopping"
        elif self._paused:
            phase = "paused"
        now = self._ended if self._ended is not None else time.monotonic()
        return RunState(
            phase=phase,
            finished=finished,
            total=finished + left,
            elapsed_s=round(now - self._began, 3),
            eta_s=self._eta_s(),
        )

    def _eta_s(self) -> float | None:
        """Seconds left by what each backend took so far; None while one that has work left is still unknown."""
        total = 0.0
        for backend_run in self._entrants.values():
            if backend_run.queue:
                recent = backend_run.latencies_s[-10:]
                if not recent:
                    return None
                total += len(backend_run.queue) * (sum(recent) / len(recent) + self._config.cooldown_s)
        return round(total, 1)


def _uids(backend_run: BackendRun) -> list[int] | None:
    """The users that hold the port of a found server; None for a launched one, and where that is not known."""
    found = backend_run.target.found_uids
    return None if found is None or backend_run.backend.launched else sorted(found)


def _metric(more: More) -> MetricKey:
    return more.metric if more.metric in METRICS else "latency"


def _wish(more: More) -> str:
    return f"every interval of {METRICS[_metric(more)].title} is within {100 * more.within:g} %"


def _place(job: Job) -> tuple[bool, int]:
    """Where a job stands in its attempt: warm-ups come first, and are not counted against each other."""
    return (False, 0) if job[0] == "warmup" else (True, job[1])
