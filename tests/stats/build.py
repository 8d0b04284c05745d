"""Builders for tests of statistics: iterations, entries of a race, and whole races."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from llmtui.model import (
    Backend,
    Iteration,
    IterationDone,
    RunConfig,
)
from llmtui.model.accuracy import Record
from llmtui.runview.run import RunView
from llmtui.stats.checks import Check, Entry, Evidence, checks
from tests import build

#: Fields of an iteration, or a function from its number (from 1) to them.
Fields = dict[str, Any] | Callable[[int], dict[str, Any]]


#: The checks on the machine, not on backends.
OF_THE_MACHINE = frozenset(
    {"busy-machine", "governor", "disturbed", "steal", "cpu-limit", "other-run", "swap", "throttled", "unseen"}
)
MACHINE = build.machine(cpu="Some CPU", cores=8, governor="performance", load_1m=0.3)


NOISE = [random.Random(7).gauss(0, 0.01) for _ in range(400)]


def iterations(name: str, n: int, fields: Fields, turn: int) -> list[Iteration]:
    """`n` good iterations, in turns with the other backends."""
    made = []
    for k in range(1, n + 1):
        more = fields(k) if callable(fields) else fields
        minute, second = divmod(4 * k + turn, 60)
        usual: dict[str, Any] = {
            "started_utc": f"2026-11-22T15:{minute:02}:{second:02}.000Z",
            "ttft_s": 0.1,
            "ttfo_s": 0.1,
            "itl_s": 0.014,
            "tokens_per_s": 70.0,
            "prompt_tokens": 46,
            "cached_tokens": 0,
            "foreign_cpu": 0.02,
            "server_cpu": 1.0,
            "text": f"Answer {k} is this",
        }
        made.append(build.answered(name, k, **({"latency_s": 1.0 + NOISE[2 * k + turn]} | usual | more)))
    return made


def entry(name: str, fields: Fields | None = None, *, n: int = 12, turn: int = 0, **more: Any) -> Entry:
    """A finished backend; `more` are fields of its state, or of the backend as `backend`."""
    usual: dict[str, Any] = {"model": "smollm2", "weights": "Q8_0", "threads": 4, "device": "cpu"}
    backend = Backend(name=name, **more.pop("backend", {}))
    return Entry(backend, build.state(name, **(usual | more)), Evidence(iterations(name, n, fields or {}, turn)))


def judged(a: dict[str, Any], b: dict[str, Any], **config: Any) -> list[Check]:
    """The checks of a race between `a` and `b`, each with the arguments of `entry`."""
    machine = msgspec.structs.replace(MACHINE, **config.pop("machine", {}))
    entries = [entry("a", **a), entry("b", **({"turn": 1} | b))]
    return checks(entries, RunConfig(**({"iterations": 12} | config)), machine)


def trio(**fields: Sequence[Any]) -> list[Check]:
    """Three backends that differ in these fields."""
    entries = [entry(name, {f: v[n] for f, v in fields.items()}, turn=n) for n, name in enumerate("abc")]
    return checks(entries, RunConfig(iterations=12), MACHINE)


def every(step: int, **fields: Any) -> dict[str, Any]:
    return {"fields": lambda k: fields if k % step == 0 else {}}


def unlike(k: int) -> dict[str, Any]:
    """300 or 100 tokens, in other rounds than `alike_on_average`."""
    return {"output_tokens": 300 if k % 2 else 100}


def alike_on_average(k: int) -> dict[str, Any]:
    return {"output_tokens": 100 if k % 2 else 300}


def chunks(tokens: int, arrivals: int, **more: Any) -> dict[str, Any]:
    """Answers of `tokens` reported tokens in `arrivals` of one event each."""
    times = list(range(10**7, 10**7 * (arrivals + 1), 10**7))
    return every(1, output_tokens=tokens, arrivals_ns=times, arrival_tokens=[1] * arrivals, **more)


def record(error_s: float) -> Record:
    """An accuracy record of this machine with this error."""
    return build.record_of(MACHINE, p99_s=error_s)


def raced(
    *medians: float, rounds: int = 10, noise: float = 0.01, tokens: tuple[int, ...] = (), **fields: dict[str, Any]
) -> RunView:
    """A view of a run whose backends a, b, c... took turns, with these median latencies in s; `fields` by backend."""
    names = "abcdef"[: len(medians)]
    run_view = build.run_view(build.plan(*names, iterations=rounds), keep=0)
    rng = random.Random(6)
    for number in range(rounds):
        for place, (name, median) in enumerate(zip(names, medians, strict=True)):
            latency = median * (1 + rng.gauss(0, noise))
            count = tokens[place] if tokens else 64
            own = {"output_tokens": count} | fields.get(name, {})
            run_view.apply(IterationDone(iteration=iteration(name, number + 1, latency, **own)))
    for name in names:
        run_view.apply(build.changed(name, planned=rounds, weights="Q8_0"))
    return run_view


def iteration(name: str, number: int, latency_s: float, **more: Any) -> Iteration:
    """An answer of 64 tokens with this latency, and the same text as all others."""
    usual = {"tokens_per_s": 64 / latency_s, "prompt_tokens": 31, "text": "the same"}
    return build.answered(name, number, latency_s, **(usual | more))


BASE = [1.00, 1.02, 0.99, 1.01, 1.03, 0.98, 1.0, 1.01, 0.99, 1.02]


def backend_view(name: str, latencies: list[float], *, begin: int = 0, step: int = 2) -> list[Iteration]:
    """Measured iterations, `step` seconds apart."""
    return [
        build.iteration(name, n, latency, started_utc=f"{begin + step * n:06}", tokens_per_s=1 / latency)
        for n, latency in enumerate(latencies, 1)
    ]
