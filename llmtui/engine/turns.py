"""One turn of a backend at a level: its slice for the worker, its requests on disk, its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.power import start_power, with_turn_power
from llmtui.engine.prompting import prompt_seed, turn_start
from llmtui.engine.run import Run
from llmtui.engine.schedule import Job, fresh_lines
from llmtui.engine.watch import conditions
from llmtui.engine.watch.other_cpu import OtherCpuMeter
from llmtui.load.dealing import most_workers
from llmtui.load.load_worker import LoadWorker
from llmtui.load.messages import Pulse, Slice, SliceDone
from llmtui.load.prompt_files.source import index_for
from llmtui.load.prompts import LIMIT, PLACEHOLDER, TEXT, Template
from llmtui.model import Calibration, Iteration, Level, Load, Tick, Turn, disturbed_from
from llmtui.stats.settling import least_settle, settle_of
from llmtui.stats.turn_figures import TurnFigures
from llmtui.text.times import now_text

#: What a tick has of a pulse.
_OF_TICK = tuple(name for name in Pulse.__struct_fields__ if name in Tick.__struct_fields__)
#: What a probe asks, after its fresh line. Its answer has one token.
PROBE_PROMPT = "Say yes or no."


async def take_turn(
    run: Run, backend_run: BackendRun, job: Job, worker: LoadWorker, own_pids: Callable[[], list[int]], workers: int = 1
) -> Turn:
    """Carry out one turn with this many `workers`, and return its record, which is on disk with all its requests.

    A turn that is cancelled is stored as partial before CancelledError is raised.
    """
    level = run.plan.levels[job.level - 1]
    turn = Turn(
        run=run.plan.run,
        backend=backend_run.name,
        attempt=backend_run.state.attempt,
        phase=job.phase,
        round=job.number,
        level=level.number,
        seq=backend_run.seq,
        started_utc=now_text(),
        launch=backend_run.launch,
        part=backend_run.part,
    )
    run.recorder.save_turn(turn)
    of = slice_of(run, backend_run, job, level, turn, workers)
    figures = TurnFigures(level, run.plan.slo, of.workers)

    def receive(samples: list[Iteration]) -> None:
        run.recorder.save_requests(samples)
        figures.add(samples)

    def pulse(now: Pulse) -> None:
        one = now.newest or now
        figures.pulse(one.elapsed_s, one.in_flight, one.worker)
        if one.worker <= 1:  # the others report as often
            run.emit(_tick(turn, now, run.plan.load.requests_of(level)))

    meter = OtherCpuMeter(backend_run.target.processes, own_pids)
    recording = start_power(backend_run)
    server = backend_run.first_processes
    before = conditions.sample(server=server)
    meter.start()
    done: SliceDone | None = None
    try:
        done = await worker.run(of, receive, pulse)
    finally:
        done = done or worker.halted
        if recording is not None:
            recording.stop()
        meter.stop()
        changed = conditions.since(before, conditions.sample(server=server))
        foreign, server_cpu = meter.result()
        turn = msgspec.structs.replace(
            turn,
            state="partial" if done.halted or done.error else "whole",
            elapsed_s=done.elapsed_s or None,
            late_from_s=done.late_from_s,
            talks_full=done.talks_full,
            worker_cpu=round((done.busiest_cpu_s or done.cpu_s) / done.elapsed_s, 2) if done.elapsed_s else None,
            workers=of.workers,
            by_worker=done.by_worker,
            foreign_cpu=foreign,
            server_cpu=server_cpu,
            steal=changed.steal,
            swapped=changed.swapped,
            throttled=changed.throttled,
            cpu_limited=changed.cpu_limited,
            disturbed_from=disturbed_from(os.cpu_count() or 1, (foreign or 0.0) + (server_cpu or 0.0)),
            **figures.figures(done.window_from_s, done.window_to_s, done.windows),
        )
        if recording is not None:
            hidden = figures.hidden_share
            turn = with_turn_power(backend_run, turn, recording, run.add_note, began_s=done.began_s, hidden=hidden)
        if done.error:
            turn = msgspec.structs.replace(turn, error=done.error)
        await run.add_turn(turn)
    return turn


def slice_of(run: Run, backend_run: BackendRun, job: Job, level: Level, turn: Turn, workers: int = 1) -> Slice:
    """Return what the workers are to send in this turn."""
    config, load = run.plan.config_at(level), run.plan.load
    fresh = config.fresh_prompt
    prompts = run.plan.prompts_at(level)
    turns = max(1, prompts.turns) if level.users or prompts.turns > 1 else 0
    given = prompts.given or turns > 0
    limit = LIMIT if given else level.max_tokens or None
    request = backend_run.target.request(
        TEXT if given else config.prompt, PLACEHOLDER if fresh else "", limit, history=turns > 1
    )
    # A turn that is taken again gets other prompts: the server has computed the first ones.
    again = f"~{backend_run.repeats}" if backend_run.retaken == job else ""
    salt = f"{run.plan.run}{backend_run.salt}{again}"
    key = fresh_lines(salt, turn.attempt, job, backend_run.state.fresh_set) if fresh else ""
    uids = backend_run.target.listeners
    return Slice(
        backend=backend_run.backend,
        config=config,
        level=level,
        base=turn.request(),
        method=request.method,
        url=request.url,
        headers=request.headers,
        template=Template(body=request.body, key=key),
        max_tokens=config.max_tokens if request.max_tokens == LIMIT else request.max_tokens,
        requests=load.requests_of(level),
        duration_s=load.trace_turn.window_s if load.trace_turn is not None else load.duration_s,
        settle=settle_for(run.turns, load, level, job, turn.attempt),
        stagger_s=backend_run.durations_s[0][-1] if backend_run.durations_s.get(0) else 0.0,
        seed=f"{config.seed}/{run.plan.run}/{job.phase}/{job.number}/{job.level}",
        uids=sorted(uids) if uids is not None else None,
        prompts=prompts,
        turns=turns,
        context=backend_run.state.context_tokens or 0,
        trace=load.trace_turn,
        calibration=run.calibration or Calibration(),
        **probe_of(run, backend_run, fresh_lines(salt, turn.attempt, job, backend_run.state.fresh_set)),
        prompt_seed=prompt_seed(run.plan),
        prompts_from=turn_start(run.plan, job),
        limited=request.max_tokens == LIMIT,
        prompt_index=index_for(prompts),
        workers=min(workers, most_workers(level)),
    )


def probe_of(run: Run, backend_run: BackendRun, key: str) -> dict[str, Any]:
    """Return the fields of a slice that probe the server beside the load: none without a rate."""
    rate = run.plan.load.probe_rate
    if not rate:
        return {}
    request = backend_run.target.request(PROBE_PROMPT, PLACEHOLDER, 1)
    return {"probe_rate": rate, "probe": Template(body=request.body, key=f"{key}/probe")}


def settle_for(turns: Sequence[Turn], load: Load, level: Level, job: Job, attempt: int) -> int:
    """Return how many requests settle the server in a turn, after `turns`: the same in all turns of a round."""
    if load.trace_turn is not None:
        return load.trace_turn.settle
    if load.settle != "auto":
        return load.settle
    requests = load.requests_of(level) or round(level.rate * load.duration_s)
    if job.phase == "warmup":
        return least_settle(level, requests)
    at_level = [turn for turn in turns if turn.level == job.level and turn.state == "whole"]
    for turn in at_level:
        if (turn.phase, turn.round, turn.attempt) == ("measured", job.number, attempt):
            return turn.settled
    return settle_of(level, [turn for turn in at_level if turn.phase == "warmup"], requests)


def _tick(turn: Turn, now: Pulse, requests: int) -> Tick:
    return Tick(
        backend=turn.backend,
        phase=turn.phase,
        round=turn.round,
        level=turn.level,
        requests=requests,
        **{name: getattr(now, name) for name in _OF_TICK},
    )
