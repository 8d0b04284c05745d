"""One backend in a run: its server, its state, and the iterations that it still has to do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from llmtui.engine.bringup import Target
from llmtui.engine.schedule import Job, LaunchOf, LevelsOf, jobs, jobs_left, launched_once, one_request
from llmtui.engine.watch.power import PowerWatch
from llmtui.model import RESTING, Backend, BackendState, Iteration, RunConfig, Turn

#: The fields of a state that describe a wait, as they are when there is none.
NOT_WAITING: dict[str, Any] = {"doing": "", "progress": None, "usual_load_s": None}

#: From how many of a backend's newest iterations the time left is estimated.
RECENT_DURATIONS = 10


@dataclasses.dataclass(eq=False)
class BackendRun:
    """One backend in this run. `state` is set by `Run.set_state` only.

    `salt` distinguishes the times that a run was resumed: a prompt
    whose answer was lost is sent again with another fresh line. `usual_load_s` is how long the server took to load in
    earlier runs, `dropped` the number of jobs that a stop removed from the queue, `task` what is under way. `repeats`
    counts the requests of this attempt that llmtui itself spoiled, and measured again.
    """

    backend: Backend
    target: Target
    state: BackendState
    salt: str = ""
    queue: deque[Job] = dataclasses.field(default_factory=deque)
    failures_in_a_row: int = 0
    restarts: int = 0
    dropped: int = 0
    usual_load_s: float | None = None
    launch_of: LaunchOf = launched_once
    levels_of: LevelsOf = one_request
    #: The planned launch of the newest server, counted within the attempt; 0 if the first of several is still to come.
    launch: int = 1
    #: How long the newest iterations, and the turns of each level, took (s), failures and retries included. Level 0 is
    #: an iteration; measured ones replace the warm-ups.
    durations_s: dict[int, deque[float]] = dataclasses.field(default_factory=dict)
    #: The levels of which a measured one is among them.
    timed: set[int] = dataclasses.field(default_factory=set)
    #: When the iteration under way began (time.monotonic()), None between iterations.
    asked_at: float | None = None
    #: The level of the turn under way, or of the newest one; 0 for an iteration.
    level: int = 0
    #: The place of the newest iteration in the order in which those of the run were started, from 1 on.
    seq: int = 0
    #: When the bring-up under way began (time.monotonic()), None without one.
    launching_at: float | None = None
    #: Until when the pause after an iteration lasts (time.monotonic()), None without one.
    resting_until: float | None = None
    #: The iterations of this attempt that are over, failures included.
    finished: int = 0
    refusal_reported: bool = False
    repeats: int = 0
    repeat_reported: bool = False
    count_reported: bool = False
    #: Answers in a row that came in one piece; it stays once the user is informed.
    whole_in_a_row: int = 0
    #: The levels whose turns are left out in this attempt, with their titles: the server failed there.
    left_out: dict[int, str] = dataclasses.field(default_factory=dict)
    #: The levels of a search that had turns, or have some in the queue, in order; [] without a search. Besides them
    #: there are at most `probes_left` more.
    probed: list[int] = dataclasses.field(default_factory=list)
    probes_left: int = 0
    #: Failed turns in a row, by level.
    failed_turns: dict[int, int] = dataclasses.field(default_factory=dict)
    #: The turn that is taken again, because llmtui spoiled it.
    retaken: Job | None = None
    #: How much work a turn of each level is, in any unit.
    work: dict[int, float] = dataclasses.field(default_factory=dict)
    cpu: tuple[float, float] | None = None
    task: asyncio.Task[None] | None = None
    #: The meters of power of this machine, None without any.
    power: PowerWatch | None = None

    @property
    def first_processes(self) -> frozenset[int]:
        """The first processes of its server on this machine; empty if they are not seen."""
        return self.target.processes.first if self.target.processes is not None else frozenset()

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend.name

    @property
    def busy(self) -> bool:
        """Whether an iteration or a bring-up is under way."""
        return self.task is not None and not self.task.done()

    @property
    def under_load(self) -> bool:
        """Whether its measured jobs are turns of a load."""
        return self.levels_of(1) != one_request(1)

    @property
    def asking(self) -> bool:
        """Whether an iteration is under way."""
        return self.asked_at is not None

    def expected_s(self, level: int = 0) -> float | None:
        """How long an iteration, or a turn of a level, takes: from the newest measured ones, or else warm-ups.

        None without any. A level that had no turn yet is expected to be as fast as the nearest one that had.
        """
        if recent := self.durations_s.get(level):
            return sum(recent) / len(recent)
        known = [each for each, durations in self.durations_s.items() if each and durations]
        if not level or not known:
            return None
        work = self.work.get(level, 1.0)
        nearest = min(known, key=lambda each: abs(self.work.get(each, 1.0) - work))
        return (self.expected_s(nearest) or 0.0) * work / self.work.get(nearest, 1.0)

    def begin_iteration(self, now: float, seq: int = 0) -> Job:
        """Take the next job from the queue, the `seq`-th iteration of the run. `now` is time.monotonic()."""
        self.asked_at = now
        self.seq = seq
        job = self.queue.popleft()
        self.level = job.level
        return job

    def end_iteration(self, job: Job, now: float) -> None:
        """Count a job that is over."""
        if self.asked_at is None:
            return  # a rerun or a stop has dropped it
        if job.phase == "measured" and job.level not in self.timed:
            self.timed.add(job.level)
            self.durations_s.pop(job.level, None)
        durations = self.durations_s.setdefault(job.level, deque(maxlen=RECENT_DURATIONS))
        durations.append(now - self.asked_at)
        self.asked_at = None
        self.finished += 1

    @property
    def next_launch(self) -> int:
        """The launch of the server to which the next round belongs."""
        number = next((job.number for job in self.queue if job.phase == "measured"), None)
        return self.launch_of(number) if number is not None else self.launch

    @property
    def relaunch_due(self) -> bool:
        """Whether the server that is up has to make room for the next planned launch."""
        return self.target.up and bool(self.queue) and self.next_launch > self.launch

    @property
    def launches_left(self) -> int:
        """How many planned launches are still to come, after the one of the server that is up."""
        return max(0, self.launch_of(self.queue[-1].number) - max(1, self.launch)) if self.queue else 0

    @property
    def part(self) -> int:
        """Which part of the attempt this is: a restart of the server or a resumed run starts the next one."""
        return 1 + bool(self.salt) + self.restarts

    @property
    def listener_uids(self) -> list[int] | None:
        """Users that listen on the port of a server that llmtui did not launch; None if launched or unknown."""
        uids = self.target.running_uids
        return None if uids is None or self.backend.launched else sorted(uids)

    def cancel(self) -> None:
        """Cancel what is under way, if anything is."""
        if self.task is not None:
            self.task.cancel()

    def plan_attempt(self, config: RunConfig) -> None:
        """Queue all iterations of a new attempt; of a search the first probe."""
        del self.probed[1:]
        self.queue = deque(jobs(config.warmup, config.iterations, self.launch_of, self.levels_of))
        self.launch = int(self.launch_of(config.iterations) == 1)
        self.failures_in_a_row = 0
        self.restarts = self.dropped = self.repeats = self.finished = 0
        self.left_out, self.failed_turns, self.retaken = {}, {}, None
        self.asked_at = None


def jobs_done(state: BackendState, iterations: Iterable[Iteration], turns: Iterable[Turn] = ()) -> set[Job]:
    """Return the jobs of the attempt in `state` that `iterations` and `turns` contain; a partial turn is not one."""
    key = (state.name, state.attempt)
    whole = {Job(t.phase, t.round, t.level) for t in turns if (t.backend, t.attempt) == key and t.state == "whole"}
    return whole | {Job(i.phase, i.iteration) for i in iterations if (i.backend, i.attempt) == key}


def missing_jobs(
    config: RunConfig,
    state: BackendState,
    done: Collection[Job],
    launch_of: LaunchOf = launched_once,
    levels_of: LevelsOf = one_request,
) -> list[Job]:
    """Return the jobs of the attempt in `state` that are not in `done` (see `jobs_done`)."""
    return jobs_left(config.warmup, max(config.iterations, state.planned), done, launch_of, levels_of)


def resumed_state(state: BackendState, missing: list[Job]) -> BackendState:
    """Return the state with which a resumed run starts; an attempt without `missing` jobs keeps the one it ended with.

    A backend that was interrupted after its last iteration is done.
    """
    if missing:
        planned = max(state.planned, *(job.number for job in missing if job.phase == "measured"))
        return BackendState(
            name=state.name,
            attempt=state.attempt,
            planned=planned,
            listener_uids=state.listener_uids,
            fresh_role=state.fresh_role,
            fresh_set=state.fresh_set,
            launch=state.launch,
            loads_s=state.loads_s,
        )
    if state.state not in RESTING:
        return msgspec.structs.replace(state, state="done", doing="", progress=None)
    return state
