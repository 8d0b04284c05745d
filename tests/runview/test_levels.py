"""The verdict of a load: one for each level, of which only the one fixed before gives a star, in words of loads."""

from __future__ import annotations

import re

import pytest

from llmtui.model import Load, TurnDone
from llmtui.runview import levels
from llmtui.stats.levels import level_of_others
from llmtui.stats.metrics import CHARTED_OF_LOAD
from tests import build, loads
from tests.loads import CLOSED, OPEN


def test_each_level_has_a_verdict_and_only_the_one_fixed_before_has_a_star() -> None:
    run_view = loads.raced({"llama.cpp": 1.24, "other": 1.0})
    four, eight = levels.verdicts(run_view)
    assert [(four.at and four.at.title), (eight.at and eight.at.title)] == ["4 streams", "8 streams"]
    assert (four.counts, eight.counts) == (False, True)
    assert (four.fastest, eight.fastest) == ("", "llama.cpp")
    assert run_view.verdict().fastest == "llama.cpp" and run_view.verdict().metric == "output_tokens_per_s"
    assert eight.level == 0.95 < four.level


def test_sentences_name_the_level_and_the_one_that_counts_comes_first() -> None:
    first, second = levels.sentences(loads.raced({"llama.cpp": 1.24, "other": 1.0}))
    assert re.fullmatch(
        r"at 8 streams llama\.cpp gives 1\.2\d+ times the output tokens/s of other \(95%: 1\.2\d+ to 1\.2\d+\)", first
    )
    assert second.startswith("also at 4 streams llama.cpp gives 1.2") and "(97.5%: " in second
    (other,) = levels.sentences(loads.raced({"llama.cpp": 1.24, "other": 1.0}), others=True)
    assert other.startswith("also at 4 streams ")


def test_times_are_as_fast() -> None:
    verdict = loads.raced({"a": 1.24, "b": 1.0, "c": 0.62}).verdict("ttft")
    assert re.fullmatch(
        r"also at 8 streams a is 1\.\d+ times as fast as b by TTFT \(99\.69%: [\d.]+ to [\d.]+\), "
        r"[12]\.\d+ times as fast as c \([\d.]+ to [\d.]+\)",
        verdict.line,
    ), verdict.line


def test_what_is_not_shown_is_said_of_the_level() -> None:
    assert re.fullmatch(
        r"at 8 streams: no clear difference by output tokens/s \(10 rounds would reveal one of [\d.]+% or more\)",
        loads.raced({"a": 1.0, "b": 1.0}, noise=0.05).verdict().line,
    )
    assert (
        loads.raced({"a": 1.0, "b": 1.0}, rounds=3)
        .verdict()
        .line.startswith("at 8 streams: no verdict by output tokens/s: ")
    )


def test_throughput_is_never_judged_in_an_open_loop() -> None:
    run_view = loads.raced({"a": 1.3, "b": 1.0}, OPEN)
    assert run_view.verdict().line.startswith("at 2 requests/s a is 1.29 times as fast as b by latency (")
    by_rate = run_view.verdict("output_tokens_per_s")
    assert by_rate.leading.instead_of == "output_tokens_per_s" and by_rate.used == "latency"
    assert "an open loop" in by_rate.line and not by_rate.fastest
    asked = loads.raced({"a": 1.3, "b": 1.0}, OPEN, metric="output_tokens_per_s").verdict()
    assert asked.counting == "latency" and "output_tokens_per_s" not in (asked.used, asked.counting)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
@pytest.mark.parametrize("load", ["closed", "open"])
def test_all_that_does_not_count_errs_as_often_as_what_does(load: str, count: int) -> None:
    given = Load(concurrency=list(range(1, count + 1))) if load == "closed" else Load(request_rate=[1.0] * count)
    at = loads.raced({"a": 1.0}, given, rounds=1).load_at() if given.levels else None
    if at is None:
        return
    others = len(at.judged) - 1
    assert others == len(CHARTED_OF_LOAD) - 1 - (load == "open")
    errors = len(given.levels) * others * (1 - level_of_others(0.95, at))
    errors += (len(given.levels) - 1) * (1 - level_of_others(0.95, at, counting=True)) if count > 1 else 0
    assert errors == pytest.approx(0.05)


def test_a_check_at_all_levels_is_said_once_and_one_of_a_level_names_it() -> None:
    run_view = loads.raced({"a": 1.0, "b": 1.0}, states={"b": {"weights": "F16"}, "a": {"slots": 4}})
    texts = [f"{check.code}: {check.text}" for check in levels.checks(run_view)]
    assert [text for text in texts if text.startswith("weights:")] == [
        next(f"weights: {c.text}" for c in run_view.verdict().checks if c.code == "weights")
    ]
    assert any(text.startswith("slots: at 8 streams: ") for text in texts)


def test_what_is_so_at_every_level_is_said_once() -> None:
    tails = {name: {"buckets": {"ttft": [1000, 40]}} for name in "ab"}
    said = levels.all_sentences(loads.raced({"a": 1.24, "b": 1.0}, rounds=8, fields=tails))
    assert said[-1] == "at every level: p95 of TTFT and p99 of TTFT: 8 rounds are too few: 10 are needed"
    assert [line.partition(" a ")[0].rstrip(":") for line in said[:-1]] == ["also at 4 streams", "at 8 streams"]


def test_a_race_has_no_levels() -> None:
    run_view = build.run_view(build.plan("a", "b"))
    assert not levels.verdicts(run_view) and not levels.sentences(run_view) and not levels.checks(run_view)
    assert CLOSED.levels[-1].streams == 8


def test_all_that_the_data_say_at_a_level() -> None:
    few = loads.raced({"a": 1.24, "b": 1.0}, rounds=8, fields={n: {"buckets": {"ttft": [1000, 40]}} for n in "ab"})
    first, tails = few.verdict().sentences
    assert first == few.verdict().line
    assert tails == "at 8 streams: p95 of TTFT and p99 of TTFT: 8 rounds are too few: 10 are needed"
    equal = loads.raced({"a": 1.24, "b": 1.0}, fields={n: {"buckets": {"ttft": [1000, 40]}} for n in "ab"})
    assert equal.verdict().sentences[1:] == [
        "at 8 streams: no clear difference between a and b in p95 of TTFT and p99 of TTFT"
    ]
    slow = {"a": {"buckets": {"ttft": [1000, 40]}}, "b": {"buckets": {"ttft": [1100, 40]}}}
    p95, p99 = loads.raced({"a": 1.24, "b": 1.0}, fields=slow).verdict().sentences[1:]
    assert p95.startswith("at 8 streams: p95 of TTFT: that of b is 2.72 times that of a (95%: ")
    assert p99.startswith("at 8 streams: p99 of TTFT: that of b is ")


def test_the_first_turn_of_a_backend_at_a_level_is_judged_at_once() -> None:
    """A verdict on no turns says that no result is there."""
    names = ("a", "b", "c")
    run_view = loads.raced(dict.fromkeys(names, 1.0), rounds=0, states={name: {"state": "running"} for name in names})
    before = run_view.verdict("ttft", 1)
    run_view.apply(TurnDone(turn=loads.turn("a", 1, 1)))
    first = run_view.verdict("ttft", 1)
    assert first is not before and len(first.samples["a"]) == 1


def test_a_verdict_waits_for_the_end_of_a_round() -> None:
    """A turn that the others have still to match adds no pair; one of a backend that is alone does not wait."""
    speeds = {"a": 1.0, "b": 1.2, "c": 1.1}
    run_view = loads.raced(speeds, states={name: {"state": "running"} for name in speeds})
    first = run_view.verdict("ttft", 1)
    for name in "ab":
        run_view.apply(TurnDone(turn=loads.turn(name, 11, 1)))
        assert run_view.verdict("ttft", 1) is first
    run_view.apply(TurnDone(turn=loads.turn("c", 11, 1)))
    whole = run_view.verdict("ttft", 1)
    assert whole is not first and len(whole.samples["a"]) == 11
    for number in range(12, 15):
        run_view.apply(TurnDone(turn=loads.turn("a", number, 1)))
    assert len(run_view.verdict("ttft", 1).samples["a"]) == 14, "backends that run one after the other"
    run_view.apply(TurnDone(turn=loads.turn("a", 15, 1)))
    run_view.ended = True
    assert len(run_view.verdict("ttft", 1).samples["a"]) == 15, "at the end nothing is left out"
