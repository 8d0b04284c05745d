"""The star: who gets it, what withholds it, and that star, order and ratio never contradict each other."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from llmtui.export.farewell import farewell
from llmtui.export.json import run_json
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import IterationDone, RunConfig
from llmtui.runview.run import RunView
from llmtui.stats.board import board
from llmtui.stats.correction import against_best, best_p, range_p
from llmtui.stats.verdict import WITHHOLDING
from tests import build
from tests.stats.build import MACHINE, iteration, raced, record


def race(columns: Sequence[Sequence[float]], *, apart: bool = False, **config: Any) -> RunView:
    """A finished race with these latencies, round by round: in turns, or one backend after the other."""
    names = "abcdefghi"[: len(columns)]
    rounds = len(columns[0])
    run_view = build.run_view(build.plan(*names, iterations=rounds, **config), keep=0)
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        for number, latency in enumerate(column):
            at = place * rounds + number if apart else number * len(columns) + place
            run_view.apply(IterationDone(iteration=iteration(name, number + 1, latency, seq=at + 1)))
    for name in names:
        run_view.apply(build.changed(name, planned=rounds, weights="Q8_0"))
    return run_view


def noisy(seed: int, *medians: float, rounds: int = 10, noise: float = 0.01) -> list[list[float]]:
    rng = random.Random(seed)
    return [[median * (1 + rng.gauss(0, noise)) for _ in range(rounds)] for median in medians]


def test_six_rounds_give_a_star_among_nine_backends() -> None:
    verdict = race(noisy(1, *(1 + n / 5 for n in range(9)), rounds=6)).verdict()
    assert verdict.fastest == "a" and verdict.line.startswith("a is fastest: b takes 1.19x")
    assert all(c.decided and c.could_show is not None for c in verdict.board.comparisons)
    assert race(noisy(1, 1.0, 1.2, 1.4, rounds=5)).verdict().line == "no verdict: 5 rounds are too few; 6 can decide"


def test_claims_on_some_of_many_backends_stay_corrected() -> None:
    """b is tied with a: c is one of several claims, and its p among three is not that of a pair."""
    assert against_best([0.5, 0.03], ahead=True)[1] == best_p(0.03, 3) > 0.05
    assert against_best([0.04, 0.03], ahead=True) == [0.04, 0.04]
    assert against_best([0.04, 0.03], ahead=False)[1] == best_p(0.03, 3)


@pytest.mark.parametrize("backends", [3, 4, 5, 9])
def test_correction_allows_for_both_rules(backends: int) -> None:
    """The chance that equal backends show a difference of the best and the worst, or a best that beats all."""
    rng = random.Random(backends)
    p, races, shown = 0.012, 40_000, 0
    level = best_p(p, backends)
    assert range_p(p, backends) < level < range_p(p, backends) + 0.01
    gap, width = (2**0.5 * _z(1 - share / 2) for share in (level, p))
    for _ in range(races // 10):
        values = sorted(rng.gauss(0, 1) for _ in range(backends))
        shown += values[-1] - values[0] >= width or values[1] - values[0] >= gap
    assert shown / (races // 10) == pytest.approx(level, abs=4 * (level / (races // 10)) ** 0.5)


def _z(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def test_no_star_and_no_level_in_sequential_order() -> None:
    run_view = race(noisy(2, 1.0, 1.2), apart=True, order="sequential")
    verdict = run_view.verdict()
    assert verdict.line == (
        "in this order a was ahead: b took 1.20x as long (10 iterations each); the machine may explain it"
    )
    assert (verdict.fastest, verdict.withheld) == ("", "sequential order")
    assert verdict.sentences == [
        "b took 1.20x as long as a (10 iterations each), but not in turns: the machine may explain it"
    ]
    for text in (verdict.line, *verdict.sentences, farewell(run_view, 200)):
        assert "95%" not in text
    document = msgspec.json.decode(run_json(run_view))
    assert document["verdict"]["fastest"] is None and document["comparisons"][0]["low"] is None
    assert document["comparisons"][0]["basis"] == "apart" and document["comparisons"][0]["ratio"] > 1.1


def test_equal_backends_in_sequential_order() -> None:
    line = race(noisy(2, 1.0, 1.0), apart=True, order="sequential").verdict().line
    assert line == "in this order all took as long (10 iterations each); the machine may explain it"


def test_rerun_of_one_backend_has_no_star() -> None:
    run_view = race(noisy(3, 1.0, 1.3, 1.6))
    run_view.apply(build.changed("c", attempt=2, planned=10, weights="Q8_0"))
    for number in range(10):
        again = iteration("c", number + 1, 1.6 + number / 1000, attempt=2, seq=31 + number)
        run_view.apply(IterationDone(iteration=again))
    verdict = run_view.verdict()
    assert (verdict.fastest, verdict.withheld, verdict.level) == ("", "not in turns", 0.99)
    assert verdict.line.startswith("a is ahead: b takes 1.2") and verdict.line.endswith(", not in turns with c")


@pytest.mark.parametrize(("attempt", "level"), [(1, 0.95), (2, 0.99), (3, 0.995), (4, 0.9975)])
def test_reruns_are_judged_more_strictly(attempt: int, level: float) -> None:
    run_view = build.run_view(build.plan("a", "b", iterations=12), keep=0)
    for name in "ab":
        run_view.apply(build.changed(name, attempt=attempt, planned=12, weights="Q8_0"))
    for number in range(12):
        for name, latency in (("a", 1.0), ("b", 1.3)):
            run_view.apply(IterationDone(iteration=iteration(name, number + 1, latency, attempt=attempt)))
    verdict = run_view.verdict()
    assert (verdict.level, verdict.attempt) == (level, attempt)
    texts = [check.text for check in verdict.checks if check.code == "reruns"]
    assert [f"judged at {100 * level:g}%" in text for text in texts] == [True] * (attempt > 1)


@pytest.mark.parametrize(
    ("slower", "withheld", "line"),
    [
        (1.0005, "under 0.1%", "a is ahead (under 0.1%): b differs by under 0.1%"),
        (1.004, "below llmtui's own error", "a is ahead (below llmtui's own error): b takes 1.0040x as long"),
        (1.02, "", "a is fastest: b takes 1.02"),
    ],
)
def test_small_differences_have_no_star(
    slower: float, withheld: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtui.store.accuracy_record.newest", lambda machine: record(0.003))
    run_view = race(noisy(4, 1.0, slower, noise=0.0001))
    run_view.machine = MACHINE
    verdict = run_view.verdict()
    assert verdict.withheld == withheld and verdict.line.startswith(line)
    assert verdict.fastest == ("" if withheld else "a")
    assert summary_table(run_view, 200).count("* ") == (not withheld)


def test_tiny_difference_has_no_figures_of_nothing() -> None:
    run_view = race(noisy(4, 1.0, 1.0003, noise=0.0001))
    printed = "\n".join([summary_table(run_view, 200), run_markdown(run_view), *run_view.verdict().sentences])
    said = "\n".join(line for line in printed.split("\n") if ": median " not in line)
    assert "1.00 to 1.00" not in said and "1.00x" not in said and "1.0003" not in said
    assert "b and a differ by under 0.1% (95%)" in printed
    assert run_view.verdict().board.standing("b").span == "under 0.1%"


def test_checks_that_withhold_have_known_codes() -> None:
    from llmtui.stats.checks import CODES

    assert WITHHOLDING.keys() - {"one-launch"} <= CODES.keys()


def test_only_the_metric_that_counts_gives_a_star() -> None:
    columns = noisy(5, 1.0, 1.3)
    latency, ttft = race(columns), race(columns, metric="ttft")
    for run_view in (latency, ttft):
        assert run_view.verdict().metric == run_view.plan.config.metric
    assert latency.verdict("latency").fastest == "a" and ttft.verdict("latency").fastest == ""
    also = ttft.verdict("latency")
    assert also.line.startswith("also, a is ahead: b takes 1.3") and "(98.33%: " in also.line
    assert also.level == pytest.approx(1 - 0.05 / 3) and not also.counts
    assert "by TTFT" in summary_table(ttft, 200) and "by TTFT" not in summary_table(latency, 200)


def test_metric_in_place_of_the_latency_counts() -> None:
    run_view = raced(1.0, 2.0, tokens=(20, 64))
    verdict, rates = run_view.verdict(), run_view.verdict("tokens_per_s")
    assert (verdict.counting, verdict.counts, rates.counts) == ("tokens_per_s", True, True)
    assert rates.fastest == "a" and verdict.fastest == "" and "a is fastest by tokens/s" in verdict.line
    assert msgspec.json.decode(run_json(run_view))["verdict"]["fastest"] == "a"
    assert not run_view.verdict("ttft").counts


def test_step_of_the_wall_clock_loses_no_pair() -> None:
    """After round 10 the clock is set back by 15 s; the engine's own order goes on."""
    rng, at, moved = random.Random(6), 0, RunView(build.plan("a", "b", iterations=20))
    for number in range(20):
        for name, latency in (("a", 1.0), ("b", 1.1)):
            at += 1
            clock = at - (15 if number >= 10 else 0) + 60
            one = iteration(
                name, number + 1, latency * 1.02**at * (1 + rng.gauss(0, 0.01)), seq=at,
                started_utc=f"2026-11-22T15:{clock // 60:02}:{clock % 60:02}.000Z",
            )  # fmt: skip
            moved.apply(IterationDone(iteration=one))
    for name in "ab":
        moved.apply(build.changed(name, planned=20, weights="Q8_0"))
    (comparison,) = moved.verdict().board.comparisons
    assert (comparison.n, comparison.basis, comparison.decided) == (20, "rounds", True)
    assert "not-interleaved" not in {check.code for check in moved.verdict().checks}


def test_values_that_are_not_finite_are_dropped() -> None:
    columns = noisy(7, 1.0, 1.3, rounds=12)
    columns[0][3] = columns[1][5] = float("inf")
    columns[1][7] = float("nan")
    samples = {
        name: [build.iteration(name, n, v, started_utc=f"{n:06}") for n, v in enumerate(column)]
        for name, column in zip("ab", columns, strict=True)
    }
    (comparison,) = board(samples, "latency", (), lambda *_: True, 0.95).comparisons
    assert comparison.n == 9 and comparison.decided and 1.25 < comparison.ratio < 1.35


def test_several_intervals_are_said_to_hold_one_by_one() -> None:
    note = "each of these intervals holds the true ratio in 95 of 100 races, all of them together in fewer"
    assert race(noisy(8, 1.0, 1.2, 1.4)).verdict().sentences.count(note) == 1
    assert note not in race(noisy(8, 1.0, 1.2)).verdict().sentences


def test_run_whose_engine_died_has_a_finished_verdict() -> None:
    run_view = build.run_view(build.plan("a", "b", iterations=20), keep=0)
    for number in range(4):
        for name, latency in (("a", 1.0), ("b", 1.3)):
            run_view.apply(IterationDone(iteration=iteration(name, number + 1, latency)))
    for name in "ab":
        run_view.apply(build.changed(name, state="running", planned=20))
    assert run_view.verdict().line == "no verdict yet: needs 9 rounds"
    run_view.ended = True
    assert run_view.verdict().line == "no verdict: 4 rounds are too few; 9 can decide"
    assert run_view.verdict().level == pytest.approx(0.995)


@pytest.mark.parametrize(
    ("backends", "rounds"),
    [
        (3, 8),
        (2, 20),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, 8), (5, 8), (3, 20), (5, 20))),
    ],
)
def test_star_order_and_ratio_agree_under_drift(backends: int, rounds: int) -> None:
    """Each request takes 2% more than the one before, so medians and rounds are often in different orders."""
    stars = 0
    for seed in range(25):
        rng = random.Random(f"{seed} {backends} {rounds}")
        order = [rng.sample(range(backends), backends) for _ in range(rounds)]
        columns = [[0.0] * rounds for _ in range(backends)]
        for number, places in enumerate(order):
            for at, place in enumerate(places):
                factor = 1.02 ** (number * backends + at) * (1 + rng.gauss(0, 0.01))
                columns[place][number] = (1.03 if place else 1.0) * factor
        verdict = race(columns).verdict()
        figures = [float(standing.figure) for standing in verdict.board.standings]
        ratios = [standing.ratio or 0.0 for standing in verdict.board.standings]
        assert figures[0] == ratios[0] == 1.0 and ratios == sorted(ratios) and min(figures) >= 1
        assert verdict.fastest in ("", verdict.board.standings[0].name)
        assert bool(verdict.fastest) == verdict.line.startswith(f"{verdict.fastest} is fastest")
        stars += bool(verdict.fastest)
        if seed == 0:
            table = summary_table(race(columns), 200)
            assert re.findall(r"^\* (\w)", table, re.MULTILINE) == [verdict.fastest] * bool(verdict.fastest)
    assert stars > 0


def test_config_of_old_runs_counts_by_latency() -> None:
    assert msgspec.json.decode(b"{}", type=RunConfig).metric == "latency"
