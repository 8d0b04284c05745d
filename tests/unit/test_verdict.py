"""What is said of a race: who is faster, what could not be shown, and where the race was none."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmtui.engine.board import ROUNDS, Board
from llmtui.model import (
    Backend,
    BackendChanged,
    BackendState,
    Iteration,
    IterationDone,
    Plan,
    RunConfig,
)
from llmtui.stats.verdict import Verdict
from tests.unit.test_checks import record


def raced(*medians: float, rounds: int = 10, noise: float = 0.01, tokens: tuple[int, ...] = ()) -> Board:
    """A board of backends a, b, c... that took turns, with these median latencies in s."""
    names = "abcdef"[: len(medians)]
    config = RunConfig(iterations=rounds)
    board = Board(Plan(run="r", created_utc="", config=config, backends=[Backend(name=n) for n in names]), keep=0)
    rng = random.Random(6)
    for number in range(rounds):
        for place, (name, median) in enumerate(zip(names, medians, strict=True)):
            latency = median * (1 + rng.gauss(0, noise))
            count = tokens[place] if tokens else 64
            board.apply(IterationDone(iteration=iteration(name, number + 1, latency, output_tokens=count)))
    for name in names:
        board.apply(BackendChanged(backend=BackendState(name=name, state="done", planned=rounds, weights="Q8_0")))
    return board


def iteration(name: str, number: int, latency_s: float, **more: Any) -> Iteration:
    fields: dict[str, Any] = {
        "run": "r",
        "backend": name,
        "attempt": 1,
        "iteration": number,
        "phase": "measured",
        "started_utc": f"2026-11-22T12:{number // 60 % 60:02}:{number % 60:02}Z",
        "latency_s": latency_s,
        "tokens_per_s": 64 / latency_s,
        "output_tokens": 64,
        "prompt_tokens": 31,
        "token_source": "usage",
        "finish_reason": "length",
        "text": "the same",
    }
    return Iteration(**(fields | more))


def codes(verdict: Verdict) -> set[str]:
    return {c.code for c in verdict.checks}


def test_a_difference_is_told_with_its_interval() -> None:
    verdict = raced(1.0, 1.3, 2.4).verdict()
    assert verdict.line.startswith("a is fastest: b 1.3") and "x slower (95 %: 1." in verdict.line
    assert ", c 2.4" in verdict.line and "(" not in verdict.brief
    assert [c.decided for c in verdict.comparisons] == [True] * 3
    assert len(verdict.sentences) == 3 and all("x slower than" in s for s in verdict.sentences)


def test_no_difference_says_what_could_have_been_shown() -> None:
    board = raced(1.0, 1.0, noise=0.05)
    assert board.verdict().line.startswith("no difference shown; 10 rounds could have shown ")
    board.apply(BackendChanged(backend=BackendState(name="a", state="running", planned=12)))
    assert board.verdict().line.startswith("no difference shown yet; ")


def test_a_tie_behind_a_winner_is_no_order() -> None:
    line = raced(1.0, 1.0, 3.0).verdict().line
    assert "is fastest" not in line and "c 3" in line and "no difference shown to" in line


def test_work_that_differs_is_compared_by_what_counts_per_token() -> None:
    verdict = raced(1.0, 2.0, tokens=(20, 64)).verdict()
    assert verdict.leading.metric == "tokens_per_s" and "output-tokens" in codes(verdict)
    assert verdict.line.startswith("not comparable by latency: ")
    assert "a is fastest by tokens/s: b 2.0" in verdict.line
    assert [c.metric for c in verdict.comparisons] == ["tokens_per_s"]
    assert verdict.sentences[0].startswith("a and b: not comparable by latency (")


@pytest.mark.parametrize(("medians", "rounds"), [((), 0), ((1.0,), 10), ((1.0, 2.0), 0)])
def test_nothing_is_said_of_less_than_two(medians: tuple[float, ...], rounds: int) -> None:
    verdict = raced(*medians, rounds=rounds).verdict()
    assert verdict.line == verdict.brief == "" and verdict.sentences == []


def test_too_few_are_called_too_few() -> None:
    verdict = raced(1.0, 2.0, rounds=3).verdict()
    assert verdict.line == "no verdict: 3 rounds are too few"
    assert "too-few" in codes(verdict)


def test_too_few_for_so_many_pairs_is_not_called_a_tie() -> None:
    assert raced(1.0, 2.0, rounds=6).verdict().line.startswith("a is fastest: b ")
    assert raced(1.0, 2.0, 4.0, rounds=6).verdict().line == "no verdict: 6 rounds are too few for 3 pairs"


def test_names_are_plain() -> None:
    hostile = Backend(name="a\x1b[31m\nb")
    board = Board(Plan(run="r", created_utc="", config=RunConfig(), backends=[hostile, Backend(name="c")]))
    for n in range(10):
        board.apply(IterationDone(iteration=iteration(hostile.name, n + 1, 1.0 + n / 100)))
        board.apply(IterationDone(iteration=iteration("c", n + 1, 2.0 + n / 100)))
    verdict = board.verdict()
    assert not any(c in text for text in [verdict.line, *verdict.sentences] for c in "\x1b\n")


def test_it_is_worked_out_again_only_when_more_is_known() -> None:
    board = raced(1.0, 1.3, rounds=60)
    first = board.verdict()
    assert board.verdict() is first and board.verdict("ttft") is not first
    board.apply(BackendChanged(backend=BackendState(name="a", state="running", planned=70)))
    going = board.verdict()
    board.apply(IterationDone(iteration=iteration("a", 61, 1.0)))
    assert board.verdict() is going, "one in 120 is no news"
    for n in range(62, 66):
        board.apply(IterationDone(iteration=iteration("a", n, 1.0)))
    again = board.verdict()
    assert again is not going
    board.apply(IterationDone(iteration=iteration("a", 66, 1.0)))
    board.apply(BackendChanged(backend=BackendState(name="a", state="done", planned=70)))
    assert board.verdict() is not again and board.verdict().done


def test_rounds_that_were_added_are_paid_for() -> None:
    board = raced(1.0, 1.3, rounds=12)
    assert board.verdict().level == 0.95
    for name, latency in (("a", 1.0), ("b", 1.3)):
        board.apply(IterationDone(iteration=iteration(name, 13, latency)))
    assert board.verdict().level == 0.965


def test_only_the_newest_rounds_are_compared_and_that_is_said() -> None:
    board = raced(1.0, 1.3, rounds=ROUNDS + 5)
    assert board.verdict().comparisons[0].n == ROUNDS
    assert board.verdict().sentences[-1] == f"of the newest {ROUNDS} rounds: that many are compared"
    assert len(board.lanes["a"].rounds) == ROUNDS and not board.lanes["a"].rounds[0].text


def test_an_earlier_attempt_is_forgotten() -> None:
    board = raced(1.0, 1.3)
    board.apply(BackendChanged(backend=BackendState(name="a", state="loading", attempt=2, planned=10)))
    assert board.lanes["a"].rounds == [] and board.lanes["a"].evidence.measured == 0
    assert board.verdict().line == ""
    board.apply(IterationDone(iteration=iteration("a", 1, 1.0)))
    assert board.lanes["a"].rounds == [], "of attempt 1, and late"


def test_our_own_error_is_held_against_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    board = raced(1.0, 1.004, noise=0.0001)
    monkeypatch.setattr("llmtui.accuracy_record.newest", lambda machine: record(0.003))
    assert "own-error" in codes(board.verdict())
