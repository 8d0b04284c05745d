"""The state of one run in the engine, and its only writer: a change is stored in the history, then sent to clients."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmtui.engine.backend_run import BackendRun, jobs_done, missing_jobs, resumed_state
from llmtui.engine.bringup import Target
from llmtui.engine.progress import run_progress
from llmtui.engine.recorder import Recorder
from llmtui.engine.schedule import fresh_sets, launched_once, one_request, shuffled_levels
from llmtui.engine.slots import launch_config, slots_of
from llmtui.model import (
    AnyEvent,
    BackendChanged,
    BackendState,
    Calibration,
    Hello,
    Iteration,
    IterationDone,
    Level,
    Load,
    Machine,
    Note,
    Plan,
    Requests,
    RunChanged,
    RunState,
    Turn,
    TurnDone,
    redacted,
    redactor,
)
from llmtui.servers.environment import withheld_variables
from llmtui.stats.settling import PER_STREAM
from llmtui.store.requests import Answer
from llmtui.store.rows import StoredRun

#: The newest iterations of a run that are in memory with text and arrivals, for clients that connect later.
MAX_WHOLE_ITERATIONS = 2000
#: The memory that they may take, besides the newest one: an arrival is a number in each of two lists.
MAX_WHOLE_BYTES = 32 * 1024 * 1024
ARRIVAL_BYTES = 48


class Run:
    """All backends of a run with their states, and the iterations so far.

    What enters a run is redacted: its states, iterations, notes, and each event that `emit` sends to every client.
    """

    def __init__(
        self,
        plan: Plan,
        machine: Machine,
        recorder: Recorder,
        emit: Callable[[AnyEvent], None],
        backends: list[BackendRun],
        iterations: list[Iteration],
        turns: list[Turn] | None = None,
    ) -> None:
        self.plan = plan
        self.config = plan.config
        self.recorder = recorder
        self._send = emit
        self._redact = redactor(plan)
        self.by_name = {backend_run.name: backend_run for backend_run in backends}
        self.iterations = iterations
        self.turns = turns or []
        #: How long synthetic prompts are for the servers of this run, None before it is known.
        self.calibration: Calibration | None = None
        #: The backend whose server was asked, "" once its warm-up turns have corrected the calibration.
        self.calibrated_by = ""
        self.paused = False
        self.stopping = False
        self._seq = max(len(iterations), *(i.seq for i in iterations), *(turn.seq for turn in self.turns), 0)
        self.machine = machine
        self._began = time.monotonic()
        self._ended: float | None = None

    @property
    def backends(self) -> list[BackendRun]:
        """Every backend, in the order of the config."""
        return list(self.by_name.values())

    def hello(self) -> Hello:
        """Return the first message to a client: everything that happened so far."""
        return Hello(
            plan=self.plan.public(),
            machine=self.machine,
            run=self._state(),
            backends=[backend_run.state for backend_run in self.backends],
            iterations=list(self.iterations),
            notes=[redacted(note, self._redact) for note in self.recorder.notes],
            turns=list(self.turns),
        )

    def emit(self, event: AnyEvent) -> None:
        """Send an event to every client."""
        self._send(redacted(event, self._redact))

    def set_state(self, backend_run: BackendRun, **changes: Any) -> None:
        """Change a backend's state, store it and emit it; an unchanged one only with `failure` among `changes`."""
        state = redacted(msgspec.structs.replace(backend_run.state, **changes), self._redact)
        if state != backend_run.state or "failure" in changes:
            backend_run.state = state
            self.recorder.save_state(state)
            self._send(BackendChanged(backend=state))

    def next_seq(self) -> int:
        """Return the place of the iteration that starts now in the order of the run."""
        self._seq += 1
        return self._seq

    def add_iteration(self, iteration: Iteration) -> None:
        """Store an iteration and emit it."""
        iteration = redacted(iteration, self._redact)
        self.recorder.save_iteration(iteration)
        self.iterations.append(iteration)
        drop_old_texts(self.iterations)
        self._send(IterationDone(iteration=iteration))

    async def add_turn(self, turn: Turn) -> None:
        """Store a turn that ended with all its requests, then emit it."""
        turn = redacted(turn, self._redact)
        self.recorder.save_turn(turn)
        try:
            await self.recorder.written()
        finally:
            self.turns.append(turn)
            self._send(TurnDone(turn=turn))

    def requests(self, command: Requests) -> Iterator[Answer]:
        """Yield what `command` asks for of a turn that has ended, as llmtui.link.requests needs it.

        May be called from any thread. Raises StoreError.
        """
        turn = next((turn for turn in self.turns if turn.seq == command.turn), None)
        return self.recorder.requests(turn, command) if turn is not None else iter(())

    def add_note(self, note: Note) -> None:
        """Emit a note, also to clients that connect later."""
        self.recorder.notes.append(note)
        self.emit(note)

    def emit_run(self) -> RunState:
        """Emit how far the run is, and return it."""
        state = self._state()
        self.emit(RunChanged(run=state))
        return state

    def finish(self) -> None:
        """Mark the run as done: nothing is left to do. Does nothing if it is already."""
        if self._ended is None:
            self._ended = time.monotonic()
            self.recorder.end(complete=not any(backend_run.dropped for backend_run in self.backends))

    def reopen(self) -> None:
        """Mark a finished run as running again. Call it before the states change, so that no client exits meanwhile."""
        if self._ended is not None:
            # The idle time is not part of the run's.
            self._began += time.monotonic() - self._ended
            self._ended = None
            self.recorder.reopen()
        self.emit_run()

    def close(self) -> None:
        """Mark the run as stopped, unless it is done."""
        if self._ended is None:
            self.recorder.end(complete=False)
        self.emit_run()

    def measured(self, backend_run: BackendRun) -> list[Iteration]:
        """Return the measured iterations of the backend's current attempt, failures included.

        Of a load it has the turns at the level that counts.
        """
        key = (backend_run.name, backend_run.state.attempt, "measured")
        if (head := self.plan.head_level) is not None:
            turns = (turn for turn in self.turns_of(backend_run) if turn.level == head.number)
            return [turn.as_sample for turn in turns if turn.phase == "measured"]
        return [i for i in self.iterations if (i.backend, i.attempt, i.phase) == key]

    def turns_of(self, backend_run: BackendRun) -> list[Turn]:
        """Return all turns of the backend's current attempt, warm-ups and partial ones included."""
        key = (backend_run.name, backend_run.state.attempt)
        return [turn for turn in self.turns if (turn.backend, turn.attempt) == key]

    def _state(self) -> RunState:
        asking = any(backend_run.state.state in ("warmup", "running") for backend_run in self.backends)
        phase: Any = "running" if self.iterations or self.turns or asking else "starting"
        if self._ended is not None:
            phase = "done"  # and stays so while the servers are stopped
        elif self.stopping:
            phase = "stopping"
        elif self.paused:
            phase = "paused"
        now = self._ended if self._ended is not None else time.monotonic()
        progress = run_progress(self.backends, self.config, now)
        return RunState(
            phase=phase,
            finished=progress.finished,
            total=progress.total,
            elapsed_s=round(now - self._began, 3),
            eta_s=progress.eta_s,
            current_s=progress.current_s,
            at_most=any(backend_run.probes_left for backend_run in self.backends),
        )


def start_run(
    plan: Plan,
    folder: Path,
    machine: Machine,
    recorder: Recorder,
    emit: Callable[[AnyEvent], None],
    stored: StoredRun | None = None,
) -> Run:
    """Return a new run of `plan`, or with `stored` one that goes on where the history ends. Servers use `folder`."""
    backends: list[BackendRun] = []
    sets = fresh_sets(plan.backends)
    usual_loads = recorder.usual_loads()
    numbers = [level.number for level in plan.levels]
    of_plan = shuffled_levels(numbers, f"{plan.config.seed}/{plan.run}") if numbers else one_request
    # One for all backends: each must get the same prompt in the same round.
    salt = f"+{time.monotonic()}"
    for number, backend in enumerate(plan.backends):
        earlier = next(s for s in stored.states if s.name == backend.name) if stored is not None else None
        uids = earlier.listener_uids if earlier is not None and not backend.launched else None
        target = Target(
            backend,
            launch_config(plan, backend),
            folder / f"server-{number + 1}",
            withheld_variables(backend, plan.backends, os.environ),
            frozenset(uids) if uids is not None else None,
            resumed=stored is not None,
            fresh_role=plan.fresh_role,
            slots=slots_of(plan),
        )
        launch_of = plan.config.launch_of if backend.launched else launched_once
        probed = probed_levels(stored, earlier) if plan.load.search else []
        levels_of = (lambda _, probed=probed: probed) if probed else of_plan
        if stored is None or earlier is None:
            state = BackendState(name=backend.name, planned=plan.config.iterations, fresh_set=sets[backend.name])
            backend_run = BackendRun(backend, target, state, launch_of=launch_of, levels_of=levels_of, probed=probed)
            backend_run.plan_attempt(plan.config)
        else:
            done = jobs_done(earlier, stored.iterations, stored.turns)
            missing = missing_jobs(plan.config, earlier, done, launch_of, levels_of)
            state = resumed_state(earlier, missing)
            state = msgspec.structs.replace(state, fresh_set=state.fresh_set or sets[backend.name])
            if state.fresh_role == "user":
                target.fresh.refuse()
            backend_run = BackendRun(backend, target, state, salt=salt, launch_of=launch_of, launch=earlier.launch)
            backend_run.levels_of, backend_run.probed = levels_of, probed
            backend_run.queue.extend(missing)
            key = (backend.name, earlier.attempt)
            warmups = plan.config.warmups_of(backend, state.planned)
            backend_run.finished = len(done) if numbers else warmups + state.planned - len(missing)
            backend_run.repeats = sum(i.repeated for i in stored.iterations if (i.backend, i.attempt) == key)
        backend_run.work = {level.number: work_of(plan.load, level) for level in plan.levels}
        backend_run.usual_load_s = usual_loads.get(backend.name)
        backends.append(backend_run)
    iterations = list(stored.iterations) if stored is not None else []
    turns = [_cut_off(turn, recorder) for turn in stored.turns] if stored is not None else []
    return Run(plan, machine, recorder, emit, backends, iterations, turns)


def _cut_off(turn: Turn, recorder: Recorder) -> Turn:
    """Return a turn of before a resume; one that was under way when the engine ended is partial, also on disk."""
    if turn.state != "running":
        return turn
    turn = msgspec.structs.replace(turn, state="partial")
    recorder.save_turn(turn)
    return turn


def probed_levels(stored: StoredRun | None, state: BackendState | None) -> list[int]:
    """Return the levels of a search at which the attempt in `state` had turns, in their order; [1] without any."""
    turns = sorted(stored.turns, key=lambda turn: turn.seq) if stored is not None and state is not None else []
    key = (state.name, state.attempt) if state is not None else ("", 0)
    return list(dict.fromkeys(turn.level for turn in turns if (turn.backend, turn.attempt) == key)) or [1]


def work_of(load: Load, level: Level) -> float:
    """Return how much work a turn of a level is: its length in s where that is known, else its requests."""
    if load.turn_s:
        return load.turn_s
    requests = load.requests_of(level)
    return requests / level.rate if level.open else requests + PER_STREAM * level.streams


def drop_old_texts(iterations: list[Iteration], newest: int = MAX_WHOLE_ITERATIONS) -> None:
    """Remove text and arrivals of all but the `newest` iterations, and of more if they are large.

    The history has them. Called after each iteration, so that those without text are always at the front.
    """
    total = 0
    for place in range(len(iterations) - 1, -1, -1):
        iteration = iterations[place]
        size = len(iteration.text) + ARRIVAL_BYTES * len(iteration.arrivals_ns)
        total += size
        newer = len(iterations) - 1 - place
        if newer and (newer >= newest or total > MAX_WHOLE_BYTES):
            if not size:
                return
            iterations[place] = msgspec.structs.replace(iteration, text="", arrivals_ns=[], arrival_tokens=[])
