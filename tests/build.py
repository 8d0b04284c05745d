"""Builders of the model's objects, with defaults that keywords override.

Modules with a scenario of their own (a canned run, a race) build on these.
"""

from __future__ import annotations

from typing import Any

from llmtui.model import AnyEvent, Backend, BackendChanged, BackendState, Iteration, Machine, Plan, RunConfig
from llmtui.model.accuracy import Errors, Level, MonitorLoad, Record
from llmtui.runview.run import RunView


def plan(*backends: Backend | str, run: str = "r", created_utc: str = "", source: str = "", **config: Any) -> Plan:
    """A plan with these backends or names of backends; other keywords are settings of the run."""
    return Plan(
        run=run,
        created_utc=created_utc,
        config=RunConfig(**config),
        backends=[Backend(name=backend) if isinstance(backend, str) else backend for backend in backends],
        source=source,
    )


def machine(**fields: Any) -> Machine:
    """A machine with two cores."""
    usual: dict[str, Any] = {"cpu": "Test CPU", "cores": 2}
    return Machine(**(usual | fields))


def state(name: str = "a", **fields: Any) -> BackendState:
    """The state of a backend that is done."""
    return BackendState(**({"name": name, "state": "done"} | fields))


def changed(name: str = "a", **fields: Any) -> BackendChanged:
    """The event with the state of a backend that is done."""
    return BackendChanged(backend=state(name, **fields))


def iteration(backend: str = "a", number: int = 1, latency_s: float | None = 1.0, **fields: Any) -> Iteration:
    """A measured iteration with a latency and no other figures. One starts every second."""
    usual: dict[str, Any] = {
        "run": "r",
        "backend": backend,
        "attempt": 1,
        "iteration": number,
        "phase": "measured",
        "started_utc": f"2026-11-22T12:{number // 60 % 60:02}:{number % 60:02}Z",
        "latency_s": latency_s,
    }
    return Iteration(**(usual | fields))


def answered(backend: str = "a", number: int = 1, latency_s: float | None = 1.0, **fields: Any) -> Iteration:
    """An iteration whose answer has 64 tokens, all that the default config allows, as its server reports."""
    usual = {"output_tokens": 64, "token_source": "usage", "finish_reason": "length"}
    return iteration(backend, number, latency_s, **(usual | fields))


def run_view(plan: Plan, *events: AnyEvent, keep: int | None = None) -> RunView:
    """A view of a run after these events."""
    view = RunView(plan, keep=keep)
    for event in events:
        view.apply(event)
    return view


def record_of(
    machine: Machine, ttft_p95_s: float = 0.0002, streams: int = 1, monitor: bool = True, p99_s: float = 0.0004
) -> Record:
    """A record with one level and these errors."""
    errors = Errors(n=40, median=0.0001, p50=0.0001, p95=ttft_p95_s, p99=p99_s, max=1.25)
    level = Level(
        streams=streams,
        monitor=monitor,
        requests=40,
        tokens=2560,
        coalesced=0.01,
        ttft_s=errors,
        itl_s=errors,
        latency_s=errors,
        tokens_per_s_share=errors,
        failed=1,
        loop="race" if streams == 1 else "load",
    )
    return Record(
        measured_utc="2026-11-22T15:00:00Z",
        machine=machine,
        stamp="kernel",
        truth_stamp="kernel",
        tokens=64,
        ttft_ms=50,
        itl_ms=10,
        levels=[level],
        versions={"llmtui": "0.1.0", "httpx": "0.28.1"},
        watching=MonitorLoad(columns=120, rows=40, seconds=30, bytes_per_s=4_500, cpu_cores=0.04),
    )
