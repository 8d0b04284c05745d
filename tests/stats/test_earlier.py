"""Which earlier runs count, and what they tell."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from llmtui.model import Backend, Iteration
from llmtui.stats.earlier import launch_means, usable
from llmtui.stats.same_work import same_backend, same_work
from tests import build


def samples(name: str, seconds: list[float], **fields: Any) -> list[Iteration]:
    return [build.iteration(name, k, s, **fields) for k, s in enumerate(seconds, start=1)]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"iterations": 50, "warmup": 0, "seed": 5, "cooldown_s": 1.0, "order": "round-robin"}, True),
        ({"prompt": "x" * 100}, True),
        ({"prompt": "x" * 105}, False),
        ({"prompt": "x" * 25}, False),
        ({"max_tokens": 65}, False),
        ({"full_length": False}, False),
        ({"temperature": 0.1}, False),
        ({"fresh_prompt": False}, False),
        ({"threads": 3}, False),
        ({"model": "/other.gguf"}, False),
    ],
)
def test_work_is_the_same_up_to_the_length_of_the_prompt(change: dict[str, Any], same: bool) -> None:
    usual: dict[str, Any] = {"prompt": "y" * 52}
    one, two = build.plan("a", **usual), build.plan("a", **(usual | change))
    assert same_work(one, two) is same
    assert same_work(two, one) is same


def test_a_fresh_line_in_another_message_is_other_work() -> None:
    plan = build.plan("a")
    assert not same_work(plan, msgspec.structs.replace(plan, fresh_role="system"))
    without = build.plan("a", fresh_prompt=False)
    assert same_work(without, msgspec.structs.replace(without, fresh_role="system"))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"hint": "start it", "language": "Rust"}, True),
        ({"name": "other"}, False),
        ({"framework": "vLLM"}, False),
        ({"launch": ["serve", "--fast"]}, False),
        ({"weights": "F32"}, False),
        ({"options": {"top_k": 1}}, False),
        ({"program": "/opt/new/serve"}, True),
        ({"env": {"N": "2"}}, False),
        ({"launch": [], "server": "ollama"}, False),
        ({"launch": [], "embedded": "llama.cpp"}, False),
    ],
)
def test_a_backend_is_the_same_by_name_and_settings(change: dict[str, Any], same: bool) -> None:
    usual: dict[str, Any] = {"name": "a", "launch": ["serve"]}
    assert same_backend(Backend(**usual), Backend(**(usual | change))) is same


def test_a_run_needs_six_samples_that_were_mostly_not_disturbed() -> None:
    assert usable(samples("a", [1.0] * 6))
    assert not usable(samples("a", [1.0] * 5))
    quiet, busy = samples("a", [1.0] * 3, foreign_cpu=0.0), samples("a", [1.0] * 4, foreign_cpu=1.5)
    assert usable([*quiet, *busy[:3]])
    assert not usable([*quiet, *busy])


def in_turns(name: str, seconds: list[float], turn: int, fields: list[dict[str, Any]] | None = None) -> list[Iteration]:
    return [
        build.iteration(
            name, k, s, started_utc=f"2026-11-22T12:00:{2 * k + turn:02}Z", **(fields[k - 1] if fields else {})
        )
        for k, s in enumerate(seconds, start=1)
    ]


def test_the_ratio_of_one_launch_is_the_mean_over_its_rounds() -> None:
    means = launch_means(in_turns("a", [2.0, 8.0] * 3, 0), in_turns("b", [1.0] * 6, 1))
    (mean,) = means["latency"]
    assert mean.value == pytest.approx(math.log(4))
    assert set(means) == {"latency"}


def test_every_launch_of_both_has_a_ratio_of_its_own() -> None:
    fields = [{"launch": 1 + k // 2} for k in range(6)]
    one, two = in_turns("a", [2.0, 2.0, 4.0, 4.0, 8.0, 8.0], 0, fields), in_turns("b", [1.0] * 6, 1, fields)
    assert [math.exp(mean.value) for mean in launch_means(one, two)["latency"]] == pytest.approx([2, 4, 8])
    resumed = in_turns("a", [2.0, 2.0, 2.0, 4.0, 4.0, 4.0], 0, [{"part": 1 + k // 3} for k in range(6)])
    assert [math.exp(mean.value) for mean in launch_means(resumed, in_turns("b", [1.0] * 6, 1))["latency"]] == (
        pytest.approx([2, 4])
    )


def test_few_rounds_and_rounds_out_of_turn_have_no_ratio() -> None:
    one, two = in_turns("a", [1.0] * 6, 0), in_turns("b", [1.0] * 6, 1)
    assert launch_means(one[:5], two) == {}
    assert launch_means(one, in_turns("b", [1.0] * 6, 40)) == {}
