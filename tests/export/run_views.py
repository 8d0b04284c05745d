"""A view of a run with everything an export has: fast, slow, failed, rerun, missing, and hostile names."""

from __future__ import annotations

from typing import Any

from llmtui.model import (
    AnyEvent,
    Backend,
    Failure,
    Iteration,
    IterationDone,
    RunState,
)
from llmtui.runview.run import RunView
from tests import build

RUN = "20261122-150000-ab12"
SECRET = "sk-very-secret"


def iteration(backend: str, number: int, latency_s: float, attempt: int = 1, **more: Any) -> Iteration:
    """A good iteration with this latency; the other figures follow from it."""
    usual: dict[str, Any] = {
        "run": RUN,
        "attempt": attempt,
        "started_utc": f"2026-11-22T15:00:{number:02}.250Z",
        "ttft_s": latency_s / 8,
        "ttfo_s": latency_s / 8,
        "itl_s": 0.0125,
        "tpot_s": 0.0125,
        "tokens_per_s": 80.0,
        "prompt_tokens": 46,
        "connect_s": 0.00025,
        "server_prefill_s": 0.1,
        "server_decode_s": 0.7,
        "foreign_cpu": 0.01,
        "stamp": "kernel",
        "text": "Hi",
        "arrivals_ns": [100_000_000, 112_500_000],
        "arrival_tokens": [1, 2],
    }
    return build.answered(backend, number, latency_s, **(usual | more))


def failed(backend: str, number: int, message: str) -> Iteration:
    """A failed iteration, with figures that no export may show."""
    return iteration(
        backend, number, 9.9, error=Failure(kind="timeout", message=message, hint="raise timeout_s"), finish_reason=None
    )


def run_view() -> RunView:
    """Five backends, each in a different state."""
    backends = [
        Backend(
            name="llama.cpp",
            framework="llama.cpp",
            language="C++",
            url="http://127.0.0.1:8080",
            model="smollm2",
            api_key=SECRET,
            headers={"X-Key": SECRET},
        ),
        Backend(
            name="=HYPERLINK(1)", framework="mistral.rs", language="Rust", model='a "quoted", name', weights="Q8_0"
        ),
        Backend(name="slow", framework="transformers", language="Python", model="@SUM(A1)"),
        Backend(name="ollama", framework="Ollama", language="Go", protocol="ollama"),
        Backend(name="off", enabled=False, api_key=SECRET),
    ]
    plan = build.plan(
        *backends,
        run=RUN,
        created_utc="2026-11-22T15:00:00Z",
        source="config.toml",
        prompt="Why?",
        iterations=2,
        warmup=1,
    )
    full = RunView(plan)
    full.machine = build.machine(cpu="Some CPU", memory_bytes=1 << 30, os="Linux", python="3.11.7", llmtui="0.1.0")
    full.run = RunState(phase="done", finished=12, total=12, elapsed_s=42.5)
    bad = "=HYPERLINK(1)"
    events: list[AnyEvent] = [
        IterationDone(iteration=iteration("llama.cpp", 1, 2.0, phase="warmup")),
        IterationDone(iteration=iteration("llama.cpp", 1, 1.5)),
        IterationDone(iteration=failed("llama.cpp", 2, "no token within 120 s")),
        build.changed(
            "llama.cpp",
            attempt=2,
            planned=2,
            version="b6940",
            weights="Q8_0",
            threads=1,
            load_s=0.1 + 0.2,
        ),
        IterationDone(iteration=iteration("llama.cpp", 1, 0.7, attempt=2)),
        IterationDone(iteration=iteration("llama.cpp", 2, 0.9, attempt=2, foreign_cpu=0.4, cached_tokens=0)),
        build.changed(bad, planned=2),
        IterationDone(iteration=iteration(bad, 1, 1.25, ttft_s=None, tokens_per_s=None, token_source=None)),
        IterationDone(iteration=failed(bad, 2, "+1 line\nof \x1b[31mred\x1b[0m, bad")),
        build.changed("slow", planned=2),
        IterationDone(iteration=iteration("slow", 1, 3.0)),
        IterationDone(iteration=iteration("slow", 2, 3.5)),
        build.changed(
            "ollama",
            state="unreachable",
            planned=2,
            failure=Failure(
                kind="connect", message="nothing answers at 127.0.0.1:11434", hint="start it: ollama serve"
            ),
        ),
    ]
    for event in events:
        full.apply(event)
    return full
