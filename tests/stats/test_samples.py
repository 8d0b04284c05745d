"""Checks on the samples: their number, own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from llmtui.model import Backend, BackendState, RunConfig
from llmtui.stats.checks import Entry, Evidence, checks
from llmtui.stats.compare import compare
from tests.stats.build import MACHINE, NOISE, entry, iterations, record


@pytest.mark.parametrize(("error_s", "codes"), [(0.0004, ["own-error"]), (0.0002, [])])
@pytest.mark.parametrize("metric", ["latency", "ttft", "tokens_per_s", "tpot", "prefill_tokens_per_s"])
def test_difference_within_own_error_is_reported(metric: Any, error_s: float, codes: list[str]) -> None:
    def apart(by: float) -> Callable[[int], dict[str, Any]]:
        noise = NOISE[:100:5]
        return lambda k: {
            "latency_s": 1.0 + by + noise[k] / 1e3,
            "ttft_s": 1.0 + by + noise[k] / 1e3,
            "tokens_per_s": 1 - by + noise[k] / 1e3,
            "tpot_s": 1 / (1 - by + noise[k] / 1e3),
            "prompt_tokens": 46,
        }

    entries = [entry("a", apart(0.0)), entry("b", apart(0.0006), turn=1)]
    pairs = compare({e.name: list(e.evidence.recent) for e in entries}, metric)
    assert [c.decided for c in pairs] == [True]
    findings = checks(entries, RunConfig(iterations=12), MACHINE, comparisons=pairs, record=record(error_s))
    assert [c.code for c in findings] == codes
    (unknown,) = checks(entries, RunConfig(iterations=12), MACHINE, comparisons=pairs)
    assert (unknown.code, unknown.level, unknown.backends) == ("own-error", "note", ["a", "b"])
    assert "was never measured, and a and b differ by only 0.06% of " in unknown.text
    assert checks(entries, RunConfig(iterations=12), MACHINE, record=record(error_s)) == []


@pytest.mark.parametrize(
    ("fast_s", "slow_s", "ending"),
    [
        (0.010, 0.0115, " ms of latency"),
        (0.010, 0.0125, ""),
        (1.0, 1.015, "% of latency"),
        (1.0, 1.03, ""),
    ],
)
def test_small_difference_without_an_accuracy_record_is_noted(fast_s: float, slow_s: float, ending: str) -> None:
    latencies = {"a": fast_s, "b": slow_s}
    entries = [
        entry(name, lambda k, s=s: {"latency_s": s * (1 + NOISE[k] / 100)}, turn=n)
        for n, (name, s) in enumerate(latencies.items())
    ]
    pairs = compare({e.name: list(e.evidence.recent) for e in entries}, "latency")
    assert [c.decided for c in pairs] == [True]
    findings = checks(entries, RunConfig(iterations=12), MACHINE, comparisons=pairs)
    assert [c.text.endswith(ending) for c in findings] == [True] * bool(ending)


@pytest.mark.parametrize(
    ("states", "planned", "text"),
    [
        ("done", 6, ""),
        ("running", 6, ""),
        ("running", 12, ""),
        ("done", 12, "too few samples for an interval: a n = 6, b n = 6, c n = 6"),
    ],
)
def test_six_rounds_are_enough_for_three_backends(states: str, planned: int, text: str) -> None:
    """A backend that was stopped early is judged at 99%."""
    entries = [entry(name, n=6, turn=turn, state=states) for turn, name in enumerate("abc")]
    findings = checks(entries, RunConfig(iterations=planned), MACHINE)
    assert [c.text for c in findings] == [text] * bool(text)


def test_warm_ups_are_not_evidence() -> None:
    cold = [msgspec.structs.replace(i, phase="warmup", output_tokens=1) for i in iterations("b", 3, {}, 1)]
    evidence = Evidence([*cold, *iterations("b", 12, {}, 1)])
    other = Entry(Backend(name="b"), BackendState(name="b", model="smollm2", weights="Q8_0"), evidence)
    assert checks([entry("a"), other], RunConfig(iterations=12), MACHINE) == []
