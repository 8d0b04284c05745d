"""Little's residual, settling, drift and backlog of a turn."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from msgspec.structs import replace

from llmtui.model import Level, Turn
from llmtui.stats import by_place
from llmtui.stats.by_place import Means, Peaks
from llmtui.stats.durations import EXACT, Durations
from llmtui.stats.little import MOST, Little
from llmtui.stats.settling import mser, settle_needed, settle_of
from llmtui.stats.trend import rise_p
from llmtui.stats.turn_figures import TurnFigures
from llmtui.stats.turn_trend import drift, grows, parts_for
from tests.stats.turns import CLOSED, OPEN, closed_turn, sample

# --- Little's residual. ---


def counted(seed: int, drop: int = 0, longer: float = 1.0) -> float | None:
    """The residual of a turn whose worker counts right, and of whose samples some are lost or too long."""
    samples, from_s, to_s = closed_turn(seed)
    little = Little()
    pulses = [k / 4 for k in range(1, 400)]
    for number, one in enumerate(samples):
        end = (one.written_s or 0) + (one.latency_s or 0)
        while pulses and pulses[0] < end:
            at = pulses.pop(0)
            under_way = sum((s.written_s or 0) <= at < (s.written_s or 0) + (s.latency_s or 0) for s in samples)
            little.pulse(at, under_way)
        if not drop or number % drop:
            little.add(sample(one.request, one.share, one.written_s or 0, [(one.latency_s or 0) * longer]))
    return little.residual(from_s, to_s)


def test_residual_is_zero_if_both_counts_agree() -> None:
    assert [counted(seed) for seed in range(5)] == [0.0] * 5


def test_residual_shows_lost_samples_and_wrong_times() -> None:
    for seed in range(5):
        lost, short = counted(seed, drop=4), counted(seed, longer=0.7)
        assert lost is not None and lost == pytest.approx(0.25, abs=0.15) and lost > 0.05
        assert short is not None and short == pytest.approx(0.3, abs=0.15) and short > 0.05


def test_moment_beside_a_start_or_an_end_is_none() -> None:
    """The worker counts a request 1 ms before it is written, and 2 ms after its last token."""
    little = Little()
    for at_s, in_flight in ((0.999, 1), (1.5, 1), (2.002, 1), (2.5, 0)):
        little.pulse(at_s, in_flight)
    little.add(sample(1, "window", 1.0, [1.0]))
    assert little.residual(0.0, 3.0) == 0.0


def test_sample_that_is_counted_twice_or_never_ends() -> None:
    little = Little()
    for k in range(1, 9):
        little.pulse(k, 1)
    for _ in range(2):
        little.add(sample(1, "window", 0.5, [2.0]))
    assert little.residual(0.0, 3.0) == 1.0, "the worker counted 1, and there are 2"
    assert little.residual(3.0, 9.0) == 1.0, "the worker counted 1, and there is none"
    assert Little().residual(0.0, 1.0) is None


def test_residual_without_a_moment() -> None:
    little = Little()
    little.pulse(1.0, 0)
    assert little.residual(0.0, 2.0) is None and Little().residual(0.0, 2.0) is None


def test_moments_are_bounded() -> None:
    little = Little()
    for k in range(5 * MOST):
        little.pulse(k / 4, 1)
    little.add(sample(1, "window", 0.0, [5 * MOST / 4]))
    assert little.residual(0.0, 5 * MOST) == 0.0 and len(little._at_s) <= MOST


# --- Settling. ---


def by_definition(values: list[float]) -> int:
    def error(cut: int) -> float:
        rest = values[cut:]
        mean = sum(rest) / len(rest)
        return sum((v - mean) ** 2 for v in rest) / len(rest) ** 2

    return min(range(len(values) // 2 + 1), key=error)


@pytest.mark.parametrize("seed", range(30))
def test_mser_by_definition(seed: int) -> None:
    rng = random.Random(seed)
    values = [1 + rng.gauss(0, 0.1) + (k < seed % 9) for k in range(rng.randint(8, 40))]
    assert mser(values) == by_definition(values)


def noisy(rng: random.Random, cold: int, batches: int, factor: float = 1.5) -> list[float]:
    """Batches of five requests with a noise of 5% each, the first of them slower."""
    return [(factor if k < cold else 1.0) * (1 + rng.gauss(0, 0.05 / math.sqrt(5))) for k in range(batches)]


def test_steady_server_needs_nothing_and_a_cold_one_is_found() -> None:
    rng = random.Random(1)
    runs = 500
    assert sum(settle_needed(noisy(rng, 0, 12)) == 0 for _ in range(runs)) / runs > 0.95
    for cold in (1, 2, 3):
        found = [settle_needed(noisy(rng, cold, 12)) for _ in range(runs)]
        assert sum(cut is not None and cut >= cold for cut in found) / runs > 0.99


def test_no_steady_state() -> None:
    rng = random.Random(2)
    rising = [[value * (1 + k / 10) for k, value in enumerate(noisy(rng, 0, 16))] for _ in range(100)]
    assert sum(settle_needed(values) is None for values in rising) > 90
    assert settle_needed([1.0] * 8) == 0


def turn(needed: int | None, unsettled: bool = False) -> Turn:
    return Turn(
        run="r", backend="a", attempt=1, phase="warmup", round=1, level=1, seq=1, started_utc="",
        settle_needed=needed, unsettled=unsettled,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("streams", "turns", "requests", "expected"),
    [
        (1, [turn(0), turn(0)], 40, 2),
        (8, [turn(0)], 40, 16),
        (1, [turn(5), turn(10), turn(0)], 40, 10),
        (1, [turn(20)], 40, 13),  # a quarter of 53
        (8, [turn(20)], 40, 16),
        (1, [turn(0), turn(None, unsettled=True)], 40, 13),
        (1, [turn(None)], 40, 2),
        (1, [replace(turn(20), requests=80), replace(turn(5), requests=60)], 0, 20),
        (4, [], 0, 8),
    ],
)
def test_settling_of_a_level(streams: int, turns: list[Turn], requests: int, expected: int) -> None:
    assert settle_of(Level(number=1, streams=streams), turns, requests) == expected


def test_settling_of_an_open_loop_is_an_eighth_of_the_turn_at_least() -> None:
    assert settle_of(OPEN, [turn(0)], 70) == 10 and settle_of(OPEN, [turn(15)], 70) == 15
    assert settle_of(OPEN, [turn(None, unsettled=True)], 70) == 23


def test_turn_says_what_it_needed() -> None:
    def of(slow: int) -> dict[str, object]:
        samples, from_s, to_s = closed_turn(5, slow=lambda number: 3.0 if number <= slow else 1.0)
        made = TurnFigures(CLOSED)
        made.add(samples)
        return made.figures(from_s, to_s)

    assert of(0)["settle_needed"] == 0 and of(20)["settle_needed"] == 20
    few = TurnFigures(CLOSED)
    few.add([sample(k, "settling", k, [0.1, 0.2, 0.3, 0.4]) for k in range(1, 30)])
    assert "settle_needed" not in few.figures(None, None) and "unsettled" not in few.figures(None, None)


# --- Drift. ---


def test_rise_by_all_orders() -> None:
    """Of 120 orders of five values, one has all ten pairs ascending, and five have nine or more."""
    assert rise_p([1, 2, 3, 4, 5]) == 1 / 120 and rise_p([5, 4, 3, 2, 1]) == 1.0
    assert rise_p([2, 1, 3, 4, 5]) == 5 / 120
    for values in itertools.permutations(range(5)):
        pairs = sum(a < b for a, b in itertools.combinations(values, 2))
        others = (sum(a < b for a, b in itertools.combinations(o, 2)) for o in itertools.permutations(range(5)))
        assert rise_p(values) == pytest.approx(sum(other >= pairs for other in others) / 120)


def test_drift_of_a_turn() -> None:
    def of(by: float, seed: int) -> Turn:
        samples, from_s, to_s = closed_turn(seed, window=160, slow=lambda number: 1 + by * number / 176)
        made = TurnFigures(CLOSED)
        made.add(samples)
        bare = turn(None)
        return Turn(**{n: getattr(bare, n) for n in bare.__struct_fields__} | made.figures(from_s, to_s))

    assert all(of(1.0, seed).drifts for seed in range(5)), "the gaps double"
    steady = [of(0.0, seed) for seed in range(20)]
    assert not any(one.drifts for one in steady) and all(one.drift is not None for one in steady)
    assert drift([1.0, 1.1, 1.2, 1.3, 1.5]) == (0.5, 1 / 120)
    assert drift([1.5, 1.3, 1.2, 1.1, 1.0])[1] == 1 / 120


def test_parts_of_a_window() -> None:
    assert [parts_for(n, 1) for n in (19, 20, 40, 47, 48, 80, 1000)] == [0, 5, 5, 5, 6, 10, 10]
    assert [parts_for(n, 32) for n in (128, 160, 200, 1000)] == [5, 5, 6, 10]


# --- Backlog. ---


def test_backlog_that_grows() -> None:
    assert grows([10, 20, 30]) and grows([5, 9, 16])
    assert not grows([10, 10, 30]) and not grows([10, 24, 26]) and not grows([1, 2, 4]) and not grows([20, 21, 22])


@pytest.mark.parametrize(("service_s", "beyond"), [(0.01, False), (0.04, True)])
def test_rate_beyond_what_a_server_can_do(service_s: float, beyond: bool) -> None:
    """One answer at a time, every 20 ms a request."""
    made, free = TurnFigures(OPEN), 0.0
    ends: list[float] = []
    for number in range(1, 121):
        due = number / 50
        free = max(free, due) + service_s
        ends.append(free)
        in_flight = sum(end > due for end in ends)
        made.add([sample(number, "window", due, [free - due], due_s=due, waited_s=0.0, in_flight=in_flight)])
    of = made.figures(1 / 50, 121 / 50)
    assert of["beyond_capacity"] is beyond
    assert of["backlog"] == ([1, 1, 1] if not beyond else of["backlog"]) and of["in_flight_most"] == of["backlog"][2]


def test_server_that_fills_up_is_not_beyond_capacity() -> None:
    """Nothing ends before 5 s, and the turn is over after 2.4 s."""
    made = TurnFigures(OPEN)
    for number in range(1, 121):
        made.add([sample(number, "window", number / 50, [5.0], due_s=number / 50, waited_s=0.0, in_flight=number)])
    of = made.figures(1 / 50, 121 / 50)
    assert grows(of["backlog"]) and of["backlog"][2] == 120 and of["beyond_capacity"] is False


# --- Bounded memory. ---


@pytest.mark.parametrize("n", [100, by_place.MOST, 3 * by_place.MOST, 100_000])
def test_means_and_peaks_of_any_number(n: int) -> None:
    means, peaks = Means(), Peaks()
    for number in range(1, n + 1):
        means.add(number, float(number))
        peaks.add(number / 10, number)
    assert means.parts(1, n, 5) == pytest.approx([n * (part + 0.5) / 5 for part in range(5)], rel=0.01, abs=0.5)
    assert peaks.up_to(n / 20) == pytest.approx(n / 2, rel=0.01) and peaks.up_to(n) == n
    whole = [mean for mean in means.batches(5) if mean is not None]
    assert len(whole) == n // (5 * means.width) and whole[0] == pytest.approx((5 * means.width + 1) / 2)


def test_means_without_values() -> None:
    means = Means()
    means.add(3, 1.0)
    means.add(12, 2.0)
    means.add(1, float("nan"))
    means.add(2, float("inf"))
    assert means.batches(5) == [1.0, None] and means.parts(1, 12, 3) == []


def test_durations_beyond_the_exact_ones() -> None:
    rng = random.Random(4)
    values = [rng.lognormvariate(-3, 1) for _ in range(EXACT + 1)]
    exact, many = Durations(), Durations()
    exact.add(values[:-1])
    many.add(values)
    ordered = sorted(values)
    assert exact.median == (sorted(values[:-1])[EXACT // 2 - 1] + sorted(values[:-1])[EXACT // 2]) / 2
    assert many.median == pytest.approx(ordered[EXACT // 2], rel=0.005)
    assert many.p99 == pytest.approx(ordered[round(0.99 * EXACT)], rel=0.006)
    assert many.largest == ordered[-1] and Durations().median is None and Durations().p99 is None
