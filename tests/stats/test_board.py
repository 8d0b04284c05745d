"""The board: which backend is the best, and the ratios of the others to it."""

from __future__ import annotations

import itertools
import random

import pytest

from llmtui.model import Iteration, IterationDone
from llmtui.stats.board import Board, board, narrow
from llmtui.stats.metrics import MetricKey
from llmtui.stats.rounds import Rounds
from tests import build
from tests.stats.build import iteration, raced


def placed(*columns: list[float], unlike: frozenset[str] = frozenset(), level: float = 0.95) -> Board:
    """The board of backends a, b, c... with these latencies round by round; those `unlike` differ from the others."""
    names = "abcdefghi"[: len(columns)]
    samples = {
        name: [build.iteration(name, n, latency, started_utc=f"{n:06}") for n, latency in enumerate(column, 1)]
        for name, column in zip(names, columns, strict=True)
    }

    def comparable(metric: MetricKey, one: str, two: str) -> bool:
        return (one in unlike) == (two in unlike)

    return board(samples, "latency", ("tpot",), comparable, level)


def noisy(base: float, n: int = 12, seed: int = 1) -> list[float]:
    rng = random.Random(f"{base} {seed}")
    return [base * (1 + rng.gauss(0, 0.01)) for _ in range(n)]


def test_standings_are_in_the_order_of_their_ratios() -> None:
    made = placed(noisy(1.3), noisy(1.0), noisy(2.4))
    assert (made.best, made.fastest) == ("b", "b")
    assert [s.name for s in made.standings] == ["b", "a", "c"]
    assert made.standings[0].figure == "1.00" and made.standings[0].span == ""
    assert made.standings[2].figure.startswith("2.4") and " to " in made.standings[2].span


def test_best_is_the_one_that_no_other_is_ahead_of_by_rounds() -> None:
    """In three of five rounds `a` is a little faster, in two much slower: by medians it leads."""
    made = placed([1.0, 1.5, 1.0, 1.5, 1.0] * 6, [1.1 + n / 1e4 for n in range(30)])
    assert made.best == "b" and made.standing("a").ratio is not None and made.standing("a").figure > "1.00"


def test_circle_has_no_fastest_and_no_ratio_below_1() -> None:
    """Round by round a beats b, b beats c, c beats a."""
    made = placed([1.0, 2.0, 3.0] * 10, [2.0, 3.0, 1.0] * 10, [3.0, 1.0, 2.0] * 10)
    assert made.best == "a" or made.fastest == ""
    assert all(s.ratio is not None and s.ratio >= 1 for s in made.standings)


def test_unequal_work_has_no_ratio_and_the_larger_group_leads() -> None:
    made = placed(noisy(0.4), noisy(1.0), noisy(1.2), unlike=frozenset("a"))
    assert (made.metric, made.best) == ("latency", "b")
    assert [(s.name, s.figure) for s in made.standings][2] == ("a", "differs")
    assert [c.rivals for c in made.comparisons] == [2]


def test_without_a_comparable_pair_there_is_no_best() -> None:
    made = placed(noisy(0.4), noisy(1.0), unlike=frozenset("a"))
    assert (made.metric, made.best, made.comparisons) == (None, "", [])
    assert {made.row(name).figure for name in "ab"} == {"differs"}


def test_one_backend_and_none() -> None:
    assert placed(noisy(1.0)).standing("a").figure == "1.00"
    assert placed([0.0] * 5).standing("a").figure == "-"
    assert placed().standings == []


def test_best_stays_when_the_order_of_the_plan_changes() -> None:
    rng = random.Random(5)
    for _ in range(6):
        columns = [noisy(1 + rng.random() / 50, seed=seed) for seed in range(4)]
        orders = list(itertools.permutations(range(4)))
        bests = {order["abcd".index(placed(*(columns[n] for n in order)).best)] for order in orders}
        assert len(bests) == 1


def test_rerun_is_compared_without_rounds() -> None:
    run_view = raced(1.0, 1.3)
    run_view.apply(build.changed("a", attempt=2, planned=10, weights="Q8_0"))
    for n in range(1, 11):
        again = iteration("a", n, 1.0 + n / 1000, attempt=2, started_utc=f"2026-11-22T15:00:{n:02}Z")
        run_view.apply(IterationDone(iteration=again))
    (comparison,) = run_view.verdict().board.comparisons
    assert not comparison.paired
    assert run_view.verdict().board.standing("b").figure == comparison.figures[0]


def test_intervals_are_narrow_from_some_rounds_on() -> None:
    def samples(n: int) -> dict[str, list[Iteration]]:
        return {
            name: [build.iteration(name, k, latency, started_utc=f"{k:06}") for k, latency in enumerate(column, 1)]
            for name, column in (("a", noisy(1.0, n)), ("b", noisy(1.1, n)), ("c", noisy(1.2, n)))
        }

    assert not narrow(samples(7), 0.05) and narrow(samples(30), 0.05) and not narrow({}, 0.05)


@pytest.mark.parametrize("n", [30, 200])
def test_columns_pair_the_rounds_as_the_iterations_do(n: int) -> None:
    rng = random.Random(n)
    one, two = (
        [
            build.iteration(name, k, rng.random() + 1, started_utc=f"{2 * k + at:06}")
            for k in range(n)
            if rng.random() < 0.8
        ]
        for at, name in enumerate("ab")
    )
    mine, theirs = Rounds(one), Rounds(two)
    others = {i.iteration: i.latency_s for i in two}
    assert mine.pairs(theirs, "latency") == [(i.latency_s, others[i.iteration]) for i in one if i.iteration in others]
    assert mine.pairs(Rounds(one), "latency") == [(i.latency_s, i.latency_s) for i in one]
    late = Rounds([build.iteration("b", k, 1.0, started_utc=f"{9 * n + k:06}") for k in range(n)])
    assert mine.pairs(late, "latency") == []
    assert len(mine.copy()) == len(mine) and mine.values("ttft") == []
