"""Did the samples stay alike: cold starts, outliers, drift; and what looks like one of them and is noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from llmtui.model import Backend, BackendState, RunConfig
from llmtui.stats.checks import Check, Entry, Evidence, checks
from llmtui.stats.checks.evidence import RECENT
from llmtui.stats.summary import far_out, outliers, percentile
from llmtui.stats.trend import autocorrelation, slope, tau, trend_p
from tests.stats.build import MACHINE, NOISE, iterations


def found(
    code: str, *latencies: Sequence[float], warm_up_s: float | None = None, order: Any = "shuffled"
) -> list[Check]:
    """The checks with this code of a race of backends a, b, c... with these latencies, which took turns."""
    entries = []
    for turn, values in enumerate(latencies):
        name = "abcde"[turn]

        def fields(k: int, values: Sequence[float] = values) -> dict[str, Any]:
            return {"latency_s": values[k - 1]}

        made = iterations(name, len(values), fields, turn)
        warm = [msgspec.structs.replace(made[0], phase="warmup", latency_s=warm_up_s)] if warm_up_s else []
        entries.append(Entry(Backend(name=name), BackendState(name=name, state="done"), Evidence([*warm, *made])))
    config = RunConfig(iterations=len(latencies[0]), order=order)
    return [check for check in checks(entries, config, MACHINE) if check.code == code]


def noisy(n: int, seed: int = 0) -> list[float]:
    """Noise of 3%."""
    rng = random.Random(seed)
    return [1 + rng.gauss(0, 0.03) for _ in range(n)]


# --- Cold starts. ---


@pytest.mark.parametrize("warm_up_s", [None, 2.0])
@pytest.mark.parametrize("n", [10, 20, 50])
def test_a_start_that_takes_half_as_long_again_is_cold(n: int, warm_up_s: float | None) -> None:
    (check,) = found("cold-start", [1.5, *noisy(n - 1)], noisy(n, 100), warm_up_s=warm_up_s)
    assert (check.level, check.backends) == ("warning", ["a"])


def test_a_first_iteration_of_the_slower_speed_is_not_cold() -> None:
    """Of two speeds the median absolute deviation sees only one."""
    two_speeds = [1.3 if k in (0, 4, 8) else value for k, value in enumerate(noisy(10))]
    assert not found("cold-start", two_speeds, noisy(10))
    assert not found("cold-start", two_speeds, noisy(10), warm_up_s=1.3)


def test_a_long_request_is_not_cold_if_others_of_the_race_are_as_long() -> None:
    """Without warm-ups, one of many long requests is sometimes the first."""
    first, elsewhere = [2.0, *noisy(9)], noisy(9)
    elsewhere.insert(4, 1.9)
    assert found("cold-start", first, noisy(10, 100))
    assert not found("cold-start", first, elsewhere)
    # A cold start is longer than what happens now and then.
    assert found("cold-start", [2.6, *noisy(9)], elsewhere)


def test_in_many_rounds_a_few_long_requests_hide_no_cold_start() -> None:
    others = noisy(99)
    others[30] = others[60] = 3.0
    assert found("cold-start", [1.6, *others], noisy(100, 100))


def test_a_server_that_was_warm_does_not_become_cold() -> None:
    slow_first = [1.6, *noisy(9)]
    assert found("cold-start", slow_first, noisy(10, 100), warm_up_s=1.7)
    assert not found("cold-start", slow_first, noisy(10, 100), warm_up_s=1.02)


# --- Outliers. ---


def test_fences_are_on_logarithms() -> None:
    values = sorted([1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.2])
    low, high = far_out(values)
    logs = [math.log(value) for value in values]
    q1, q3 = percentile(logs, 0.25), percentile(logs, 0.75)
    assert (low, high) == pytest.approx((math.exp(q1 - 3 * (q3 - q1)), math.exp(q3 + 3 * (q3 - q1))))
    # A factor of 4 either way is the same distance.
    assert outliers([v * 7 for v in values]) == outliers(values) == 0


def test_skewed_noise_has_hardly_any_outliers() -> None:
    rng = random.Random(5)
    values = sorted(math.exp(rng.gauss(0, 1)) for _ in range(200))
    q1, q3 = percentile(values, 0.25), percentile(values, 0.75)
    assert sum(value > q3 + 3 * (q3 - q1) for value in values) >= 5
    assert outliers(values) == 0


@pytest.mark.parametrize("values", [[0.0] * 8 + [1.0, 5.0], [-1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 9.0], [1.0] * 7])
def test_values_without_fences(values: list[float]) -> None:
    assert far_out(sorted(values)) == (-math.inf, math.inf)
    assert outliers(sorted(values)) == 0


def test_huge_values_have_fences() -> None:
    assert far_out([1e-300] * 3 + [1.0] * 3 + [1e300] * 3)[1] == math.inf


def test_outliers_are_counted_among_all_samples() -> None:
    """As in the table, at places that a thinned course skips."""
    evidence, latencies = Evidence(), list[float]()
    one = iterations("a", 1, {}, 0)[0]

    def text() -> str:
        ordered = sorted(latencies)
        race = [Entry(Backend(name="a"), BackendState(name="a"), evidence, ordered)]
        (check,) = [c for c in checks(race, RunConfig(), MACHINE) if c.code == "outliers"]
        assert f"a {outliers(ordered)} of {len(ordered)} iterations" in check.text
        return check.text

    for start, every in ((0, 60), (600, 4)):
        for k in range(start, start + 600):
            latencies.append((3.0 if k % every == 1 else 1.0) + NOISE[k % 400])
            evidence.add(msgspec.structs.replace(one, iteration=k + 1, latency_s=latencies[-1]))
        if not start:
            assert text().startswith("some samples are far from the rest: a 10 of 600 iterations (3.00 s, median")
    assert "a 160 of 1200 iterations" in text()


# --- Drift. ---


def test_trend_p_by_hand() -> None:
    # All 28 pairs rise; the variance is 8 * 7 * 21 / 18. With a tie among five, 8 pairs rise and 1 falls.
    assert trend_p([1, 2, 3, 4, 5, 6, 7, 8]) == pytest.approx(math.erfc(27 / math.sqrt(8 * 7 * 21 / 18) / math.sqrt(2)))
    tied = (5 * 4 * 15 - 2 * 1 * 9) / 18
    assert trend_p([1, 3, 2, 3, 9]) == pytest.approx(math.erfc((7 - 1) / math.sqrt(tied) / math.sqrt(2)))
    assert trend_p([5.0] * 20) == 1.0
    assert trend_p([3, 1, 4, 1, 5, 9, 2, 6]) == trend_p([-3, -1, -4, -1, -5, -9, -2, -6])


def test_false_positives_of_drift_are_rare() -> None:
    rng = random.Random(3)
    seen = sum(trend_p([rng.gauss(0, 1) for _ in range(20)]) < 0.01 for _ in range(2000))
    assert seen < 40


def test_evidence_is_bounded_and_long_drift_is_detected() -> None:
    one = iterations("a", 1, {}, 0)[0]
    evidence = Evidence()
    for k in range(3000):
        evidence.add(msgspec.structs.replace(one, iteration=k + 1, latency_s=1 + k / 2e4 + NOISE[k % 400]))
    assert len(evidence.recent) == RECENT
    assert max(len(evidence.metrics["latency"].values), len(evidence.server_cpu.values)) <= 241
    findings = checks([Entry(Backend(name="a"), BackendState(name="a"), evidence)], RunConfig(), MACHINE)
    assert [c.code for c in findings] == ["drift"]


def rising(n: int) -> list[float]:
    return [value * 1.02**k for k, value in enumerate(noisy(n))]


def test_a_drift_of_all_backends_is_a_note_if_they_took_turns() -> None:
    (check,) = found("drift", rising(20), rising(20))
    assert (check.level, check.backends) == ("note", ["a", "b"])
    assert check.text.endswith("; turns cancel what hits all backends alike")


def test_a_drift_of_one_backend_is_a_warning() -> None:
    (check,) = found("drift", noisy(20, 100), rising(20))
    assert (check.level, check.backends) == ("warning", ["b"])
    assert check.text.endswith("their ratio changed too")


def test_a_drift_is_a_warning_without_turns() -> None:
    (check,) = found("drift", rising(20))
    assert (check.level, check.backends) == ("warning", ["a"])
    assert "if backends take turns" in check.todo


def test_noise_that_lasts_is_no_drift() -> None:
    """A random walk back to the middle, with 0.9 of each value in the next one."""
    rng = random.Random(8)
    seen = plain = 0
    for _ in range(300):
        level, values = rng.gauss(0, 1), []
        for _ in range(20):
            values.append(level)
            level = 0.9 * level + math.sqrt(0.19) * rng.gauss(0, 1)
        places = range(20)
        plain += trend_p(values) < 0.01
        seen += trend_p(values, autocorrelation(places, values)) < 0.01
    assert plain > 75
    assert seen < 0.4 * plain


def test_a_trend_is_shown_in_spite_of_the_correction() -> None:
    for n in (10, 20, 50):
        values = [math.log(value) for value in rising(n)]
        assert trend_p(values, autocorrelation(range(n), values)) < 0.01


def test_a_steady_drift_without_noise_is_shown() -> None:
    """A line leaves a curve, whose neighbours are alike."""
    (check,) = found("drift", [1 + k / 100 + k * k / 1000 for k in range(20)])
    assert check.level == "warning"
    assert tau([1, 2, 3, 4]) == 1 and tau([4, 3, 2, 1]) == -1 and tau([1, 3, 2, 4]) == 2 / 3 and tau([1]) == 0


def test_slope_and_autocorrelation_by_hand() -> None:
    assert slope([0, 1, 3], [1.0, 2.0, 8.0]) == 7 / 3
    assert autocorrelation(range(4), [1, 2, 1, 2]) == 0.0
    assert autocorrelation(range(9), [5.0] * 9) == 0.0
    # What the line leaves alternates.
    assert autocorrelation(range(8), [1, -1, 1, -1, 1, -1, 1, -1]) == 0.0
    # Ranks -3.5 to 3.5, and back: 27 of 42 remain.
    assert autocorrelation(range(8), [1, 3, 5, 7, 8, 6, 4, 2]) == pytest.approx(0.99)


def test_variance_of_autocorrelated_values_by_hand() -> None:
    """Three values have one lag with a weight: 2 * 1 * 0 = 0. Of four, the first has 3 * 2 * 1 = 6 of 24."""
    assert trend_p([1, 2, 3], 0.5) == trend_p([1, 2, 3])
    variance = 4 * 3 * 13 / 18 * (1 + 2 / 24 * 6 * 0.5)
    assert trend_p([1, 2, 3, 4], 0.5) == pytest.approx(math.erfc(5 / math.sqrt(variance) / math.sqrt(2)))
