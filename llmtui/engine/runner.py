"""The run: brings the backends up, carries out one iteration after the other, and tells what happened.

One request is under way at any time. Commands arrive through `obey` and take effect at the next safe moment.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from llmtui.engine.foreign import ForeignMeter
from llmtui.engine.schedule import Job, Turns, fresh_line, jobs
from llmtui.engine.target import Target
from llmtui.measure.request import Answer, IterationError, figures
from llmtui.model import (
    RESTING,
    AnyCommand,
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Failure,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    Pause,
    Plan,
    Progress,
    Rerun,
    Resume,
    RunChanged,
    RunState,
    Sampled,
    Shutdown,
    Stop,
)
from llmtui.servers.base import StartError

#: Progress of an iteration is told this often at most.
PROGRESS_INTERVAL_S = 0.25
SAMPLE_INTERVAL_S = 1.0
#: So many failures one after the other, and the backend's remaining iterations are not tried.
MAX_FAILURES_IN_A_ROW = 3


@dataclasses.dataclass
class _Lane:
    """One backend in this run."""

    backend: Backend
    target: Target
    state: BackendState
    twin: int = 0
    queue: deque[Job] = dataclasses.field(default_factory=deque)
    failures_in_a_row: int = 0
    latencies_s: list[float] = dataclasses.field(default_factory=list)
    cpu: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return self.backend.name


class Runner:
    """Carries out a plan. `tell` gets every event; `own_pids` lists the processes that are llmtui's own."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        tell: Callable[[AnyEvent], None],
        machine: Machine,
        own_pids: Callable[[], list[int]],
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._machine = machine
        self._own_pids = own_pids
        self._config = plan.config
        self._lanes: dict[str, _Lane] = {}
        addresses: list[str] = []
        for number, backend in enumerate(plan.backends):
            target_folder = folder / f"server-{number + 1}"
            lane = _Lane(backend, Target(backend, plan.config, target_folder), BackendState(name=backend.name))
            lane.twin = addresses.count(backend.url) if backend.url else 0
            addresses.append(backend.url)
            self._lanes[backend.name] = lane
            self._plan_attempt(lane, attempt=1)
        self._turns = Turns(plan.config.order, list(self._lanes), plan.config.seed)
        self._iterations: list[Iteration] = []
        self._began = time.monotonic()
        self._ended: float | None = None
        self._paused = False
        self._stopping = False
        self._wake = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._working_on: _Lane | None = None

    # --- What clients see and say. ---

    def hello(self) -> Hello:
        """All that happened so far."""
        return Hello(
            plan=self._plan.public(),
            machine=self._machine,
            run=self._run_state(),
            backends=[lane.state for lane in self._lanes.values()],
            iterations=list(self._iterations),
        )

    def obey(self, command: AnyCommand) -> None:
        """Take in one command of a client."""
        match command:
            case Pause():
                self._paused = True
            case Resume():
                self._paused = False
            case Rerun(backend=name):
                # The run is told to go on before its backends are, so that nobody takes it for done meanwhile.
                if self._ended is not None:
                    # The time in which nothing was to do is no part of the run's.
                    self._began += time.monotonic() - self._ended
                    self._ended = None
                self._tell_run()
                for lane in self._named(name):
                    self._interrupt(lane)
                    self._plan_attempt(lane, attempt=lane.state.attempt + 1)
                    self._set(lane, state="waiting", failure=None, log_tail=[], doing="", progress=None)
            case Stop(backend=name):
                for lane in self._named(name):
                    if lane.queue or self._working_on is lane:
                        lane.queue.clear()
                        self._set(lane, state="stopped", doing="", progress=None)
                        self._interrupt(lane)
            case Shutdown():
                self.shut_down()
                return
        self._wake.set()
        self._tell_run()

    def shut_down(self) -> None:
        """Stop at once; `run` then ends the servers and returns."""
        self._stopping = True
        self._wake.set()
        if self._work is not None:
            self._work.cancel()

    def _named(self, name: str) -> list[_Lane]:
        if not name:
            return list(self._lanes.values())
        return [self._lanes[name]] if name in self._lanes else []

    def _interrupt(self, lane: _Lane) -> None:
        if self._working_on is lane and self._work is not None:
            self._work.cancel()

    # --- The run. ---

    async def run(self) -> None:
        """Carry out the plan, then wait for more to do until told to shut down. Leaves no server behind."""
        sampler = asyncio.create_task(self._sample())
        try:
            while not self._stopping:
                lane = None if self._paused else self._next()
                if lane is None:
                    await self._rest()
                    continue
                await self._do(lane, self._bring_up(lane) if not lane.target.up else self._iterate(lane))
        finally:
            sampler.cancel()
            self._tell_run()
            await asyncio.gather(
                sampler, *(lane.target.close() for lane in self._lanes.values()), return_exceptions=True
            )

    def _next(self) -> _Lane | None:
        """The lane whose turn it is. Unless they go one by one, all are brought up first: found ones, then launched."""
        waiting = [lane for lane in self._lanes.values() if lane.queue]
        if self._config.order != "sequential":
            down = [lane for lane in waiting if not lane.target.up]
            if down:
                return min(down, key=lambda lane: lane.backend.launched)
        name = self._turns.next([lane.name for lane in waiting])
        return self._lanes[name] if name is not None else None

    async def _do(self, lane: _Lane, step: Awaitable[None]) -> None:
        """One step of work that a command can interrupt."""
        self._working_on = lane
        self._work = asyncio.ensure_future(step)
        self._tell_run()
        try:
            await asyncio.wait({self._work})
            if not self._work.cancelled() and (error := self._work.exception()) is not None:
                self._fail(
                    lane, Failure(kind="server", message=f"llmtui failed here: {error!r}", hint="please report this")
                )
                await lane.target.close()
        finally:
            self._work = None
            self._working_on = None
        if not lane.queue and lane.state.state not in RESTING and not self._stopping:
            self._set(lane, state="done")
        if self._config.order == "sequential" and not lane.queue:
            await lane.target.close()
        self._tell_run()

    async def _rest(self) -> None:
        """Nothing to do, or paused: wait for a command."""
        if not self._paused and self._ended is None:
            self._ended = time.monotonic()
        self._tell_run()
        await self._wake.wait()
        self._wake.clear()

    async def _bring_up(self, lane: _Lane) -> None:
        def report(doing: str, progress: float | None) -> None:
            # Fetching and converting come before the launch; then the server loads.
            state = "loading" if doing == "loading" else "preparing"
            self._set(lane, state=state, doing=doing, progress=progress)

        self._set(lane, state="loading", doing="", progress=None, failure=None, log_tail=[])
        try:
            ready = await lane.target.bring_up(report)
        except StartError as error:
            self._fail(lane, error.failure, error.log_tail)
            return
        lane.failures_in_a_row = 0
        lane.cpu = None
        self._set(
            lane,
            state="ready",
            doing="",
            progress=None,
            note=ready.note,
            version=ready.version,
            model=ready.model,
            weights=ready.weights,
            threads=ready.threads,
            url=ready.url,
            load_s=ready.load_s,
        )

    async def _iterate(self, lane: _Lane) -> None:
        job = lane.queue.popleft()
        phase, number = job
        attempt = lane.state.attempt
        self._set(lane, state="warmup" if phase == "warmup" else "running")
        prompt = self._config.prompt
        if self._config.fresh_prompt:
            prompt = f"{fresh_line(self._plan.run, attempt, job, lane.twin)}\n{prompt}"
        meter = ForeignMeter(lane.target.cpu_seconds, self._own_pids)
        told = began = time.monotonic()

        def on_tokens(count: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= PROGRESS_INTERVAL_S:
                told = now
                self._tell(
                    Progress(
                        backend=lane.name, phase=phase, iteration=number, tokens=count, elapsed_s=round(now - began, 3)
                    )
                )

        started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        answer: Answer | None = None
        failure: Failure | None = None
        # A collection in the middle of an answer would show as a gap that the server never made.
        gc.collect(0)
        gc.disable()
        meter.start()
        try:
            answer = await lane.target.ask(prompt, on_tokens)
        except IterationError as error:
            failure = error.failure
        finally:
            foreign = meter.stop()
            gc.enable()
        iteration = Iteration(
            run=self._plan.run,
            backend=lane.name,
            attempt=attempt,
            iteration=number,
            phase=phase,
            started_utc=started,
            foreign_cpu=foreign,
            error=failure,
        )
        if answer is not None:
            iteration = _with_figures(iteration, answer)
        self._iterations.append(iteration)
        self._tell(IterationDone(iteration=iteration))
        await self._judge(lane, iteration)
        if self._config.cooldown_s and lane.queue:
            await asyncio.sleep(self._config.cooldown_s)

    async def _judge(self, lane: _Lane, iteration: Iteration) -> None:
        """After an iteration: is the backend still worth asking?"""
        if iteration.error is None:
            lane.failures_in_a_row = 0
            assert iteration.latency_s is not None
            lane.latencies_s.append(iteration.latency_s)
            return
        lane.failures_in_a_row += 1
        server = lane.target.server
        if server is not None and server.exited.is_set():
            failure = Failure(kind="server", message=f"the server ended: {server.exit_reason()}")
            self._fail(lane, failure, server.log_tail())
            await lane.target.close()
        elif lane.failures_in_a_row >= MAX_FAILURES_IN_A_ROW or iteration.error.kind == "connect":
            self._fail(lane, iteration.error, server.log_tail() if server is not None else [])
            await lane.target.close()

    # --- Small parts. ---

    def _plan_attempt(self, lane: _Lane, attempt: int) -> None:
        lane.queue = deque(jobs(self._config.warmup, self._config.iterations))
        lane.failures_in_a_row = 0
        lane.state = msgspec.structs.replace(lane.state, attempt=attempt, planned=self._config.iterations)

    def _fail(self, lane: _Lane, failure: Failure, log_tail: list[str] | None = None) -> None:
        states: dict[str, Any] = {"connect": "unreachable", "missing": "missing"}
        lane.queue.clear()
        self._set(
            lane,
            state=states.get(failure.kind, "failed"),
            doing="",
            progress=None,
            failure=failure,
            log_tail=log_tail or [],
        )

    def _set(self, lane: _Lane, **changes: Any) -> None:
        state = msgspec.structs.replace(lane.state, **changes)
        if state != lane.state or "failure" in changes:
            lane.state = state
            self._tell(BackendChanged(backend=state))

    def _tell_run(self) -> None:
        self._tell(RunChanged(run=self._run_state()))

    def _run_state(self) -> RunState:
        finished = sum(
            self._config.warmup + self._config.iterations - len(lane.queue)
            for lane in self._lanes.values()
            if lane.state.state not in ("unreachable", "missing", "failed", "stopped")
        )
        left = sum(len(lane.queue) for lane in self._lanes.values())
        phase: Any = "running" if self._iterations else "starting"
        if self._stopping:
            phase = "stopping"
        elif self._ended is not None:
            phase = "done"
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
        for lane in self._lanes.values():
            if lane.queue:
                recent = lane.latencies_s[-10:]
                if not recent:
                    return None
                total += len(lane.queue) * (sum(recent) / len(recent) + self._config.cooldown_s)
        return round(total, 1)

    async def _sample(self) -> None:
        """Memory and CPU of the servers, once a second, told when they changed."""
        last: dict[str, tuple[int, float]] = {}
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL_S)
            for lane in self._lanes.values():
                sample = lane.target.sample() if lane.target.up else None
                if sample is None:
                    continue
                rss_bytes, cpu_s = sample
                now = time.monotonic()
                before, lane.cpu = lane.cpu, (now, cpu_s)
                if before is None:
                    continue
                cores = round(max(0.0, (cpu_s - before[1]) / (now - before[0])), 1)
                megabytes = round(rss_bytes / 1e6)
                if last.get(lane.name) != (megabytes, cores):
                    last[lane.name] = (megabytes, cores)
                    self._tell(Sampled(backend=lane.name, rss_bytes=rss_bytes, cpu_cores=cores))


def _with_figures(iteration: Iteration, answer: Answer) -> Iteration:
    numbers = figures(answer)
    return msgspec.structs.replace(
        iteration,
        latency_s=numbers.latency_s,
        ttft_s=numbers.ttft_s,
        ttfo_s=numbers.ttfo_s,
        itl_s=numbers.itl_s,
        tpot_s=numbers.tpot_s,
        tokens_per_s=numbers.tokens_per_s,
        output_tokens=numbers.output_tokens,
        token_source=numbers.token_source,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        finish_reason=answer.finish_reason,
        connect_s=answer.connect_ns / 1e9 if answer.connect_ns is not None else None,
        server_prefill_s=answer.prefill_s,
        server_decode_s=answer.decode_s,
        server_load_s=answer.load_s,
        stamp=answer.stamp,
        text=answer.text,
        arrivals_ns=answer.arrivals_ns,
        arrival_tokens=answer.arrival_tokens,
    )
