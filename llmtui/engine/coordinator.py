"""The loop over turns: brings the backends up, then carries out one iteration after the other.

One request is under way at any time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import LAUNCHES
from llmtui.engine.calibration import calibrate
from llmtui.engine.cluster_workers import RunWorkers
from llmtui.engine.control import Control
from llmtui.engine.fresh_lines import agree_on_role, record_role
from llmtui.engine.fronts import separate_shared_engine
from llmtui.engine.health import bring_up, check_iteration, fail, make_room, remarks
from llmtui.engine.level_faults import check_turn
from llmtui.engine.load_notes import LoadNotes
from llmtui.engine.power import begin_power
from llmtui.engine.prompting import prompt_of
from llmtui.engine.retry import measure
from llmtui.engine.run import Run
from llmtui.engine.schedule import Turns
from llmtui.engine.search import Search
from llmtui.engine.slots import slots_note
from llmtui.engine.turns import take_turn
from llmtui.engine.watch.clock_drift import ClockDrift
from llmtui.engine.watch.server_usage import sample_servers
from llmtui.load.marks import Mark
from llmtui.model import RESTING, AnyEvent, Failure, Note


class Coordinator:
    """Carries out a run step by step. `own_pids` returns the processes of llmtui itself."""

    def __init__(self, run: Run, control: Control, own_pids: Callable[[], list[int]]) -> None:
        self._run = run
        self._control = control
        self._workers = RunWorkers(run)
        self._own_pids = lambda: [*own_pids(), *self._workers.crew.pids]
        #: For runs whose Dask workers are on this machine. Those of a cluster have marks of their own.
        self._mark = Mark(run.plan.run)
        self._load_notes = LoadNotes(run)
        self._search = Search(run)
        self._clock_drift = ClockDrift()
        self._turns = Turns(run.config.order, list(run.by_name), f"{run.config.seed}/{run.plan.run}")

    async def run(self) -> None:
        """Carry out the plan, then wait for commands until the run is shut down. Leaves no server behind."""
        run = self._run
        if run.config.launches > 1 and not run.plan.relaunches:
            text = f"launches = {run.config.launches} changes nothing: llmtui launches none of these servers"
            run.add_note(Note(text=text, level="warning"))
        self._load_notes.begin()
        if text := slots_note(run.plan):
            run.add_note(Note(text=text, level="warning"))
        await begin_power(run)
        sampler = asyncio.create_task(sample_servers(run.backends, run.emit))
        try:
            await self._workers.begin()
            while not run.stopping:
                backend_runs = [] if run.paused else self._next()
                if backend_runs:
                    await self._step(backend_runs)
                elif run.paused or not (self._search.add_probe() or self._control.rounds.add_round()):
                    await self._wait()
        finally:
            self._mark.set(False)
            sampler.cancel()
            run.close()
            await asyncio.gather(
                sampler,
                self._workers.crew.close(),
                *(backend_run.target.close() for backend_run in run.backends),
                return_exceptions=True,
            )

    def _next(self) -> list[BackendRun]:
        """Return the backends of the next step: one to measure, or those to bring up.

        Unless the order is sequential all are brought up first: those that only need to be asked come before those
        that are launched, and together, because one that does not answer takes until its timeout.
        """
        waiting = [backend_run for backend_run in self._run.backends if backend_run.queue]
        if self._run.config.order != "sequential":
            down = [backend_run for backend_run in waiting if not backend_run.target.up]
            if down:
                asked = [backend_run for backend_run in down if backend_run.target.effort < LAUNCHES]
                return asked or [self._first_launched(down)]
            # A backend that is ahead, after a resume or a restart, waits: only iterations of the same round are
            # compared.
            least = min((self._round(backend_run) for backend_run in waiting), default=None)
            waiting = [backend_run for backend_run in waiting if self._round(backend_run) == least]
            # All servers of a block are launched after the last one of the block before has made room.
            if due := [backend_run for backend_run in waiting if backend_run.relaunch_due]:
                return due
        name = self._turns.next([backend_run.name for backend_run in waiting])
        return [self._run.by_name[name]] if name is not None else []

    def _first_launched(self, down: list[BackendRun]) -> BackendRun:
        """Return the backend whose server is launched next: the first one, or with several launches a random one."""
        config = self._run.config
        if config.launches == 1:
            return down[0]
        names = list(self._run.by_name)
        launch = max(backend_run.next_launch for backend_run in down)
        random.Random(f"{config.seed}/{self._run.plan.run}/launch {launch}").shuffle(names)
        return min(down, key=lambda backend_run: names.index(backend_run.name))

    def _round(self, backend_run: BackendRun) -> tuple[int, bool, int, int]:
        """Return the round of a backend's next job: the warm-ups of a launch are in one, before its measured ones.

        Each level of a load is a round of its own.
        """
        job = backend_run.queue[0]
        if job.phase == "measured":
            levels = list(backend_run.levels_of(job.number))
            place = job.level if backend_run.probed else levels.index(job.level)
            return self._run.config.launch_of(job.number), True, job.number, place
        return backend_run.next_launch, False, 0, job.level

    async def _step(self, backend_runs: list[BackendRun]) -> None:
        """Carry out one iteration, one bring-up or one stop of a server for each backend. A command can cancel it."""
        for backend_run in backend_runs:
            if backend_run.relaunch_due:
                step = make_room(self._run, backend_run)
            elif backend_run.target.up:
                step = self._iterate(backend_run)
            else:
                step = bring_up(self._run, backend_run)
            backend_run.task = asyncio.create_task(step)
        if not all(backend_run.target.up for backend_run in backend_runs):
            self._run.emit_run()
        try:
            await asyncio.wait([backend_run.task for backend_run in backend_runs if backend_run.task is not None])
            for backend_run in backend_runs:
                await self._handle_crash(backend_run)
        finally:
            for backend_run in backend_runs:
                backend_run.task = None
        if text := self._clock_drift.look():
            self._run.add_note(Note(text=text, level="warning"))
        self._search.add_probe()
        self._search.count_left()
        for backend_run in backend_runs:
            if not backend_run.queue and backend_run.state.state not in RESTING and not self._run.stopping:
                # In a search a backend may wait until the others have ended their probes.
                self._run.set_state(backend_run, state="waiting" if self._search.wants(backend_run) else "done")
            if self._run.config.order == "sequential" and not backend_run.queue:
                await backend_run.target.close()
        self._load_notes.step(self._run.emit_run().eta_s)

    async def _handle_crash(self, backend_run: BackendRun) -> None:
        """Let a backend fail whose step raised: that is an error in llmtui."""
        task = backend_run.task
        if task is not None and not task.cancelled() and (error := task.exception()) is not None:
            message = f"llmtui failed here: {error!r}"
            fail(self._run, backend_run, Failure(kind="server", message=message, hint="please report this"))
            await backend_run.target.close()

    async def _wait(self) -> None:
        """Nothing to do, or paused: wait for a command."""
        self._mark.set(False)
        if not self._run.paused:
            self._run.finish()
        self._run.emit_run()
        if self._control.unwatched and not self._run.paused:
            self._run.stopping = True
        else:
            await self._control.wait()

    async def _iterate(self, backend_run: BackendRun) -> None:
        run = self._run
        agree_on_role(run, backend_run)
        if not await calibrate(run, backend_run, backend_run.queue[0]):
            return
        self._mark.set(not run.plan.workers.scheduler)
        job = backend_run.begin_iteration(time.monotonic(), run.next_seq())
        run.set_state(backend_run, state="warmup" if job.phase == "warmup" else "running")
        run.emit_run()
        try:
            if job.level:
                workers = await self._workers.at(run.plan.levels[job.level - 1])
                turn = await take_turn(run, backend_run, job, self._workers.crew, self._own_pids, workers)
            else:
                asked = await prompt_of(run, job)
                iteration = await measure(backend_run, job, run.plan, self._own_pids, self._emit, asked)
            backend_run.end_iteration(job, time.monotonic())
        finally:
            backend_run.asked_at = None
        if not job.level:
            run.add_iteration(iteration)
            record_role(run, backend_run, iteration)
        if not backend_run.state.device:
            # Not earlier: some servers load the model at the first request.
            run.set_state(backend_run, device=backend_run.target.device())
        run.set_state(backend_run, note=remarks(backend_run))
        separate_shared_engine(run, backend_run)
        if job.level:
            await check_turn(run, backend_run, job, turn)
        else:
            await check_iteration(run, backend_run, iteration)
        if run.config.cooldown_s and backend_run.queue:
            await self._cool_down(backend_run)

    async def _cool_down(self, backend_run: BackendRun) -> None:
        cooldown_s = self._run.config.cooldown_s
        backend_run.resting_until = time.monotonic() + cooldown_s
        self._run.emit_run()
        try:
            await asyncio.sleep(cooldown_s)
        finally:
            backend_run.resting_until = None

    def _emit(self, event: AnyEvent) -> None:
        """Emit an event of an iteration; a note also to clients that connect later."""
        if isinstance(event, Note):
            self._run.add_note(event)
        else:
            self._run.emit(event)
