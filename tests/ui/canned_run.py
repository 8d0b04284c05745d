"""A run in canned events: five backends like the default config, one unreachable and one not installed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

from llmtui.model import (
    AnyCommand,
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Detach,
    Failure,
    Hello,
    Iteration,
    IterationDone,
    Phase,
    Plan,
    Progress,
    RunChanged,
    RunState,
    Sampled,
    Shutdown,
)
from llmtui.runview.run import RunView
from tests import build

MODEL = "SmolLM2-135M-Instruct"
#: Name, language, weights, latency, TTFT, tokens/s, load.
_LIVE = (
    ("llama.cpp", "C++", "Q8_0", 0.921, 0.145, 82.0, 0.9),
    ("mistral.rs", "Rust", "Q8_0", 1.366, 0.384, 63.3, 1.1),
    ("HuggingFace", "Python", "bf16", 3.431, 0.107, 19.0, 9.4),
)


def plan(iterations: int = 10, warmup: int = 3, extra: int = 0) -> Plan:
    """Return the plan of the canned run, with `extra` more backends."""
    backends = [
        Backend(name="llama.cpp", framework="llama.cpp", language="C++", embedded="llama.cpp", weights="Q8_0"),
        Backend(name="mistral.rs", framework="mistral.rs", language="Rust", embedded="mistral.rs", weights="Q8_0"),
        Backend(name="HuggingFace", framework="transformers", language="Python", embedded="transformers"),
        Backend(name="Llamafile", framework="llamafile", language="C++", url="http://127.0.0.1:8080", model=MODEL),
        Backend(name="Ollama", framework="ollama", language="Go", protocol="ollama", url="http://127.0.0.1:11434"),
    ]
    backends += [Backend(name=f"vLLM-{i + 1}", framework="vllm", language="Python") for i in range(extra)]
    return build.plan(*backends, run="r1", created_utc="2026-11-22T12:00:00Z", iterations=iterations, warmup=warmup)


def state(name: str, **changes: object) -> BackendState:
    """Return the state of a live backend, with changes."""
    row = next(r for r in _LIVE if r[0] == name)
    usual = {
        "state": "running",
        "planned": 10,
        "weights": row[2],
        "model": MODEL,
        "load_s": row[6],
        "version": "b9001",
        "threads": 1,
        "url": "http://127.0.0.1:40001",
        "note": "via a Python bridge" if name == "mistral.rs" else "",
    }
    return build.state(name, **(usual | changes))


UNREACHABLE = build.state(
    "Ollama",
    state="unreachable",
    planned=10,
    failure=Failure(
        kind="connect",
        message="nothing answers at 127.0.0.1:11434",
        hint='start it with "ollama serve", then press r',
    ),
)
MISSING = build.state(
    "Llamafile",
    state="missing",
    planned=10,
    failure=Failure(
        kind="missing",
        message="no llamafile on this machine",
        hint="get one from github.com/Mozilla-Ocho/llamafile, start it on port 8080, then press r",
    ),
)


def iteration(
    name: str, number: int, phase: Phase = "measured", attempt: int = 1, speed: float = 1.0, **changes: object
) -> Iteration:
    """Return a realistic iteration; the same arguments give the same numbers."""
    row = next((r for r in _LIVE if r[0] == name), (name, "C++", "Q8_0", 2.0, 0.3, 40.0, 1.0))
    rng = random.Random(f"{name}/{number}/{phase}/{attempt}")
    factor = (1 + rng.gauss(0, 0.03)) * (1.3 if phase == "warmup" else 1.0) / speed
    usual: dict[str, Any] = {
        "run": "r1",
        "attempt": attempt,
        "phase": phase,
        "started_utc": "2026-11-22T12:00:00Z",
        "latency_s": row[3] * factor,
        "ttft_s": row[4] * factor,
        "itl_s": (row[3] - row[4]) * factor / 63,
        "tokens_per_s": row[5] / factor,
        "output_tokens": 64,
        "prompt_tokens": 31,
        "server_prefill_s": row[4] * 0.9,
        "server_decode_s": (row[3] - row[4]) * 0.98,
        "foreign_cpu": 0.21 if number == 4 else 0.03,
        "text": "A human cannot eat a helicopter.\nIt is made of metal.",
    }
    return build.iteration(name, number, **(usual | changes))


def arrivals(
    count: int = 64, ttft_s: float = 0.145, itl_s: float = 0.012, gaps: Mapping[int, float] | None = None, each: int = 1
) -> dict[str, Any]:
    """Changes of an iteration: `count` arrivals of `each` tokens; `gaps` are the waits, in s, before those named."""
    waits = [ttft_s, *((gaps or {}).get(n, itl_s) for n in range(1, count))]
    times = [round(t * 1e9) for t in itertools.accumulate(waits)]
    return {
        "arrivals_ns": times,
        "arrival_tokens": [each] * count,
        "output_tokens": count * each,
        "ttft_s": ttft_s,
        "itl_s": itl_s,
        "latency_s": times[-1] / 1e9,
    }


def hello(the_plan: Plan | None = None, done: int = 0, running: bool = True) -> Hello:
    """Return the first message, with `done` measured iterations (after the warm-ups) of every live backend."""
    the_plan = the_plan or plan()
    warmups = the_plan.config.warmup if done else 0
    iterations = [iteration(r[0], n + 1, "warmup") for n in range(warmups) for r in _LIVE]
    iterations += [iteration(r[0], n + 1) for n in range(done) for r in _LIVE]
    word = "running" if running else "done"
    states = [state(r[0], state=word if done else "loading", load_s=r[6] if done else None) for r in _LIVE]
    states += [MISSING, UNREACHABLE]
    listed = {s.name for s in states}
    states += [
        build.state(b.name, state="waiting", planned=the_plan.config.iterations)
        for b in the_plan.backends
        if b.name not in listed
    ]
    return Hello(
        plan=the_plan,
        machine=build.machine(),
        run=RunState(
            phase="running" if running else "done",
            finished=len(iterations),
            total=39,
            elapsed_s=42.0,
            eta_s=31.0 if running else None,
        ),
        backends=states,
        iterations=iterations,
    )


def samples() -> list[AnyEvent]:
    """Return events with memory and CPU of the live servers."""
    sizes = {"llama.cpp": 241, "mistral.rs": 525, "HuggingFace": 710}
    return [Sampled(backend=n, rss_bytes=mb * 1_000_000, cpu_cores=0.97) for n, mb in sizes.items()]


def progress(name: str, tokens: int, elapsed_s: float, number: int = 7) -> Progress:
    """Return the progress of an answer."""
    return Progress(backend=name, phase="measured", iteration=number, tokens=tokens, elapsed_s=elapsed_s)


def run_view(done: int = 6, running: bool = True) -> RunView:
    """Return the canned run after `done` measured iterations of every live backend, with memory and CPU."""
    return build.run_view(plan(), hello(done=done, running=running), *samples())


def rerun_events(name: str, count: int = 5, speed: float = 1.05) -> list[AnyEvent]:
    """Return the events of a second attempt of `name`, faster by `speed`."""
    events: list[AnyEvent] = [BackendChanged(backend=state(name, attempt=2, state="running"))]
    events += [IterationDone(iteration=iteration(name, n + 1, attempt=2, speed=speed)) for n in range(count)]
    events.append(BackendChanged(backend=state(name, attempt=2, state="done")))
    return events


def run_done(finished: int = 39) -> RunChanged:
    """Return the event that ends the run."""
    return RunChanged(run=RunState(phase="done", finished=finished, total=39, elapsed_s=80.0))


class FakeLink:
    """A scripted engine: tests put events in and read the sent commands."""

    def __init__(self, *events: AnyEvent) -> None:
        self.queue: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self.sent: list[AnyCommand] = []
        self.closed = False
        for event in events:
            self.queue.put_nowait(event)

    def put(self, *events: AnyEvent) -> None:
        """Send these events to the monitor."""
        for event in events:
            self.queue.put_nowait(event)

    def vanish(self) -> None:
        """Close the link, as an engine that exits does."""
        self.queue.put_nowait(None)

    async def events(self) -> AsyncIterator[AnyEvent]:
        while (event := await self.queue.get()) is not None:
            yield event

    async def send(self, command: AnyCommand) -> None:
        self.sent.append(command)
        if isinstance(command, Detach | Shutdown):
            self.vanish()

    async def close(self) -> None:
        self.closed = True

    async def __call__(self) -> FakeLink:
        return self
