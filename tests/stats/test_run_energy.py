"""Energy per token of two runs: what is shown, and what is not compared."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from llmtui.model import Power
from llmtui.stats.run_energy import EnergyChange, energy_change, energy_of
from llmtui.stats.running import Running
from tests import build


def attempt(values: Sequence[float], error: float = 0.02, meters: Sequence[str] = ("package-0",)) -> Running:
    """An attempt whose answers took these J/token."""
    powers = [Power(meters=list(meters), joules_per_token=v, joules_per_token_error=error) for v in values]
    return Running(build.answered("a", number, power=power) for number, power in enumerate(powers, 1))


def change(a: Running, b: Running, reason: str = "") -> EnergyChange:
    found = energy_change(("a", "a"), ("A", "B"), "a: ", [a], [b], reason)
    assert found is not None
    return found


def around(median: float, n: int = 9) -> list[float]:
    """Values from 1% below to 1% above."""
    return [median * (0.99 + 0.02 * k / (n - 1)) for k in range(n)]


def test_the_error_is_that_of_the_readings_and_that_of_the_median() -> None:
    of = energy_of([attempt(around(1.0), error=0.02)])
    assert of is not None and (of.n, of.meters) == (9, ["package-0"])
    assert of.median == pytest.approx(1.0)
    assert of.reading_error == 0.02
    assert of.error == pytest.approx(0.02 + 0.0075), "the interval of a median of 9 goes from the 2nd to the 8th value"
    few = energy_of([attempt([1.0, 1.1, 1.2], error=0.02)])
    assert few is not None and few.error == pytest.approx(0.02 + 4.3027 * 0.1 / 3**0.5, rel=1e-4)


def test_the_medians_of_several_runs_are_as_far_apart_as_runs_are() -> None:
    of = energy_of([attempt(around(1.0), 0.0), attempt(around(1.2), 0.0), Running()])
    assert of is not None and of.error is not None and of.error >= 0.1


def test_a_difference_beyond_both_errors_is_shown() -> None:
    found = change(attempt(around(1.0)), attempt(around(0.9)))
    assert (found.shown, found.reason) == ("less", "") and found.change == pytest.approx(-0.1)
    assert found.sentence == (
        "a: energy per token: A 1.00 ± 0.0275 J, B 0.900 ± 0.0268 J: B took 10% less, beyond both errors together"
    )
    assert change(attempt(around(0.9)), attempt(around(1.0))).shown == "more"


def test_a_difference_within_both_errors_together_is_not() -> None:
    found = change(attempt(around(1.0)), attempt(around(1.05)))
    assert found.shown is None and found.reason == ""
    assert found.sentence.endswith(": no difference shown, as it is within both errors together")
    assert change(attempt(around(1.0), 0.005), attempt(around(1.05), 0.005)).shown == "more", (
        "the same by better meters"
    )


@pytest.mark.parametrize(
    ("b", "reason", "words"),
    [
        (
            attempt(around(2.0), meters=["card", "package-0"]),
            "",
            "different meters (A is of package-0, B is of card + p",
        ),
        (attempt([2.0]), "", "B has 1 sample"),
        (Running([build.answered("a", 1)]), "", "B has no energy"),
        (attempt(around(2.0)), "different models: a, b", "different models: a, b"),
    ],
)
def test_what_is_not_comparable_is_not_compared(b: Running, reason: str, words: str) -> None:
    found = change(attempt(around(1.0)), b, reason)
    assert found.shown is None and f": not compared: {words}" in found.sentence


def test_samples_of_different_meters_within_a_run() -> None:
    mixed = attempt(around(1.0))
    mixed.add(build.answered("a", 10, power=Power(meters=["card"], joules_per_token=0.5, joules_per_token_error=0.0)))
    assert "B is of card or package-0" in change(attempt(around(1.0)), mixed).sentence


def test_nothing_without_energy() -> None:
    assert energy_change(("a", "a"), ("A", "B"), "", [Running()], [Running([build.answered("a", 1)])], "") is None
