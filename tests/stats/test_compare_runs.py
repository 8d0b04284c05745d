"""Two runs compared: what is compared with what, other differences, and failures."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import pytest

from llmtui.model import Failure
from llmtui.stats.compare import compare_pairs
from llmtui.stats.compare_runs import paired
from llmtui.stats.gate import gate
from llmtui.stats.run_outcomes import Outcome, failures_p
from tests.stats.build import BASE, backend_view, record
from tests.stats.sides import MACHINE, compared, differences, side


def test_groups_of_two_runs_are_not_paired() -> None:
    one, two = backend_view("x", BASE), backend_view("y", [1.2 * v for v in BASE], begin=1)
    (paired_,) = compare_pairs([(("x", one), ("y", two))], "latency")
    (apart, none) = compare_pairs([(("x", one), ("y", two)), (("x", one), ("y", []))], "latency", basis="runs")
    assert paired_ is not None and paired_.paired and paired_.basis == "rounds"
    assert apart is not None and not apart.paired and (apart.pairs, apart.basis) == (1, "runs")
    assert none is None


def test_pairs_by_name_and_as_named() -> None:
    a, b = side("a", {"x": 1.0, "old": 1.0, "gone": 1.0}), side("b", {"new": 1.0, "x": 1.0})
    assert paired(a, b) == [("x", "x")]
    assert paired(a, b, [("old", "new")]) == [("x", "x"), ("old", "new")]
    assert paired(a, b, [("old", "x")]) == [("old", "x")]
    result = compared(a, b, ("old", "new"))
    assert (result.rest_a, result.rest_b) == (["gone"], [])
    assert result.outcomes[1].sentence.startswith("old in A, new in B: no clear change relative to x (")


def test_different_max_tokens_is_compared_per_token() -> None:
    a = side("a", {"x": 1.0}, max_tokens=64)
    b = side("b", {"x": 2.0}, max_tokens=128, sample={"output_tokens": 128, "tokens_per_s": 64.0})
    result = compared(a, b)
    assert differences(result)["max-tokens"] == (
        "void",
        "different max_tokens: A 64, B 128: the latencies are for different amounts of work",
    )
    assert "output-tokens" not in differences(result), "the cause is enough"
    (x,) = result.outcomes
    assert (x.leading.metric, x.leading.instead_of) == ("tokens_per_s", "latency")
    assert x.sentence.startswith("x: not comparable by latency (different max_tokens); ")


def test_different_answer_lengths_are_detected_in_the_samples() -> None:
    b = side("b", {"x": 1.0}, sample={"output_tokens": 20, "finish_reason": "stop"}, full_length=False)
    result = compared(side("a", {"x": 1.0}, full_length=False), b)
    level, text = differences(result)["output-tokens"]
    assert level == "void" and text == "x: different numbers of output tokens (median): A 64, B 20"
    assert result.outcomes[0].leading.metric == "tokens_per_s"


@pytest.mark.parametrize("metric", ["latency", "ttft"])
def test_different_prompt_is_different_work(metric: Any) -> None:
    result = compared(side("a", {"x": 1.0}, prompt="Hello?"), side("b", {"x": 1.0}, prompt="w" * 90), metric=metric)
    level, text = differences(result)["prompt"]
    assert level == "void" and 'A "Hello?", B "www' in text and "(90 characters)" in text
    assert result.outcomes[0].leading.metric == {"latency": "tokens_per_s", "ttft": "prefill_tokens_per_s"}[metric]


def test_different_models_are_not_compared() -> None:
    a = side("a", {"x": 1.0}, state={"model": "qwen2.5-0.5b"})
    result = compared(a, side("b", {"x": 1.0}, state={"model": "llama-3.2-1b"}))
    assert result.outcomes[0].sentence == "x: not comparable by latency (different models)"
    assert gate(result, 5) == ([], ["x: not comparable by latency (different models)"])


@pytest.mark.parametrize(
    ("change", "code", "level", "text"),
    [
        ({"temperature": 0.7}, "temperature", "warning", "different temperature: A 0, B 0.7: sampling"),
        ({"seed": 4}, "seed", "note", "different seed: A 0, B 4"),
        ({"order": "round-robin"}, "order", "warning", 'different order: A "shuffled", B "round-robin"'),
        ({"threads": 2}, "threads", "warning", "different threads: A 0, B 2: this may explain"),
        ({"full_length": False}, "full-length", "warning", "different full_length: A true, B false"),
        ({"fresh_prompt": False}, "fresh-prompt", "warning", "different fresh_prompt: A true, B false"),
        ({"cooldown_s": 2.0}, "cooldown", "note", "different cooldown_s: A 0, B 2"),
        ({"warmup": 0}, "warmup", "note", "different warmup: A 3, B 0"),
        ({"state": {"version": "b2"}}, "version", "note", "x: different versions: A b1, B b2"),
        ({"state": {"weights": "Q4_K_M"}}, "weights", "warning", "x: different weights: A Q8_0, B Q4_K_M"),
        ({"state": {"threads": 2}}, "threads", "warning", "x: different thread counts: A 4, B 2"),
        ({"backend": {"options": {"cache": True}}}, "options", "note", "x: different options: A none, B cache = true"),
        ({"backend": {"protocol": "ollama"}}, "protocol", "warning", "x: different protocols: A openai, B ollama"),
        ({"backend": {"url": "http://10.0.0.9:80"}}, "host", "warning", "x: different machines: A here, B 10.0.0.9"),
        ({"backend": {"stream": False}}, "stream", "warning", "x: only one of them streams: A streams, B does not"),
        (
            {"state": {"fresh_role": "system"}},
            "fresh-line",
            "void",
            "x: the line that makes each prompt a new one was elsewhere: A in the user message, B in the system",
        ),
        ({"sample": {"stamp": "user"}}, "stamp", "warning", "x: arrivals were not stamped by the same clock"),
        (
            {"backend": {"launch": ["serve", "--threads", "4", "--port", "{port}", "--fa"]}},
            "launch",
            "note",
            "x: different launch commands: A --threads 2, B --threads 4 --fa",
        ),
        (
            {"backend": {"env": {"OMP": "1"}}},
            "env",
            "note",
            'x: different environments: A none, B OMP = "1"',
        ),
        (
            {"backend": {"server": "ollama"}},
            "start",
            "note",
            "x: servers that were started in different ways: A launched, B own server",
        ),
    ],
)
def test_differences_of_settings_and_setup(change: dict[str, Any], code: str, level: str, text: str) -> None:
    usual: dict[str, Any] = {
        "state": {"threads": 4, "version": "b1"},
        "backend": {"launch": ["serve", "--threads", "2", "--port", "{port}"]},
        "sample": {"stamp": "kernel"},
    }
    now = usual | {k: usual[k] | v if k in usual else v for k, v in change.items()}
    result = differences(compared(side("a", {"x": 1.0}, **usual), side("b", {"x": 1.0}, **now)))
    assert set(result) == {code, "not-interleaved"}
    assert result[code][0] == level and result[code][1].startswith(text)


@pytest.mark.parametrize(
    ("change", "code", "level", "text"),
    [
        ({"cores": 4}, "machine", "warning", "different hardware: cores A 8, B 4"),
        ({"cpu": "Other"}, "machine", "warning", "different hardware: cpu A Some CPU, B Other"),
        ({"gpu": "H200"}, "machine", "warning", "different hardware: gpu A none, B H200"),
        ({"memory_bytes": 2**34}, "machine", "warning", "different hardware: memory A 8.0 GiB, B 16.0 GiB"),
        ({"os": "Linux 6.2"}, "os", "note", "different kernels: A Linux 6.1, B Linux 6.2"),
        ({"os": "Darwin 24"}, "os", "warning", "different operating systems: A Linux 6.1, B Darwin 24"),
        ({"python": "3.13"}, "python", "note", "llmtui ran on different Python versions"),
        ({"llmtui": "1.1"}, "llmtui", "warning", "different versions of llmtui: A 1.0, B 1.1"),
        (
            {"governor": "powersave"},
            "governor",
            "warning",
            "different CPU frequency governors: A performance, B powersave",
        ),
        (
            {"load_1m": 7.5},
            "busy-machine",
            "warning",
            "the machine was busy when a run started: A load 0.3 on 8 cores, B ",
        ),
    ],
)
def test_differences_of_machines(change: dict[str, Any], code: str, level: str, text: str) -> None:
    was = msgspec.structs.replace(MACHINE, load_1m=0.3, memory_bytes=2**33)
    b = side("b", {"x": 1.0}, machine=msgspec.structs.replace(was, **change))
    result = differences(compared(side("a", {"x": 1.0}, machine=was), b))
    assert set(result) == {code, "not-interleaved"}
    assert result[code][0] == level and result[code][1].startswith(text)


def test_small_difference_of_memory_is_ignored() -> None:
    a = side("a", {"x": 1.0}, machine=msgspec.structs.replace(MACHINE, memory_bytes=8_100_000_000))
    b = side("b", {"x": 1.0}, machine=msgspec.structs.replace(MACHINE, memory_bytes=8_000_000_000))
    assert "machine" not in differences(compared(a, b))


def test_different_sets_of_backends_are_reported() -> None:
    result = compared(side("a", {"x": 1.0, "y": 1.0}), side("b", {"x": 1.0}))
    assert differences(result)["company"][1].startswith("different sets of backends: A x, y; B x: ")


def test_answers_are_compared_only_for_equal_prompts() -> None:
    same: dict[str, Any] = {"fresh_prompt": False, "state": {"weights": "Q8_0"}}
    a = side("a", {"x": 1.0}, sample={"text": "one thing", "cached_tokens": 0}, **same)
    b = side("b", {"x": 1.0}, sample={"text": "other thing", "cached_tokens": 0}, **same)
    assert differences(compared(a, b))["answers-differ"][1].startswith("x: A and B answered the same prompt")
    other = side("b", {"x": 1.0}, sample={"text": "other thing", "cached_tokens": 0}, prompt="else", **same)
    assert "answers-differ" not in differences(compared(a, other))


def test_difference_within_own_error_is_reported() -> None:
    same = dict.fromkeys("xyz", 1.0)
    a, b = side("a", same), side("b", same | {"x": 1.02})
    result = compared(a, b, record=record(0.015))
    assert result.outcomes[0].shown == "slower"
    assert differences(result)["own-error"][1].startswith("x: A and B differ by ")
    assert "own-error" not in differences(compared(a, b, record=record(0.001)))


def test_names_and_versions_are_sanitized() -> None:
    evil = "x\x1b]52;c;EVIL\x07\u202e"
    a, b = side("a", {evil: 1.0}, state={"version": evil}), side("b", {evil: 1.0}, state={"version": "b2" + evil})
    for result in (compared(a, b), compared(a, b, (evil, evil))):
        texts = [o.sentence for o in result.outcomes] + [d.text for d in result.differences]
        assert texts and all(t.isprintable() and "EVIL" not in t for t in texts)


def test_iterations_after_a_backend_gave_up_count_as_failed() -> None:
    up = {"planned": 40, "state": "failed", "failure": Failure(kind="server", message="the server ended")}
    result = compared(side("a", {"x": 1.0}), side("b", {"x": 1.0}, failed={"x": 1}, state=up))
    assert (result.outcomes[0].failed_b, result.outcomes[0].tried_b) == (29, 40)
    assert len(gate(result, 5)[0]) == 1
    stopped = compared(side("a", {"x": 1.0}), side("b", {"x": 1.0}, state={"planned": 40, "state": "stopped"}))
    assert stopped.outcomes[0].failed_b == 0, "stopped by the user, not by a failure"


def failures(in_a: int, of_a: int, in_b: int, of_b: int) -> Outcome:
    result = compared(side("a", {"x": 1.0}, n=6), side("b", {"x": 1.0}, n=6)).outcomes[0]
    p = failures_p(in_a, of_a, in_b, of_b)
    return msgspec.structs.replace(result, failed_a=in_a, tried_a=of_a, failed_b=in_b, tried_b=of_b, failing_p=p)


@pytest.mark.parametrize("size", [6, 9, pytest.param(17, marks=pytest.mark.slow)])
def test_failures_agree_with_fishers_exact_test(size: int) -> None:
    for in_a in range(size + 1):
        for in_b in range(size + 1):
            both = in_a + in_b
            ways = sum(math.comb(size, n) * math.comb(size, both - n) for n in range(in_b, min(both, size) + 1))
            shown = in_b > in_a and 20 * ways <= math.comb(2 * size, both)
            assert failures(in_a, size, in_b, size).fails_more == shown, (in_a, in_b)


def test_failures_of_long_runs_are_compared_quickly() -> None:
    began = time.process_time()
    assert not failures(5_000, 100_000, 5_100, 100_000).fails_more
    assert failures(5_000, 100_000, 5_400, 100_000).fails_more
    assert not failures(0, 0, 0, 0).fails_more
    assert time.process_time() - began < 5


def test_zeros_are_not_reported_as_missing_samples() -> None:
    result = compared(
        side("a", {"x": 1.0}, sample={"itl_s": 0.01}), side("b", {"x": 1.0}, sample={"itl_s": 0.0}), metric="itl"
    )
    (x,) = result.outcomes
    assert x.sentence == "x: nothing to compare by ITL: 12 samples of B are 0" and x.comparison is None
    assert gate(result, 5) == ([], [x.sentence])


def test_runs_that_are_not_comparable_have_no_interval_to_speak_of() -> None:
    a = side("a", {"x": 1.0}, state={"model": "qwen2.5-0.5b"})
    result = compared(a, side("b", {"x": 1.0}, state={"model": "llama-3.2-1b"}))
    assert "not-interleaved" not in differences(result)
