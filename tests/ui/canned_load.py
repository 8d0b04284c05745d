"""The canned run as a closed loop at 1, 4 and 8 streams, in canned events."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from llmtui.model import (
    AnyCommand,
    AnyEvent,
    BackendChanged,
    Cells,
    Failure,
    Hello,
    Iteration,
    Level,
    Load,
    Plan,
    RequestBatch,
    Requests,
    RunChanged,
    RunState,
    TalkTurn,
    Tick,
    Turn,
    TurnDone,
)
from llmtui.runview.run import RunView
from llmtui.stats.buckets import Buckets
from tests import build, loads
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink

LOAD = Load(concurrency=[1, 4, 8], requests=40)
#: The same servers in a grid of lengths.
GRID = Load(concurrency=[1, 8], requests=40, cells=Cells(max_tokens=[64, 256], prompt_tokens=[128, 1024]))
NAMES = ("llama.cpp", "mistral.rs", "HuggingFace")
#: Output tokens/s at one stream, how far it grows with the streams, and the TTFT at one stream in s.
_SERVERS = {"llama.cpp": (82.0, 6.0, 0.145), "mistral.rs": (63.0, 3.0, 0.384), "HuggingFace": (19.0, 1.2, 0.107)}
_ROUNDS = 10


def plan(load: Load = LOAD) -> Plan:
    """The plan of the canned run under a load."""
    the_plan = canned.plan(iterations=_ROUNDS, warmup=1)
    metric: Any = "latency" if load.levels[0].open else "output_tokens_per_s"
    config = msgspec.structs.replace(the_plan.config, metric=metric)
    return msgspec.structs.replace(the_plan, config=config, load=load)


def turn(name: str, number: int, level: Level, phase: str = "measured", **changes: Any) -> Turn:
    """A realistic turn; the same arguments give the same numbers."""
    rng = random.Random(f"{name}/{number}/{level.number}/{phase}")
    alone, most, ttft = _SERVERS[name]
    streams = level.streams or max(1.0, level.rate)
    rate = alone * streams / (1 + (streams - 1) / most) * (1 + rng.gauss(0, 0.02))
    ttft_s = ttft * (1 + (streams - 1) / 3) * (1 + rng.gauss(0, 0.03)) * (1 + level.prompt_tokens / 512)
    length = level.max_tokens or 64
    latency_s = length * streams / rate + ttft_s * (level.prompt_tokens > 0)
    firsts, whole, tokens = Buckets(), Buckets(), Buckets()
    firsts.add(ttft_s * (1 + abs(rng.gauss(0, 0.2))) for _ in range(40))
    tokens.add((latency_s - ttft_s) / (length - 1) * (1 + abs(rng.gauss(0, 0.02))) for _ in range(40))
    whole.add(latency_s * (1 + abs(rng.gauss(0, 0.05))) for _ in range(40))
    usual: dict[str, Any] = {
        "run": "r1",
        "phase": phase,
        "seq": number * 100 + level.number,
        "latency_s": latency_s,
        "ttft_s": ttft_s,
        "tpot_s": (latency_s - ttft_s) / (length - 1),
        "itl_s": (latency_s - ttft_s) / (length - 1),
        "tokens_per_s": (length - 1) / (latency_s - ttft_s),
        "output_tokens_per_s": rate,
        "requests_per_s": rate / length,
        "delivered_rate": rate / length,
        "window_s": 40 * length / rate,
        "elapsed_s": 50 * length / rate,
        "in_flight": float(streams) * 0.99,
        "in_flight_most": round(streams),
        "foreign_cpu": 0.21 if number == 4 else 0.03,
        "percentiles": {"ttft": firsts.percentiles()},
        "buckets": {"ttft": firsts.encoded(), "tpot": tokens.encoded(), "latency": whole.encoded()},
        "text": "A human cannot eat a helicopter.\nIt is made of metal.",
    }
    return loads.turn(name, number, level.number, **(usual | changes))


def hello(done: int = 6, load: Load = LOAD, running: bool = True) -> Hello:
    """The first message, with `done` rounds of every live backend after their warm-up turns."""
    the_plan = plan(load)
    base = canned.hello(the_plan, done=0, running=running)
    turns = []
    if done:
        turns += [turn(name, 1, level, "warmup") for level in the_plan.levels for name in NAMES]
    turns += [turn(name, n + 1, level) for n in range(done) for level in the_plan.levels for name in NAMES]
    singles = [canned.iteration(name, 1, "warmup") for name in NAMES]
    word = "running" if running else "done"
    states = [
        msgspec.structs.replace(state, state=word if done else "warmup", slots=8) if state.name in NAMES else state
        for state in base.backends
    ]
    total = len(NAMES) * (len(the_plan.levels) * (_ROUNDS + 1) + 1)
    run = RunState(
        phase="running" if running else "done",
        finished=len(turns) + len(singles),
        total=total,
        elapsed_s=372.0,
        eta_s=580.0 if running else None,
    )
    return msgspec.structs.replace(base, run=run, backends=states, iterations=singles, turns=turns)


def requests(of: Turn, count: int = 56) -> list[Iteration]:
    """The requests of a turn, in the order in which they ended: the first 16 before the window, one timed out."""
    rng = random.Random(f"{of.backend}/{of.seq}")
    made = []
    for number in range(1, count + 1):
        ttft_s = (of.ttft_s or 0.5) * (1 + rng.gauss(0, 0.2))
        itl_s = (of.itl_s or 0.02) * (1 + rng.gauss(0, 0.02))
        arrived: dict[str, Any] = canned.arrivals(64, ttft_s, itl_s, gaps={20: 0.3} if number == 20 else None)
        usual: dict[str, Any] = {
            **arrived,
            "tpot_s": itl_s,
            "tokens_per_s": 1 / itl_s,
            "prompt_tokens": 31,
            "token_source": "usage",
            "finish_reason": "length",
            "stamp": "kernel",
            "text": f"Answer {number}: a human cannot eat a helicopter.\nIt is made of metal.",
        }
        if number == 30:
            usual = {"error": Failure(kind="timeout", message="no answer within 10 s"), "latency_s": 10.0}
        place = {
            "attempt": of.attempt,
            "phase": of.phase,
            "level": of.level,
            "turn": of.seq,
            "request": number,
            "share": "settling" if number <= 16 else "window",
            "written_s": 0.21 * number,
            "in_flight": 8,
            "started_utc": of.started_utc,
        }
        made.append(build.iteration(of.backend, of.round, **(usual | place | {"run": of.run})))
    return made


class LoadLink(FakeLink):
    """A scripted engine that answers commands for the requests of its turns, unless `silent`."""

    def __init__(self, *events: AnyEvent, silent: bool = False, count: int = 56) -> None:
        super().__init__(*events)
        self.silent = silent
        self._count = count
        turns = [turn for event in events if isinstance(event, Hello) for turn in event.turns]
        self._turns = {(turn.backend, turn.seq): turn for turn in turns}

    async def send(self, command: AnyCommand) -> None:
        await super().send(command)
        if isinstance(command, Requests) and not self.silent:
            self.put(*self.answer(command))

    def answer(self, command: Requests) -> list[RequestBatch]:
        """The events that answer a command."""
        of = self._turns.get((command.backend, command.turn))
        samples = requests(of, self._count) if of is not None else []
        total = len(samples)
        if command.place is not None:
            samples = samples[command.place : command.place + 1]
        if command.figures:
            samples = [msgspec.structs.replace(s, text="", arrivals_ns=[], arrival_tokens=[]) for s in samples]
        common: dict[str, Any] = {
            "backend": command.backend,
            "turn": command.turn,
            "total": total,
            "figures": command.figures,
            "place": command.place,
        }
        return [RequestBatch(samples=samples, **common), RequestBatch(last=True, **common)]


def tick(name: str = "llama.cpp", number: int = 7, level: int = 3, **changes: Any) -> Tick:
    """How far a turn is."""
    usual: dict[str, Any] = {
        "share": "window",
        "elapsed_s": 4.2,
        "sent": 38,
        "in_flight": 8,
        "finished": 30,
        "counted": 14,
        "requests": 40,
        "tokens": 1904,
    }
    return Tick(backend=name, round=number, level=level, **({"phase": "measured"} | usual | changes))


def done_events() -> list[AnyEvent]:
    """The events that end the run."""
    states = [BackendChanged(backend=canned.state(name, state="done", slots=8)) for name in NAMES]
    return [*states, RunChanged(run=RunState(phase="done", finished=102, total=102, elapsed_s=900.0))]


def turn_done(name: str, number: int, level: int, **changes: Any) -> TurnDone:
    """The event of a turn that ended."""
    return TurnDone(turn=turn(name, number, LOAD.levels[level - 1], **changes))


def beside(level: int) -> dict[str, Any]:
    """The fields of a turn of conversations of four questions with a probe beside them."""
    firsts, probe = Buckets(), Buckets()
    firsts.add(0.1 * level * (1 + n / 80) for n in range(40))
    probe.add(0.04 * level * (1 + n / 60) for n in range(60))
    talks = [
        TalkTurn(turn=n, n=10, ttft_s=0.1 * level + 0.02 * n, prompt_tokens=40.0 * n, cached_share=1 - 1 / n)
        for n in range(1, 5)
    ]
    return {
        "percentiles": {"ttft": firsts.percentiles(), "probe": probe.percentiles()},
        "buckets": {"ttft": firsts.encoded(), "probe": probe.encoded()},
        "probes": 61,
        "probes_failed": 1,
        "talk_turns": talks,
    }


def run_view(done: int = 6) -> RunView:
    """The canned load after `done` rounds."""
    return build.run_view(plan(), hello(done=done), *canned.samples())
