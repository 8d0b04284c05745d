"""The gate of `compare`: what breaks it, when it holds, and what it leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.stats.gate import gate
from tests.stats.sides import compared, differences, side

TO_TELL = "; measure several runs of each side and add --runs 5, or race a second backend in both runs"


def gated(now: dict[str, float], percent: float = 5.0, **more: Any) -> tuple[list[str], list[str]]:
    """The gate for backends that took 1 s before, and this long now."""
    return gate(compared(side("l", dict.fromkeys(now, 1.0), **more), side("o", now, **more)), percent)


@pytest.mark.parametrize(
    ("x", "noise", "broken", "silent"),
    [
        (1.10, 0.005, 1, 0),
        (1.03, 0.005, 0, 0),  # shown, and surely below the gate
        (0.80, 0.005, 0, 0),
        (1.00, 0.005, 0, 0),
        (1.05, 0.005, 0, 1),  # as slow as the gate: neither broken nor excluded
        (1.00, 0.100, 0, 1),  # a slowdown of 5% is not excluded
        (1.05, 0.030, 0, 1),  # not shown, and not excluded
    ],
)
def test_the_gate_holds_only_if_a_slowdown_of_its_size_is_excluded(
    x: float, noise: float, broken: int, silent: int
) -> None:
    found = gated({"x": x, "y": 1.0, "z": 1.0}, noise=noise)
    assert [sum(s.startswith("x:") for s in sentences) for sentences in found] == [broken, silent]


@pytest.mark.parametrize(("x", "broken", "silent"), [(1.08, 0, 1), (1.15, 1, 0), (1.0, 0, 0)])
def test_what_another_launch_may_do_breaks_nothing(x: float, broken: int, silent: int) -> None:
    found = gated({"x": x, "y": 1.0, "z": 1.0}, backend={"launch": ["server"]})
    sentences = [[s for s in sentences if s.startswith("x:")] for sentences in found]
    assert [len(one) for one in sentences] == [broken, silent]
    assert all(s.endswith("measure several runs of each side and add --runs 5") for s in sentences[1])


def test_one_run_of_a_single_backend_leaves_it_open_and_says_what_to_do() -> None:
    for median in (1.0, 1.5):
        broken, silent = gated({"x": median})
        assert not broken and len(silent) == 1 and silent[0].endswith(TO_TELL)


def test_a_common_slowdown_beyond_the_gate_is_open() -> None:
    broken, (sentence,) = gated(dict.fromkeys("xyz", 1.08))
    assert not broken and sentence.startswith("all 3 backends are ") and sentence.endswith("looks like the machine")
    assert gated(dict.fromkeys("xyz", 1.02)) == ([], [])
    assert gated(dict.fromkeys("xyz", 0.9)) == ([], [])


def test_a_common_slowdown_of_several_runs_breaks_it() -> None:
    befores = [side(f"a{n}", dict.fromkeys("xy", 1 + n / 100)) for n in range(3)]
    afters = [side(f"b{n}", dict.fromkeys("xy", 1.1 + n / 100)) for n in range(3)]
    result = compared(befores[-1], afters[-1], before=befores[:-1], after=afters[:-1])
    broken, silent = gate(result, 5)
    assert [s.partition(" are ")[0] for s in broken] == ["both backends"] and not silent


def test_of_two_backends_the_one_that_became_faster_breaks_nothing() -> None:
    broken, silent = gated({"x": 1.09, "y": 1.0})
    assert [s[:2] for s in broken] == ["x:"] and not silent
    broken, silent = gated({"x": 0.9, "y": 1.0})
    assert not broken and [s[:2] for s in silent] == ["y:"]


def test_a_backend_without_samples_in_b_breaks_it() -> None:
    result = compared(side("a", {"x": 1.0, "y": 0}), side("b", {"x": 0, "y": 0}))
    broken, silent = gate(result, 5)
    assert [s[:2] for s in broken] == ["x:"] and [s[:2] for s in silent] == ["y:"]


def test_a_faster_backend_that_fails_more_breaks_it() -> None:
    a = side("a", {"s": 1.0, "t": 1.0, "u": 1.0}, n=10)
    result = compared(a, side("b", {"s": 0.9, "t": 1.0, "u": 1.0}, n=20, failed={"s": 12}))
    s = result.outcomes[0]
    assert (s.failed_a, s.tried_a, s.failed_b, s.tried_b) == (0, 10, 12, 20)
    assert s.sentence.endswith("; but B failed in 12 of 20 iterations, A in none")
    assert s.sentence in gate(result, 5)[0]
    assert differences(result)["failed-iterations"][0] == "warning"


@pytest.mark.parametrize(
    ("in_a", "in_b", "percent", "broken", "silent", "words"),
    [
        (0, 6, 5.0, 1, 0, "; but B failed in 6 of 12 iterations, A in none"),
        (0, 3, 5.0, 0, 1, "; but B failed in 3 of 12 iterations, A in none (may be chance)"),
        (0, 3, 40.0, 0, 0, "; but B failed in 3 of 12 iterations, A in none (may be chance)"),
        (2, 3, 10.0, 0, 0, "; but B failed in 3 of 12 iterations, A in 2 of 12 (may be chance)"),
        (3, 3, 5.0, 0, 0, ""),
        (6, 0, 5.0, 0, 0, ""),
    ],
)
def test_more_failures_than_chance_break_it(
    in_a: int, in_b: int, percent: float, broken: int, silent: int, words: str
) -> None:
    sides = [
        side(run, {"x": 1.0, "y": 1.0, "z": 1.0}, noise=0.002, failed={"x": f}) for run, f in (("l", in_a), ("o", in_b))
    ]
    result = compared(sides[0], sides[1])
    assert tuple(map(len, gate(result, percent))) == (broken, silent)
    assert result.outcomes[0].sentence.endswith(words or "% or more)")


def test_failures_are_corrected_for_the_number_of_backends() -> None:
    names = dict.fromkeys("vwxyz", 1.0)
    alone = compared(side("a", {"v": 1.0}), side("b", {"v": 1.0}, failed={"v": 5})).outcomes[0]
    among = compared(side("a", names), side("b", names, failed={"v": 5})).outcomes[0]
    assert alone.fails_more and not among.fails_more
    assert among.failing_p == pytest.approx(5 * alone.failing_p)
