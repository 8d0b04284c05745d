"""The k-th of all averages and of all differences, against lists of all of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.stats.selection import Averages, Differences
from tests.examples import examples

#: Kinds of noise: a function of a generator.
NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(0.01, 0.05),
    "heavy": lambda rng: rng.gauss(0, 1) / max(1e-3, rng.random()),
    "few values": lambda rng: rng.choice((0.0, 0.1, 0.2)),
    "equal": lambda rng: 0.3,
    "two heaps": lambda rng: rng.choice((-1.0, 5.0)) + rng.gauss(0, 1e-6),
    "far": lambda rng: rng.choice((1e-9, 1e9)) * rng.gauss(0, 1),
}


def _places(total: int) -> list[int]:
    return sorted({1, 2, total // 40 + 1, total // 2, total // 2 + 1, total - total // 40, total - 1, total})


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [1, 2, 5, 61, 90, 300])
def test_kth_average(noise: str, n: int) -> None:
    rng = random.Random(n)
    values = [NOISES[noise](rng) for _ in range(n)]
    averages = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    picked = Averages(values)
    scale = max(map(abs, averages))
    for k in _places(len(averages)):
        if 1 <= k <= picked.total:
            assert picked.kth(k) == pytest.approx(averages[k - 1], rel=1e-12, abs=1e-15 * scale)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 500), (60, 80), (200, 150)])
def test_kth_difference(noise: str, m: int, n: int) -> None:
    rng = random.Random(m)
    one, two = [[NOISES[noise](rng) for _ in range(count)] for count in (m, n)]
    differences = sorted(a - b for a in one for b in two)
    picked = Differences(one, two)
    scale = max(map(abs, [*one, *two]))
    for k in _places(len(differences)):
        if 1 <= k <= picked.total:
            assert picked.kth(k) == pytest.approx(differences[k - 1], rel=1e-12, abs=1e-15 * scale)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=78, max_size=110), st.data())
def test_kth_of_any_values(values: list[float], data: st.DataObject) -> None:
    averages = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    k = data.draw(st.integers(1, len(averages)))
    assert Averages(values).kth(k) == pytest.approx(averages[k - 1], rel=1e-9, abs=1e-9)
