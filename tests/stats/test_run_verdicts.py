"""What two runs can and cannot show: relative to other backends, by several runs, by earlier runs, or not at all."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest

from llmtui.stats.gate import gate
from llmtui.stats.relative import relative_changes
from llmtui.stats.run_changes import Change
from llmtui.stats.run_differences import Side
from llmtui.stats.run_outcomes import Across, Outcome
from tests.stats.sides import compared, differences, side


def wandered(run: str, medians: dict[str, float], speed: float, **more: Any) -> Side:
    """A run on a machine on which everything takes `speed` times as long."""
    return side(run, {name: speed * median for name, median in medians.items()}, **more)


def several(word: str, median: float, count: int, wander: float = 0.03) -> list[Side]:
    """Runs of one backend on a machine whose speed changes from run to run."""
    rng = random.Random(word)
    return [wandered(f"{word}{n}", {"x": median}, math.exp(rng.gauss(0, wander))) for n in range(count)]


def names_of(outcome: Outcome) -> tuple[str, list[str]]:
    return outcome.shown, outcome.others


def test_a_change_of_the_machine_is_not_one_of_a_backend() -> None:
    same = dict.fromkeys("xyz", 1.0)
    result = compared(side("l", same), wandered("o", same, 1.08))
    assert [o.shown for o in result.outcomes] == ["", "", ""]
    assert result.outcomes[0].sentence.startswith(
        "x: no clear change relative to y and z (12 rounds each would reveal "
    )
    slowdown = result.outcomes[0].slowdown
    assert slowdown is not None and slowdown[0] == pytest.approx(1.08, rel=0.01)
    assert slowdown[1:] == (None, None), "no interval holds between runs"
    (common,) = result.common
    assert common.shown == "slower" and common.real is None
    assert common.sentence.startswith("all 3 backends are 7.") and common.sentence.endswith(
        "% slower in B: that looks like the machine"
    )
    assert differences(result)["not-interleaved"][0] == "note"


def test_the_one_that_changed_does_not_make_the_others_faster() -> None:
    same = dict.fromkeys("xyz", 1.0)
    result = compared(side("l", same), wandered("o", same | {"y": 1.1}, 0.95))
    assert list(map(names_of, result.outcomes)) == [("", ["z"]), ("slower", ["x", "z"]), ("", ["x"])]
    y = result.outcomes[1]
    assert y.sentence.startswith("y: B takes 1.10x as long as A, relative to x and z (95%: 1.10 to 1.1")
    assert y.slowdown is not None and y.slowdown[0] == pytest.approx(1.045, rel=0.01)
    assert y.relative is not None and y.relative[1] is not None and y.relative[2] is not None
    assert y.relative[1] < 1.1 < y.relative[2] and not y.mutual
    assert result.common[0].backends == ["x", "z"]
    assert result.common[0].sentence.startswith("x and z are ") and "faster in B" in result.common[0].sentence


def test_two_backends_cannot_show_which_one_changed() -> None:
    result = compared(side("a", {"x": 1.0, "y": 1.0}), side("b", {"x": 1.1, "y": 1.0}))
    x, y = result.outcomes
    assert (x.shown, y.shown, x.mutual, y.mutual) == ("slower", "faster", True, True)
    assert x.sentence.startswith("x: B takes 1.10x as long as A, relative to y (95%: ")
    assert x.sentence.endswith("; two backends cannot show which of them changed")
    assert x.comparison is not None and x.comparison.pairs == 1, "it is one test"


def test_a_backend_with_the_same_setup_is_the_reference() -> None:
    a = side("a", {"x": 1.0, "y": 1.0})
    b = side("b", {"x": 1.0, "y": 1.1})
    contenders = dict(b.contenders)
    changed = side("b", {"x": 1.0, "y": 1.1}, state={"version": "b2"}).contenders["y"]
    contenders["y"] = changed
    x, y = compared(a, dataclasses.replace(b, contenders=contenders)).outcomes
    assert names_of(y) == ("slower", ["x"]) and not y.mutual
    assert x.reference and x.comparison is None
    assert x.sentence == "x: the others are compared with it, as its setup is the same in both runs"


def test_one_run_of_each_side_decides_nothing_about_a_single_backend() -> None:
    result = compared(side("a", {"x": 1.0}), side("b", {"x": 1.3}))
    (x,) = result.outcomes
    assert (x.shown, x.basis, result.common) == ("", "apart", [])
    assert x.sentence.startswith("x: B took 1.30x as long as A between these two runs; one run of each cannot tell ")
    assert "%" not in x.sentence
    assert x.slowdown is not None and x.slowdown[0] == pytest.approx(1.3, rel=0.01)
    assert x.slowdown[1:] == (None, None)
    level, text = differences(result)["not-interleaved"]
    assert level == "warning" and text.endswith("looks like a change of a backend")


def test_a_rate_is_slower_when_it_is_lower() -> None:
    a, b = (side(run, {"x": median}) for run, median in (("a", 1.0), ("b", 1.3)))
    (x,) = compared(a, b, metric="tokens_per_s").outcomes
    assert x.sentence.startswith("x: A gave 1.30x as many tokens/s as B between these two runs")
    a, b = (side(run, {"x": median, "y": 1.0, "z": 1.0}) for run, median in (("l", 1.0), ("o", 1.3)))
    x = compared(a, b, metric="tokens_per_s").outcomes[0]
    assert x.shown == "slower" and x.median_a is not None and x.median_b is not None and x.median_a > x.median_b
    assert x.sentence.startswith("x: A gives 1.30x as many tokens/s as B, relative to y and z (95%")


def test_several_runs_of_each_side_are_the_samples() -> None:
    before, after = several("a", 1.0, 5), several("b", 1.2, 5)
    result = compared(before[-1], after[-1], before=before[:-1], after=after[:-1])
    (x,) = result.outcomes
    assert (x.shown, x.basis, x.runs, x.n_a) == ("slower", "runs", (5, 5), 60)
    assert x.sentence.startswith("x: B takes 1.") and " (95% over 5 runs each: 1." in x.sentence
    assert result.runs == ([f"a{n}" for n in range(5)], [f"b{n}" for n in range(5)])
    before, after = several("c", 1.0, 5), several("d", 1.0, 4)
    (x,) = compared(before[-1], after[-1], before=before[:-1], after=after[:-1]).outcomes
    assert x.shown == "" and "x: no clear change (5 and 4 runs would reveal one of " in x.sentence


def sides_of(factors: dict[str, float], count: int = 5, wander: float = 0.005) -> tuple[list[Side], list[Side]]:
    """Runs before and after, in which the backends take `factors` times as long."""
    rng = random.Random(str(factors))

    def runs(word: str, medians: dict[str, float]) -> list[Side]:
        return [wandered(f"{word}{n}", medians, math.exp(rng.gauss(0, wander))) for n in range(count)]

    return runs("a", dict.fromkeys(factors, 1.0)), runs("b", factors)


def compared_sides(factors: dict[str, float], **more: Any) -> Across:
    befores, afters = sides_of(factors, **more)
    return compared(befores[-1], afters[-1], before=befores[:-1], after=afters[:-1])


def test_several_runs_show_which_of_two_backends_changed() -> None:
    result = compared_sides({"x": 1.12, "y": 1.0})
    x, y = result.outcomes
    assert (x.shown, y.shown, x.others, y.others, x.mutual) == ("slower", "", [], [], False)
    assert x.sentence.startswith("x: B takes 1.1") and " as long as A (95% over 5 runs each: " in x.sentence
    assert y.sentence.startswith("y: no clear change (5 runs each would reveal one of ")
    assert not result.common, "they have nothing in common"
    broken, silent = gate(result, 5)
    assert (broken, silent) == ([x.sentence], []), "the gate fails once, for the one that changed"


def test_of_two_backends_that_changed_unequally_each_is_told_alone() -> None:
    result = compared_sides({"x": 1.12, "y": 1.04})
    assert [(o.shown, o.others) for o in result.outcomes] == [("slower", []), ("slower", [])]
    result = compared_sides({"x": 1.1, "y": 0.9})
    assert [(o.shown, o.others) for o in result.outcomes] == [("slower", []), ("faster", [])]


def test_the_one_that_stayed_is_not_faster_than_those_that_changed() -> None:
    result = compared_sides({"x": 1.12, "y": 1.12, "z": 1.0})
    x, y, z = result.outcomes
    assert (x.shown, y.shown, z.shown, z.others) == ("", "", "", [])
    (common,) = result.common
    assert common.backends == ["x", "y"] and common.real and common.shown == "slower"
    assert gate(result, 5)[0] == [common.sentence]


def test_where_runs_differ_as_much_two_backends_do_not_show_which_one_changed() -> None:
    x, y = compared_sides({"x": 1.1, "y": 1.0}, wander=0.2).outcomes
    assert (x.shown, y.shown, x.mutual, y.mutual) == ("slower", "faster", True, True)


def test_all_are_slower_only_if_each_of_them_is_shown_to_be() -> None:
    """One of three is undecided by its own runs, and their mean is not."""
    speeds = {"x": (1.0,) * 4, "y": (1.0,) * 4, "z": (0.9, 1.1, 0.9, 1.1)}
    befores = [side(f"a{n}", {name: of[n] for name, of in speeds.items()}) for n in range(4)]
    afters = [side(f"b{n}", {name: 1.06 * of[3 - n] for name, of in speeds.items()}) for n in range(4)]
    result = compared(befores[-1], afters[-1], before=befores[:-1], after=afters[:-1])
    assert [o.shown for o in result.outcomes] == ["", "", ""]
    (common,) = result.common
    assert (
        common.shown == "" and common.sentence.startswith("all 3 backends are ") and " on average: " in common.sentence
    )
    assert gate(result, 5)[0] == [] and gate(result, 5)[1][-1] == common.sentence


def test_the_spread_between_earlier_runs_widens_the_interval() -> None:
    history, b = several("a", 1.0, 12), side("b", {"x": 1.04})
    (x,) = compared(history[-1], b, earlier=history).outcomes
    assert (x.shown, x.basis, x.earlier) == ("", "runs", 12)
    assert "no clear change (12 iterations each and 12 earlier runs would reveal one of " in x.sentence
    (x,) = compared(history[-1], side("b", {"x": 1.4}), earlier=history).outcomes
    assert x.shown == "slower" and " (95% over 12 iterations each and 12 earlier runs: 1." in x.sentence
    (x,) = compared(history[-1], b, earlier=history[-4:]).outcomes
    assert x.basis == "apart", "four runs are too few for a spread"


def test_a_common_change_is_real_if_runs_alike_differ_less() -> None:
    same = dict.fromkeys("xyz", 1.0)
    befores = [wandered(f"a{n}", same, speed) for n, speed in enumerate((1.0, 1.01, 0.99))]
    for speed, real, words in (
        (1.1, True, ": that is more than such runs differ"),
        (1.015, False, ": such runs differ as much"),
    ):
        afters = [wandered(f"b{n}", same, speed * more) for n, more in enumerate((1.0, 1.01, 0.99))]
        result = compared(befores[-1], afters[-1], before=befores[:-1], after=afters[:-1])
        assert [o.shown for o in result.outcomes] == ["", "", ""]
        assert result.common[0].real is real and words in result.common[0].sentence


def test_backends_that_did_not_take_turns_are_not_a_reference() -> None:
    result = compared(side("a", dict.fromkeys("xyz", 1.0)), side("b", dict.fromkeys("xyz", 1.0), in_turns=False))
    assert {o.basis for o in result.outcomes} == {"apart"} and not result.common


def test_one_launch_in_each_run_is_reported() -> None:
    launched = {"launch": ["serve", "--port", "{port}"]}
    same = dict.fromkeys("xyz", 1.0)
    befores = [side(f"l{n}", same, backend=launched) for n in range(5)]
    b = side("o", same | {"y": 1.1}, backend=launched)
    level, text = differences(compared(befores[-1], b))["one-launch"]
    assert level == "warning" and text.startswith("y: each run launched the server once")
    assert "one-launch" not in differences(compared(befores[-1], b, earlier=befores))
    assert "one-launch" not in differences(compared(side("l", same), side("o", same | {"y": 1.1})))


def test_backends_without_a_complete_round_are_not_compared_with_one_another() -> None:
    a = side("a", dict.fromkeys("xyz", 1.0), n=4, failed={"x": 2})
    b = side("b", dict.fromkeys("xyz", 1.0), n=4, late={"y": 2}, failed={"x": 2})
    assert [o.basis for o in compared(a, b).outcomes] == ["runs", "apart", "runs"]
    nothing = Change("latency", 0.95, [[]], [[0.1, 0.2]])
    assert relative_changes([0, 1, 2], [], lambda key, others: nothing, 0.95) == {}


def test_few_and_no_samples() -> None:
    result = compared(side("a", {"x": 1.0, "y": 1.0, "z": 0}, n=3), side("b", {"x": 2.0, "y": 0, "z": 0}, n=4))
    x, y, z = result.outcomes
    assert x.sentence.startswith("x: B took 2.01x as long as A between these two runs; one run of each ")
    assert x.slowdown is not None and x.slowdown[1:] == (None, None)
    assert y.sentence == "y: nothing to compare: B has no samples (failed: ended with exit code 1)"
    assert z.sentence == "z: nothing to compare: neither has samples"
    assert (y.n_a, y.n_b, y.slowdown, y.median_b) == (3, 0, None, None)
    result = compared(side("a", {"x": 1.0, "y": 1.0}, n=3), side("b", {"x": 2.0, "y": 1.0}, n=3))
    assert result.outcomes[0].sentence == "x: no verdict: 3 rounds each are too few"


def test_a_difference_that_may_be_chance_is_no_verdict() -> None:
    same = dict.fromkeys("abcdefghij", 1.0)
    a = side("a", same, noise=0.02)
    outcomes_of_d = [compared(a, side("b", same | {"d": 1 + n / 500}, noise=0.02)).outcomes[3] for n in range(0, 30, 2)]
    assert outcomes_of_d[0].shown == "" and outcomes_of_d[-1].shown == "slower"
    chance = [o for o in outcomes_of_d if "may be chance among 10 backends" in o.sentence]
    assert chance, "between them, an interval excludes 1 and its p does not survive the correction"
    for outcome in chance:
        assert outcome.shown == "" and outcome.sentence.startswith("d: no verdict: B takes 1.0")
        assert outcome.relative is not None and outcome.relative[1] is not None and outcome.relative[1] > 1


def test_equal_runs_only_report_that_they_did_not_take_turns() -> None:
    result = compared(side("a", {"x": 1.0}), side("b", {"x": 1.0}, created="2026-11-22T15:10:00.000Z"))
    assert list(differences(result)) == ["not-interleaved"]
    assert differences(result)["not-interleaved"][1].startswith("B started 3 hours after A: ")
    undated = compared(side("a", {"x": 1.0}), side("b", {"x": 1.0}, created="?"))
    assert undated.differences[0].text.startswith("the runs did not take turns: ")


def test_backends_of_one_run_are_paired_by_round() -> None:
    one = side("a", {"x": 1.0, "y": 1.3})
    result = compared(one, one, ("x", "y"))
    (pair,) = result.outcomes
    assert pair.comparison is not None and pair.comparison.paired and not pair.others
    assert pair.sentence.startswith("y takes 1.30x as long as x (95%")
    assert pair.slowdown is not None and pair.slowdown[1] is not None
    assert "not-interleaved" not in differences(result) and (result.rest_a, result.rest_b) == ([], [])
    turned = compared(one, one, ("y", "x")).outcomes[0]
    assert turned.shown == "faster" and turned.sentence.startswith("y takes 1.30x as long as x")
