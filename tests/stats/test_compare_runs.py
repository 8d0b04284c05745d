"""What is said of two runs: who is faster now, what was not shown, and what else is not the same."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from llmtui.model import Backend, BackendChanged, BackendState, Failure, IterationDone, Machine, Plan, RunConfig
from llmtui.runview.run import RunView
from llmtui.stats.compare import compare_pairs
from llmtui.stats.compare_runs import Across, Outcome, across, gate, paired
from llmtui.stats.run_differences import Side
from tests.stats.build import BASE, backend_view, iteration, record

MACHINE = Machine(cpu="Some CPU", cores=8, os="Linux 6.1", python="3.12", llmtui="1.0", governor="performance")


FAILED = Failure(kind="http", message="overloaded")


def side(
    run: str,
    medians: dict[str, float],
    *,
    n: int = 12,
    noise: float = 0.005,
    machine: Machine = MACHINE,
    created: str = "2026-11-22T12:00:00.000Z",
    state: dict[str, Any] | None = None,
    backend: dict[str, Any] | None = None,
    sample: dict[str, Any] | None = None,
    failed: Mapping[str, int] | None = None,
    **config: Any,
) -> Side:
    """A run whose backends took turns, with these median latencies in s; one with 0 has no sample.

    Of the first iterations as many failed as `failed` says.
    """
    settings = RunConfig(iterations=n, **config)
    backends = [Backend(name=name, **(backend or {})) for name in medians]
    run_view = RunView(Plan(run=run, created_utc=created, config=settings, backends=backends), keep=0)
    rng = random.Random(run)
    for number in range(1, n + 1):
        for name, median in medians.items():
            latency = median * (1 + rng.gauss(0, noise))
            broke = {"error": FAILED} if number <= (failed or {}).get(name, 0) else {}
            if median:
                run_view.apply(IterationDone(iteration=iteration(name, number, latency, **(sample or {}), **broke)))
    for name, median in medians.items():
        failure = None if median else Failure(kind="server", message="ended with exit code 1")
        usual = {"state": "done" if median else "failed", "version": "b1", "weights": "Q8_0", "failure": failure}
        run_view.apply(BackendChanged(backend=BackendState(name=name, **({"planned": n} | usual | (state or {})))))
    return Side(run, created, settings, machine, run_view.backends)


def held(a: Side, b: Side, *named: tuple[str, str], **more: Any) -> Across:
    return across(a, b, paired(a, b, named), **more)


def told(found: Across) -> dict[str, tuple[str, str]]:
    """Level and text by code."""
    return {d.code: (d.level, d.text) for d in found.differences}


def test_slower_and_faster_are_said_of_the_second_run() -> None:
    found = held(side("first", {"x": 1.0, "y": 1.0, "z": 1.0}), side("second", {"x": 1.3, "y": 0.8, "z": 1.0}))
    x, y, z = found.outcomes
    assert (x.shown, y.shown, z.shown) == ("slower", "faster", "")
    assert x.sentence.startswith("x: B takes 1.30x as long as A (95%: 1.")
    assert y.sentence.startswith("y: A takes 1.25x as long as B (95%: 1.")
    assert z.sentence.startswith("z: no difference shown; 12 iterations each could have shown ")
    for outcome, true in ((x, 1.3), (y, 0.8), (z, 1.0)):
        assert outcome.slowdown is not None
        ratio, low, high = outcome.slowdown
        assert low is not None and high is not None and low < ratio < high and low < true < high
    assert [o.comparison.pairs for o in found.outcomes if o.comparison] == [3, 3, 3], "corrected for all of them"


def test_more_is_better_where_it_is() -> None:
    found = held(side("a", {"x": 1.0}), side("b", {"x": 1.3}), metric="tokens_per_s")
    (x,) = found.outcomes
    assert x.shown == "slower" and x.median_a is not None and x.median_b is not None and x.median_a > x.median_b
    assert x.sentence.startswith("x: A gives 1.30x as many tokens/s as B (95%")


def test_runs_are_never_compared_round_by_round_and_one_run_is() -> None:
    a, b = side("a", {"x": 1.0}), side("b", {"x": 1.3})
    assert [o.comparison.paired for o in held(a, b).outcomes if o.comparison] == [False]
    one = side("a", {"x": 1.0, "y": 1.3})
    found = held(one, one, ("x", "y"))
    (pair,) = found.outcomes
    assert pair.comparison is not None and pair.comparison.paired
    assert pair.sentence.startswith("y takes 1.30x as long as x (95%")
    assert "not-interleaved" not in told(found) and (found.rest_a, found.rest_b) == ([], [])
    turned = held(one, one, ("y", "x")).outcomes[0]
    assert turned.shown == "faster" and turned.sentence.startswith("y takes 1.30x as long as x")


def test_groups_that_seem_to_have_taken_turns_are_groups_where_they_did_not() -> None:
    one, two = backend_view("x", BASE), backend_view("y", [1.2 * v for v in BASE], begin=1)
    (paired_,) = compare_pairs([(("x", one), ("y", two))], "latency")
    (apart, none) = compare_pairs([(("x", one), ("y", two)), (("x", one), ("y", []))], "latency", turns=False)
    assert paired_ is not None and paired_.paired
    assert apart is not None and not apart.paired and apart.pairs == 1
    assert none is None


def test_pairs_by_name_and_those_that_are_named() -> None:
    a, b = side("a", {"x": 1.0, "old": 1.0, "gone": 1.0}), side("b", {"new": 1.0, "x": 1.0})
    assert paired(a, b) == [("x", "x")]
    assert paired(a, b, [("old", "new")]) == [("x", "x"), ("old", "new")]
    assert paired(a, b, [("old", "x")]) == [("old", "x")]
    found = held(a, b, ("old", "new"))
    assert (found.rest_a, found.rest_b) == (["gone"], [])
    assert found.outcomes[1].sentence.startswith("old in A, new in B: no difference shown; ")


def test_few_and_no_samples_are_said() -> None:
    found = held(side("a", {"x": 1.0, "y": 1.0, "z": 0}, n=3), side("b", {"x": 2.0, "y": 0, "z": 0}, n=4))
    x, y, z = found.outcomes
    assert x.sentence == "x: no verdict: 3 and 4 iterations are too few"
    assert x.slowdown is not None and x.slowdown[1:] == (None, None)
    assert y.sentence == "y: nothing to compare: B has no samples (failed: ended with exit code 1)"
    assert z.sentence == "z: nothing to compare: neither has samples"
    assert (y.n_a, y.n_b, y.slowdown, y.median_b) == (3, 0, None, None)


def test_what_may_be_chance_among_many_is_no_verdict() -> None:
    same = dict.fromkeys("abcdefghij", 1.0)
    a = side("a", same, noise=0.02)
    told_of_d = [held(a, side("b", same | {"d": 1 + n / 1000}, noise=0.02)).outcomes[3] for n in range(60)]
    assert told_of_d[0].shown == "" and told_of_d[-1].shown == "slower"
    chance = [o for o in told_of_d if "may be chance among 10 pairs" in o.sentence]
    assert chance, "between the two, an interval excludes 1 and its p does not survive the correction"
    for outcome in chance:
        assert outcome.shown == "" and outcome.sentence.startswith("d: no verdict: B takes 1.0")
        assert outcome.slowdown is not None and outcome.slowdown[1] is not None and outcome.slowdown[1] > 1


def test_other_work_is_compared_by_what_counts_per_token() -> None:
    a = side("a", {"x": 1.0}, max_tokens=64)
    b = side("b", {"x": 2.0}, max_tokens=128, sample={"output_tokens": 128, "tokens_per_s": 64.0})
    found = held(a, b)
    assert told(found)["max-tokens"] == (
        "void",
        "different max_tokens: A 64, B 128: the latencies are for different amounts of work",
    )
    assert "output-tokens" not in told(found), "the cause is enough"
    (x,) = found.outcomes
    assert (x.leading.metric, x.leading.instead_of) == ("tokens_per_s", "latency")
    assert x.sentence.startswith("x: not comparable by latency (different max_tokens); ")


def test_answers_of_another_length_are_seen_without_any_setting() -> None:
    b = side("b", {"x": 1.0}, sample={"output_tokens": 20, "finish_reason": "stop"}, full_length=False)
    found = held(side("a", {"x": 1.0}, full_length=False), b)
    level, text = told(found)["output-tokens"]
    assert level == "void" and text == "x: different numbers of output tokens (median): A 64, B 20"
    assert found.outcomes[0].leading.metric == "tokens_per_s"


@pytest.mark.parametrize("metric", ["latency", "ttft"])
def test_another_prompt_is_other_work(metric: Any) -> None:
    found = held(side("a", {"x": 1.0}, prompt="Hello?"), side("b", {"x": 1.0}, prompt="w" * 90), metric=metric)
    level, text = told(found)["prompt"]
    assert level == "void" and 'A "Hello?", B "www' in text and "(90 characters)" in text
    assert found.outcomes[0].leading.metric == {"latency": "tokens_per_s", "ttft": "prefill_tokens_per_s"}[metric]


def test_another_model_is_compared_by_nothing() -> None:
    a = side("a", {"x": 1.0}, state={"model": "qwen2.5-0.5b"})
    found = held(a, side("b", {"x": 1.0}, state={"model": "llama-3.2-1b"}))
    assert found.outcomes[0].sentence == "x: not comparable by latency (different models)"
    assert gate(found, 5) == ([], ["x: not comparable by latency (different models)"])


def test_equal_runs_differ_in_nothing_but_that_they_took_no_turns() -> None:
    found = held(side("a", {"x": 1.0}), side("b", {"x": 1.0}, created="2026-11-22T15:10:00.000Z"))
    assert list(told(found)) == ["not-interleaved"]
    assert told(found)["not-interleaved"][1].startswith("B started 3 hours after A: ")
    assert (
        held(side("a", {"x": 1.0}), side("b", {"x": 1.0}, created="?"))
        .differences[0]
        .text.startswith("the runs did not take turns: ")
    )


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
        ({"sample": {"stamp": "user"}}, "stamp", "warning", "x: arrivals were not stamped by the same clock"),
        (
            {"backend": {"launch": ["serve", "--threads", "4", "--port", "{port}", "--fa"]}},
            "launch",
            "note",
            "x: different launch commands: A --threads 2, B --threads 4 --fa",
        ),
    ],
)
def test_what_differs_is_told_with_its_level(change: dict[str, Any], code: str, level: str, text: str) -> None:
    usual: dict[str, Any] = {
        "state": {"threads": 4, "version": "b1"},
        "backend": {"launch": ["serve", "--threads", "2", "--port", "{port}"]},
        "sample": {"stamp": "kernel"},
    }
    now = usual | {k: usual[k] | v if k in usual else v for k, v in change.items()}
    found = told(held(side("a", {"x": 1.0}, **usual), side("b", {"x": 1.0}, **now)))
    assert set(found) == {code, "not-interleaved"}
    assert found[code][0] == level and found[code][1].startswith(text)


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
def test_machines_and_their_conditions_are_compared(change: dict[str, Any], code: str, level: str, text: str) -> None:
    was = msgspec.structs.replace(MACHINE, load_1m=0.3, memory_bytes=2**33)
    b = side("b", {"x": 1.0}, machine=msgspec.structs.replace(was, **change))
    found = told(held(side("a", {"x": 1.0}, machine=was), b))
    assert set(found) == {code, "not-interleaved"}
    assert found[code][0] == level and found[code][1].startswith(text)


def test_memory_that_a_kernel_counts_otherwise_is_the_same() -> None:
    a = side("a", {"x": 1.0}, machine=msgspec.structs.replace(MACHINE, memory_bytes=8_100_000_000))
    b = side("b", {"x": 1.0}, machine=msgspec.structs.replace(MACHINE, memory_bytes=8_000_000_000))
    assert "machine" not in told(held(a, b))


def test_other_company_is_told() -> None:
    found = held(side("a", {"x": 1.0, "y": 1.0}), side("b", {"x": 1.0}))
    assert told(found)["company"][1].startswith("different sets of backends: A x, y; B x: ")


def test_answers_are_compared_only_where_the_prompts_were_the_same() -> None:
    same: dict[str, Any] = {"fresh_prompt": False, "state": {"weights": "Q8_0"}}
    a = side("a", {"x": 1.0}, sample={"text": "one thing", "cached_tokens": 0}, **same)
    b = side("b", {"x": 1.0}, sample={"text": "other thing", "cached_tokens": 0}, **same)
    assert told(held(a, b))["answers-differ"][1].startswith("x: A and B answered the same prompt")
    other = side("b", {"x": 1.0}, sample={"text": "other thing", "cached_tokens": 0}, prompt="else", **same)
    assert "answers-differ" not in told(held(a, other))


def test_a_difference_no_larger_than_our_own_error_is_told() -> None:
    found = held(side("a", {"x": 1.0}), side("b", {"x": 1.02}), record=record(0.015))
    assert found.outcomes[0].shown == "slower"
    assert told(found)["own-error"][1].startswith("x: A and B differ by ")
    assert "own-error" not in told(held(side("a", {"x": 1.0}), side("b", {"x": 1.02}), record=record(0.001)))


@pytest.mark.parametrize(
    ("ratio", "noise", "percent", "broken", "silent"),
    [
        (1.10, 0.005, 5.0, 1, 0),
        (1.03, 0.005, 5.0, 0, 0),  # shown, and below the gate
        (0.80, 0.005, 5.0, 0, 0),
        (1.00, 0.005, 5.0, 0, 0),
        (1.00, 0.100, 5.0, 0, 1),  # as much would not have been shown
    ],
)
def test_a_gate_fails_on_what_is_shown_and_larger(
    ratio: float, noise: float, percent: float, broken: int, silent: int
) -> None:
    found = held(side("a", {"x": 1.0}, noise=noise), side("b", {"x": ratio}, noise=noise))
    assert tuple(map(len, gate(found, percent))) == (broken, silent)


def test_a_gate_fails_where_a_backend_gives_nothing_any_more() -> None:
    found = held(side("a", {"x": 1.0, "y": 0}), side("b", {"x": 0, "y": 0}))
    broken, silent = gate(found, 5)
    assert [s[:2] for s in broken] == ["x:"] and [s[:2] for s in silent] == ["y:"]


def test_names_of_others_are_plain_text() -> None:
    evil = "x\x1b]52;c;EVIL\x07\u202e"
    a, b = side("a", {evil: 1.0}, state={"version": evil}), side("b", {evil: 1.0}, state={"version": "b2" + evil})
    for found in (held(a, b), held(a, b, (evil, evil))):
        texts = [o.sentence for o in found.outcomes] + [d.text for d in found.differences]
        assert texts and all(t.isprintable() and "EVIL" not in t for t in texts)


def test_a_faster_backend_that_fails_breaks_the_gate_and_says_so() -> None:
    found = held(side("a", {"s": 1.0}, n=10), side("b", {"s": 0.9}, n=20, failed={"s": 12}))
    (s,) = found.outcomes
    assert s.shown == "faster" and (s.failed_a, s.tried_a, s.failed_b, s.tried_b) == (0, 10, 12, 20)
    assert s.sentence.startswith("s: A takes 1.1") and s.sentence.endswith(
        "; but B failed in 12 of 20 iterations, A in none"
    )
    assert gate(found, 5) == ([s.sentence], [])
    assert told(found)["failed-iterations"][0] == "warning"


@pytest.mark.parametrize(
    ("in_a", "in_b", "percent", "broken", "silent", "said"),
    [
        (0, 6, 5.0, 1, 0, "; but B failed in 6 of 12 iterations, A in none"),
        (0, 3, 5.0, 0, 1, "; but B failed in 3 of 12 iterations, A in none (may be chance)"),
        (0, 3, 40.0, 0, 0, "; but B failed in 3 of 12 iterations, A in none (may be chance)"),
        (2, 3, 10.0, 0, 0, "; but B failed in 3 of 12 iterations, A in 2 of 12 (may be chance)"),
        (3, 3, 5.0, 0, 0, ""),
        (6, 0, 5.0, 0, 0, ""),
    ],
)
def test_a_gate_fails_on_failures_that_are_no_chance(
    in_a: int, in_b: int, percent: float, broken: int, silent: int, said: str
) -> None:
    a, b = (side(run, {"x": 1.0}, noise=0.002, failed={"x": f}) for run, f in (("a", in_a), ("b", in_b)))
    found = held(a, b)
    assert tuple(map(len, gate(found, percent))) == (broken, silent)
    assert found.outcomes[0].sentence.partition("%")[2] == said


def test_what_a_backend_that_gave_up_did_not_come_to_has_failed() -> None:
    up = {"planned": 40, "state": "failed", "failure": Failure(kind="server", message="the server ended")}
    found = held(side("a", {"x": 1.0}), side("b", {"x": 1.0}, failed={"x": 1}, state=up))
    assert (found.outcomes[0].failed_b, found.outcomes[0].tried_b) == (29, 40)
    assert len(gate(found, 5)[0]) == 1
    stopped = held(side("a", {"x": 1.0}), side("b", {"x": 1.0}, state={"planned": 40, "state": "stopped"}))
    assert stopped.outcomes[0].failed_b == 0, "by the user: that says nothing of the backend"


def failures(in_a: int, of_a: int, in_b: int, of_b: int) -> Outcome:
    found = held(side("a", {"x": 1.0}, n=6), side("b", {"x": 1.0}, n=6)).outcomes[0]
    return msgspec.structs.replace(found, failed_a=in_a, tried_a=of_a, failed_b=in_b, tried_b=of_b)


@pytest.mark.parametrize("size", [6, 10, 17])
def test_uneven_failures_are_shown_as_the_exact_test_has_it(size: int) -> None:
    for in_a in range(size + 1):
        for in_b in range(size + 1):
            both = in_a + in_b
            ways = sum(math.comb(size, n) * math.comb(size, both - n) for n in range(in_b, min(both, size) + 1))
            shown = in_b > in_a and 20 * ways <= math.comb(2 * size, both)
            assert failures(in_a, size, in_b, size).fails_more == shown, (in_a, in_b)


def test_failures_of_long_runs_are_weighed_at_once() -> None:
    began = time.process_time()
    assert not failures(5_000, 100_000, 5_100, 100_000).fails_more
    assert failures(5_000, 100_000, 5_400, 100_000).fails_more
    assert not failures(0, 0, 0, 0).fails_more
    assert time.process_time() - began < 5


def test_what_cannot_be_divided_by_is_said_and_not_called_a_lack_of_samples() -> None:
    found = held(
        side("a", {"x": 1.0}, sample={"itl_s": 0.01}), side("b", {"x": 1.0}, sample={"itl_s": 0.0}), metric="itl"
    )
    (x,) = found.outcomes
    assert x.sentence == "x: nothing to compare by ITL: 12 samples of B are 0" and x.comparison is None
    assert gate(found, 5) == ([], [x.sentence])
