"""Which requests of a turn keep the objectives: each rule by hand."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest

from llmtui.model import Failure, Iteration, Level, Slo, Turn
from llmtui.stats.objectives import judge, judge_columns, of_all
from llmtui.stats.turn_figures import TurnFigures
from tests.stats.turns import CLOSED, failed, sample

FOUR = [0.1, 0.2, 0.3, 0.4]
#: FOUR keeps them: its TPOT is 0.1 s.
ALL = Slo(ttft_s=0.1, tpot_s=0.1000001, latency_s=0.4)


def turn(samples: list[Iteration], slo: Slo | None = ALL, level: Level = CLOSED) -> Turn:
    """The turn of these samples, with a window of 10 s."""
    made = TurnFigures(level, slo)
    made.add(samples)
    bare = Turn(run="r", backend="a", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="")
    return msgspec.structs.replace(bare, **made.figures(0.0, 10.0))


def test_columns_are_judged_as_each_request_is() -> None:
    whole = sample(1, "window", 1.0, FOUR)
    values: tuple[float | None, ...] = (None, 0.05, 0.1, 0.3, math.inf, -1.0)
    samples = [
        msgspec.structs.replace(whole, ttft_s=ttft, tpot_s=tpot, latency_s=latency, server_load_s=load, error=error)
        for ttft, tpot, latency in itertools.product(values, repeat=3)
        for load in (None, 0.0, 0.2)
        for error in (None, Failure(kind="stopped", message=""), Failure(kind="http", message=""))
    ]
    names = ("ttft_s", "tpot_s", "latency_s", "server_load_s")
    seconds = {name: [math.nan if (v := getattr(s, name)) is None else v for s in samples] for name in names}
    for slo in (Slo(ttft_s=0.1), Slo(tpot_s=0.1, latency_s=0.2), ALL):
        found = judge_columns(seconds, [s.error for s in samples], slo, samples.__getitem__)
        assert found == [of_all(judge(s, slo)) for s in samples]
        assert set(found) == {"kept", "missed", "undetermined"}


def test_counts_of_a_turn() -> None:
    """Only requests of the window count, and goodput is per second of it."""
    made = turn(
        [
            sample(1, "settling", 0.0, FOUR),
            *(sample(number, "window", 1.0, FOUR) for number in (2, 3, 4)),
            sample(5, "window", 1.0, [0.2, 0.25, 0.3, 0.35]),
            sample(6, "tail", 1.0, FOUR),
        ]
    )
    assert (made.kept, made.missed, made.undetermined, made.requests) == (3, 1, 0, 4)
    assert made.attainment == 0.75 and made.goodput_per_s == pytest.approx(0.3)
    assert made.objectives == {"ttft": [3, 1, 0], "tpot": [4, 0, 0], "latency": [4, 0, 0]}


def test_one_missed_objective_is_enough() -> None:
    slow_end = sample(1, "window", 0.0, [0.1, 0.2, 0.3, 0.5])
    assert judge(slow_end, Slo(ttft_s=0.1, latency_s=0.4)) == {"ttft": "kept", "latency": "missed"}
    assert of_all(judge(slow_end, Slo(ttft_s=0.1, latency_s=0.4))) == "missed"
    assert of_all(judge(slow_end, Slo(ttft_s=0.1))) == "kept"


@pytest.mark.parametrize("kind", ["http", "timeout", "connect", "protocol", "server"])
@pytest.mark.parametrize("refused", [0, 1])
def test_requests_that_fail_miss_them(kind: str, refused: int) -> None:
    """A server that refuses at once must not look as if it kept what it accepted."""
    made = turn([failed(1, "window", 0.0, kind, 0.01, refused=refused), sample(2, "window", 0.0, FOUR)])
    assert (made.kept, made.missed, made.undetermined) == (1, 1, 0)
    assert all(counts == [1, 1, 0] for counts in made.objectives.values())


def test_request_that_is_cut_off() -> None:
    """It missed what it cannot keep any more: it was older than its limit. Otherwise it is undetermined."""
    young, old = failed(1, "window", 0.0, "stopped", 0.09), failed(2, "window", 0.0, "stopped", 0.3)
    assert judge(young, ALL) == {"ttft": "undetermined", "tpot": "undetermined", "latency": "undetermined"}
    assert judge(old, ALL) == {"ttft": "missed", "tpot": "undetermined", "latency": "undetermined"}
    answering = msgspec.structs.replace(old, ttft_s=0.05)
    assert of_all(judge(answering, ALL)) == "undetermined", "its first token came in time, and its last may have"
    assert judge(answering, ALL)["ttft"] == "kept"
    older = msgspec.structs.replace(answering, latency_s=0.41)
    assert judge(older, ALL)["latency"] == "missed" and of_all(judge(older, ALL)) == "missed"
    late_first = msgspec.structs.replace(old, ttft_s=0.2)
    assert judge(late_first, ALL)["ttft"] == "missed"


def test_tpot_of_a_short_answer_is_undetermined() -> None:
    one = sample(1, "window", 0.0, [0.1])
    assert judge(one, ALL) == {"ttft": "kept", "tpot": "undetermined", "latency": "kept"}
    assert of_all(judge(one, ALL)) == "undetermined"
    made = turn([one, one])
    assert made.attainment is None and (made.undetermined, made.goodput_per_s) == (2, 0.0)
    late = sample(1, "window", 0.0, [0.2])
    assert of_all(judge(late, ALL)) == "missed", "whatever its TPOT"


def test_answer_in_one_piece_is_judged_by_when_it_came() -> None:
    """Else a slow server that does not stream would miss nothing."""
    whole = sample(1, "window", 0.0, [3.0], ttft_s=None)
    assert judge(whole, Slo(ttft_s=0.1)) == {"ttft": "missed"}
    assert judge(whole, Slo(ttft_s=3.0)) == {"ttft": "kept"}


def test_answer_for_which_the_server_loaded_its_model_is_undetermined() -> None:
    loading = sample(1, "window", 0.0, [5.0, 5.1, 5.2, 5.3], server_load_s=4.9)
    assert set(judge(loading, ALL).values()) == {"undetermined"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_value_that_cannot_be_true_is_undetermined(value: float) -> None:
    assert judge(sample(1, "window", 0.0, FOUR, latency_s=value), Slo(latency_s=1.0)) == {"latency": "undetermined"}


def test_open_loop_is_judged_from_when_requests_were_written() -> None:
    """The wait for the cap is not the server's."""
    waited = sample(1, "window", 5.0, FOUR, due_s=1.0, waited_s=4.0)
    assert of_all(judge(waited, ALL)) == "kept"
    assert turn([waited], level=Level(number=1, rate=50.0)).scheduled_latency_s == pytest.approx(4.4)


@pytest.mark.parametrize("slo", [None, Slo()])
def test_without_objectives(slo: Slo | None) -> None:
    made = turn([sample(1, "window", 0.0, FOUR), failed(2, "window", 0.0, "http", 0.1)], slo)
    assert (made.kept, made.missed, made.undetermined, made.objectives) == (0, 0, 0, {})
    assert made.attainment is None and made.goodput_per_s is None
