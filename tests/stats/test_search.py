"""Decisions of searches: which level is probed next, and what the probes say. Servers are models without machines."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from llmtui.model import Failure, Load, Slo, Turn
from llmtui.model.load import ladder
from llmtui.stats import search
from llmtui.stats.knee import ascending, differ, knee_of
from llmtui.stats.most_streams import most_streams
from llmtui.stats.probes import Probe, probes_of
from tests import loads

KNEE = Load(concurrency=[1, 64], requests=12, search="knee")
MOST = Load(concurrency=[1, 64], requests=40, search="slo")
SLO = Slo(ttft_s=0.2)
ROUNDS = 6


def server(slots: int, noise: float = 0.01) -> Callable[[int], Probe]:
    """Probes of a server whose throughput grows up to its slots."""
    rng = random.Random(slots)

    def probe(streams: int) -> Probe:
        speed = math.log(100 * min(streams, slots))
        return Probe(streams=streams, speeds={n: speed + rng.gauss(0, noise) for n in range(1, ROUNDS + 1)})

    return probe


def keeper(most: int, *, unclear: int = 0, broken: int = 0) -> Callable[[int], Probe]:
    """Probes of a server that keeps the objectives up to this many streams; at `unclear` ones it sometimes does."""

    def probe(streams: int) -> Probe:
        if broken and streams >= broken:
            return Probe(streams=streams, speeds={}, broken=True)
        shares = [0.97, 0.93] * 3 if streams == unclear else [1.0 if streams <= most else 0.2] * ROUNDS
        return Probe(streams=streams, speeds={1: 1.0, 2: 1.0}, shares=shares, requests=40 * ROUNDS)

    return probe


def searched(load: Load, probe: Callable[[int], Probe], slo: Slo = SLO) -> list[int]:
    """The streams of the probes that a search makes, in order."""
    made: list[Probe] = []
    while (streams := search.next_probe(sorted(made, key=lambda each: each.streams), load, slo)) is not None:
        assert streams not in [each.streams for each in made], "no level twice"
        made.append(probe(streams))
    assert len(made) <= load.most_levels
    return [each.streams for each in made]


def probed(load: Load, probe: Callable[[int], Probe]) -> list[Probe]:
    return [probe(streams) for streams in sorted(searched(load, probe))]


def test_the_candidates_are_finer_where_a_step_is_a_larger_share() -> None:
    assert ladder(20) == [*range(1, 17), 18, 20]
    assert ladder(256)[-3:] == [224, 240, 256] and len(ladder(256)) == 48
    assert ladder(19)[-2:] == [18, 19], "the upper end is one of them"
    assert [level.streams for level in KNEE.levels] == ladder(64) and KNEE.most_levels == 11


def test_a_search_for_the_knee_doubles_until_that_gains_little_then_halves_the_gap() -> None:
    assert searched(KNEE, server(4)) == [1, 2, 4, 8, 3]
    assert searched(KNEE, server(6)) == [1, 2, 4, 8, 16, 6, 5]
    assert searched(KNEE, server(1)) == [1, 2]


def test_the_knee_and_its_interval() -> None:
    knee = knee_of(probed(KNEE, server(6)), KNEE)
    assert knee is not None and (knee.streams, knee.low, knee.high) == (6, 6, 6)
    assert knee.plateau == pytest.approx(600, rel=0.02) and knee.reached and knee.sure
    # 18 is measured and 20 is: a true knee of 19 would be found at 20.
    coarse = knee_of(probed(KNEE, server(22)), KNEE)
    assert coarse is not None and (coarse.streams, coarse.low) == (20, 19)
    noisy = knee_of([server(6, 0.2)(streams) for streams in (1, 2, 4, 5, 6, 8, 16)], KNEE)
    assert noisy is not None and noisy.low < 6 < noisy.high and not noisy.sure


def test_a_knee_beyond_the_range_is_a_lower_bound() -> None:
    probes = probed(KNEE, server(1000))
    assert [probe.streams for probe in probes] == [1, 2, 4, 8, 16, 32, 64], "there is nothing to find between"
    knee = knee_of(probes, KNEE)
    assert knee is not None and not knee.reached and knee.low == 33


def test_a_level_at_which_the_server_fails_ends_the_doubling() -> None:
    def fails(streams: int) -> Probe:
        return Probe(streams=streams, speeds={}, broken=True) if streams >= 8 else server(1000)(streams)

    assert searched(KNEE, fails) == [1, 2, 4, 8, 7]
    knee = knee_of(probed(KNEE, fails), KNEE)
    assert knee is not None and knee.failed_at == 8 and not knee.reached


def test_noise_that_hides_the_end_makes_the_search_go_on_and_not_stop_early() -> None:
    assert searched(KNEE, server(4, noise=0.2))[:7] == [1, 2, 4, 8, 16, 32, 64]


def test_two_knees_differ_when_the_ratio_of_each_resample_says_so() -> None:
    four, six = probed(KNEE, server(4)), probed(KNEE, server(6))
    assert (differ(four, six, KNEE), differ(six, four, KNEE), differ(four, four, KNEE)) == (-1, 1, 0)
    probe = server(4, noise=0.3)
    assert differ(four, [probe(streams) for streams in (1, 2, 4, 8, 16)], KNEE) == 0


def test_ascending_values_are_the_nearest() -> None:
    assert ascending([1, 3, 2, 2, 5]) == pytest.approx([1, 7 / 3, 7 / 3, 7 / 3, 5])


def test_a_search_for_the_most_streams_doubles_then_halves() -> None:
    assert searched(MOST, keeper(6)) == [1, 2, 4, 8, 6, 7]
    most = most_streams(probed(MOST, keeper(6)), MOST, 0.95)
    assert (most.kept, most.missed, most.undecided) == (6, 7, None)


def test_what_cannot_be_told_is_undecided_and_has_its_ends() -> None:
    most = most_streams(probed(MOST, keeper(6, unclear=7)), MOST, 0.95)
    assert (most.kept, most.missed, most.undecided) == (6, 8, (7, 7))
    assert most.answers[7] == "undecided"


def test_objectives_that_are_missed_at_one_stream_end_the_search() -> None:
    assert searched(MOST, keeper(0)) == [1]
    most = most_streams(probed(MOST, keeper(0)), MOST, 0.95)
    assert (most.kept, most.missed, most.undecided) == (0, 1, None)


def test_a_search_that_finds_no_miss_ends_at_the_end_of_its_range() -> None:
    assert searched(MOST, keeper(1000)) == [1, 2, 4, 8, 16, 32, 64]
    most = most_streams(probed(MOST, keeper(1000)), MOST, 0.95)
    assert (most.kept, most.missed, most.undecided) == (64, None, None)


def test_a_server_that_fails_misses_the_objectives() -> None:
    most = most_streams(probed(MOST, keeper(1000, broken=12)), MOST, 0.95)
    assert (most.kept, most.missed, most.failed_at) == (11, 12, 12)


def test_few_requests_do_not_show_that_objectives_are_kept() -> None:
    few = [Probe(streams=1, speeds={1: 1.0, 2: 1.0}, shares=[1.0] * 6, requests=60)]
    assert most_streams(few, MOST, 0.95).answers == {1: "undecided"}


def turn(number: int, level: int, **fields: object) -> Turn:
    of = {"output_tokens_per_s": 100.0, "kept": 10, "missed": 2}
    return loads.turn(round=number, level=level, **(of | fields))  # type: ignore[arg-type]


def test_a_probe_is_ready_when_all_its_turns_have_ended() -> None:
    whole = [turn(number, 1) for number in (1, 2, 3)]
    begun = [*whole, turn(1, 2), turn(2, 2)]
    levels = KNEE.levels
    assert [probe.streams for probe in probes_of(begun, levels, 3, over=False)] == [1]
    (first,) = probes_of(whole, levels, 3, over=False)
    assert first.shares == pytest.approx([10 / 12] * 3) and first.requests == 36 and not first.broken
    last = probes_of([*begun, turn(3, 2, error=Failure(kind="http", message="500"))], levels, 3, over=False)[-1]
    assert not last.broken and len(last.speeds) == 2 and last.shares[-1] == pytest.approx(10 / 12)
    given_up = probes_of([*whole, turn(1, 2, error=Failure(kind="connect", message="gone"))], levels, 3, over=True)[-1]
    assert given_up.broken and not given_up.measured
