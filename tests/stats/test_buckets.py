"""Log buckets: their error, their merge, their compact form, and the percentiles that n allows."""

from __future__ import annotations

import math
import random

import pytest

from llmtui.model import Percentiles, Turn
from llmtui.stats import buckets
from llmtui.stats.buckets import ERROR, Buckets, pooled
from llmtui.stats.intervals import order_rank
from llmtui.stats.summary import percentile


def drawn(seed: int, count: int) -> list[float]:
    """Durations from 10 us to 1000 s."""
    rng = random.Random(seed)
    return [math.exp(rng.uniform(math.log(1e-5), math.log(1e3))) for _ in range(count)]


def filled(values: list[float]) -> Buckets:
    made = Buckets()
    made.add(values)
    return made


def by_sorting(values: list[float], q: float) -> float:
    """Type 8 in whole numbers of sixths: the place is ((3 n + 1) q + 1) / 3."""
    ordered = sorted(values)
    place = min(max((len(ordered) + 1 / 3) * q + 1 / 3, 1), len(ordered))
    low = ordered[math.floor(place) - 1]
    return low + (ordered[math.ceil(place) - 1] - low) * (place - math.floor(place))


@pytest.mark.parametrize("seed", range(20))
def test_every_quantile_is_within_half_a_percent(seed: int) -> None:
    values = drawn(seed, random.Random(seed).choice([1, 2, 3, 10, 59, 500, 3000]))
    counted = filled(values)
    for q in (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0):
        assert counted.quantile(q) == pytest.approx(by_sorting(values, q), rel=ERROR + 1e-9)


def test_every_value_is_within_half_a_percent() -> None:
    for value in [*drawn(1, 2000), 1e-5, 1e-3, 1.0, 1e3]:
        assert filled([value]).quantile(0.5) == pytest.approx(value, rel=ERROR + 1e-9)


def test_values_beyond_both_ends_are_counted() -> None:
    assert filled([0.0, 9e-6, 0.0]).percentiles() == Percentiles(n=3, p50=0.0)
    assert filled([5e3]).quantile(0.5) == pytest.approx(1e3, rel=0.01)


def test_number_of_buckets() -> None:
    grid = [10 ** (-5 + 8 * step / 100_000) for step in range(100_001)]
    assert len(filled(grid)) in (1843, 1844), "one more where a value is at the edge of the range"


@pytest.mark.parametrize("seed", range(5))
def test_merged_is_the_same_as_the_whole(seed: int) -> None:
    values = drawn(seed, 2000)
    parts = [filled(values[start::7]) for start in range(7)]
    together = Buckets()
    for part in parts:
        together.merge(Buckets.decoded(part.encoded()))
    assert together.encoded() == filled(values).encoded() and together.n == 2000
    assert together.percentiles() == filled(values).percentiles()


def test_compact_form() -> None:
    assert filled([]).encoded() == [] and Buckets.decoded([]).percentiles() is None
    one, two = filled([0.5]).encoded(), filled([0.5, 0.5 * 1.0101, 0.0]).encoded()
    assert one[1] == 1 and two == [0, 1, one[0], 1, 1, 1]


@pytest.mark.parametrize("numbers", [[1], [5, 0], [5, 1, 0, 1], [5, 1, -1, 1], [-1, 1], [1900, 1]])
def test_what_is_not_a_compact_form(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"number|buckets"):
        Buckets.decoded(numbers)


def test_percentiles_by_their_n() -> None:
    assert all(order_rank(least, 1 - q, 0.05) == 1 for q, least in buckets.FROM.items() if q > 0.5)
    assert all(order_rank(least - 1, 1 - q, 0.05) == 0 for q, least in buckets.FROM.items() if q > 0.5)
    for n, known in ((1, 1), (28, 1), (29, 2), (58, 2), (59, 3), (298, 3), (299, 4)):
        found = filled([0.1] * n).percentiles()
        assert found is not None and found.n == n
        values = [found.p50, found.p90, found.p95, found.p99]
        assert sum(value is not None for value in values) == known


def test_pooled_over_turns() -> None:
    values = drawn(3, 90)
    turns = [turn({"ttft": filled(values[start::3]).encoded()}) for start in range(3)]
    broken = turn({"ttft": [1, 0]})
    assert pooled([*turns, turn({}), broken], "ttft").encoded() == filled(values).encoded()
    assert pooled(turns, "latency").n == 0


def turn(of: dict[str, list[int]]) -> Turn:
    made = Turn(run="r", backend="a", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="")
    return Turn(**{name: getattr(made, name) for name in made.__struct_fields__} | {"buckets": of})


def test_median_is_the_usual_one() -> None:
    for n in range(1, 30):
        values = sorted(drawn(n, n))
        assert by_sorting(values, 0.5) == pytest.approx(percentile(values, 0.5))
