"""The verdict on a race: shown differences, ties, and races that are not comparable."""

from __future__ import annotations

import re

import msgspec
import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import run_json
from llmtui.model import (
    Backend,
    BackendChanged,
    Iteration,
    IterationDone,
    RunConfig,
)
from llmtui.runview.run import RunView
from llmtui.stats.compare import compare
from llmtui.stats.correction import LEVEL
from llmtui.stats.rounds import Rounds
from llmtui.stats.verdict import Verdict
from tests import build
from tests.stats.build import iteration, raced, record


def codes(verdict: Verdict) -> set[str]:
    return {c.code for c in verdict.checks}


def test_difference_is_reported_with_its_interval() -> None:
    verdict = raced(1.0, 1.3, 2.4).verdict()
    assert verdict.line.startswith("a is fastest: b takes 1.3") and "x as long (95%: 1." in verdict.line
    assert ", c 2.4" in verdict.line and "(" not in verdict.brief
    assert [c.decided for c in verdict.comparisons] == [True] * 3
    assert len(verdict.sentences) == 3 and all("x as long as" in s for s in verdict.sentences[:2])


def test_tie_reports_the_smallest_difference_it_could_show() -> None:
    run_view = raced(1.0, 1.0, noise=0.05)
    assert run_view.verdict().line.startswith("no clear difference (10 rounds would reveal one of ")
    run_view.apply(build.changed("a", state="running", planned=12))
    assert run_view.verdict().line.startswith("no clear difference yet (")


def test_tie_for_first_has_no_fastest() -> None:
    line = raced(1.0, 1.0, 3.0).verdict().line
    assert "is fastest" not in line and "c takes 3" in line and "no clear difference to" in line


def test_different_work_is_compared_per_token() -> None:
    verdict = raced(1.0, 2.0, tokens=(20, 64)).verdict()
    assert verdict.leading.metric == "tokens_per_s" and "output-tokens" in codes(verdict)
    assert verdict.line.startswith("not comparable by latency: ")
    assert "a is fastest by tokens/s: 2.0" in verdict.line
    assert [c.metric for c in verdict.comparisons] == ["tokens_per_s"]
    assert verdict.sentences[0].startswith("a and b: not comparable by latency (")


@pytest.mark.parametrize(("medians", "rounds"), [((), 0), ((1.0,), 10), ((1.0, 2.0), 0)])
def test_fewer_than_two_backends_have_no_verdict(medians: tuple[float, ...], rounds: int) -> None:
    verdict = raced(*medians, rounds=rounds).verdict()
    assert verdict.line == verdict.brief == "" and verdict.sentences == []


def test_too_few_rounds_give_no_verdict() -> None:
    verdict = raced(1.0, 2.0, rounds=3).verdict()
    assert verdict.line == "no verdict: 3 rounds are too few; 6 can decide"
    assert "too-few" in codes(verdict)


def test_six_rounds_are_enough_for_any_number_of_backends() -> None:
    assert raced(1.0, 2.0, rounds=6).verdict().line.startswith("a is fastest: b takes ")
    assert raced(1.0, 2.0, 4.0, 8.0, rounds=6).verdict().line.startswith("a is fastest: b takes ")
    # A lead on one of two is not shown by 6 rounds: it is one of several claims.
    assert (
        raced(1.0, 1.0, 4.0, rounds=6, noise=0.0).verdict().line == "no verdict: 6 rounds are too few among 3 backends"
    )


def test_names_are_sanitized() -> None:
    hostile = Backend(name="a\x1b[31m\nb")
    run_view = build.run_view(build.plan(hostile, "c"))
    for n in range(10):
        run_view.apply(IterationDone(iteration=iteration(hostile.name, n + 1, 1.0 + n / 100)))
        run_view.apply(IterationDone(iteration=iteration("c", n + 1, 2.0 + n / 100)))
    verdict = run_view.verdict()
    assert not any(c in text for text in [verdict.line, *verdict.sentences] for c in "\x1b\n")


def test_verdict_is_cached_until_enough_samples_arrive() -> None:
    run_view = raced(1.0, 1.3, rounds=60)
    first = run_view.verdict()
    assert run_view.verdict() is first and run_view.verdict("ttft") is not first
    run_view.apply(build.changed("a", state="running", planned=70))
    going = run_view.verdict()
    run_view.apply(IterationDone(iteration=iteration("a", 61, 1.0)))
    assert run_view.verdict() is going, "one sample in 120 does not change it"
    for n in range(62, 66):
        run_view.apply(IterationDone(iteration=iteration("a", n, 1.0)))
    again = run_view.verdict()
    assert again is not going
    run_view.apply(IterationDone(iteration=iteration("a", 66, 1.0)))
    run_view.apply(build.changed("a", planned=70))
    assert run_view.verdict() is not again and run_view.verdict().done


def test_added_rounds_raise_the_level() -> None:
    run_view = raced(1.0, 1.3, rounds=12)
    assert run_view.verdict().level == 0.95
    for name, latency in (("a", 1.0), ("b", 1.3)):
        run_view.apply(IterationDone(iteration=iteration(name, 13, latency)))
    assert run_view.verdict().level == 0.99
    # Stopping at a good result takes the level of all looks.
    run_view.apply(build.changed("b", state="stopped", planned=13))
    assert run_view.verdict().level == pytest.approx(1 - 0.1 / 120)
    run_view.apply(build.changed("b", state="running", planned=14))
    assert run_view.verdict().level == pytest.approx(1 - 0.1 / 120)


def test_all_rounds_are_compared() -> None:
    run_view = raced(1.0, 1.3, rounds=1_200)
    assert run_view.verdict().comparisons[0].n == 1_200
    assert not any("only the newest" in text for text in run_view.verdict().sentences)


def test_only_the_newest_of_very_many_rounds_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rounds.__init__, "__defaults__", ((), 30))
    run_view = raced(1.0, 1.3, rounds=35)
    assert run_view.verdict().comparisons[0].n == 30
    assert run_view.verdict().sentences[-1] == "only the newest 30 rounds are compared"


def test_new_attempt_drops_the_previous_samples() -> None:
    run_view = raced(1.0, 1.3)
    run_view.apply(build.changed("a", state="loading", attempt=2, planned=10))
    assert len(run_view.backends["a"].rounds) == 0 and run_view.backends["a"].evidence.measured == 0
    assert run_view.verdict().line == ""
    run_view.apply(IterationDone(iteration=iteration("a", 1, 1.0)))
    assert len(run_view.backends["a"].rounds) == 0, "a late sample of attempt 1"


def test_own_error_check_uses_the_accuracy_record(monkeypatch: pytest.MonkeyPatch) -> None:
    run_view = raced(1.0, 1.004, noise=0.0001)
    monkeypatch.setattr("llmtui.store.accuracy_record.newest", lambda machine: record(0.003))
    assert "own-error" in codes(run_view.verdict())


def test_incomparable_backend_is_not_a_tie() -> None:
    run_view = raced(1.0, 1.3, 2.0)
    run_view.apply(build.changed("c", planned=10, weights="Q8_0", model="other"))
    for name in "ab":
        run_view.apply(build.changed(name, planned=10, weights="Q8_0", model="this"))
    line = run_view.verdict().line
    assert line.startswith("a is fastest of the 2 comparable ones: b takes 1.3") and line.endswith(
        ", not comparable to c"
    )
    assert "no clear difference" not in line


def test_backend_with_too_few_samples_is_not_a_tie() -> None:
    run_view = raced(1.0, 1.3)
    plan = msgspec.structs.replace(run_view.plan, backends=[*run_view.plan.backends, Backend(name="e")])
    wider = RunView(plan, keep=0)
    for backend_view in run_view.backends.values():
        for i in backend_view.iterations:
            wider.apply(IterationDone(iteration=i))
    for n in range(1, 5):
        wider.apply(IterationDone(iteration=iteration("e", n, 3.0 + n / 100)))
    for name in "abe":
        wider.apply(build.changed(name, planned=10, weights="Q8_0"))
    assert wider.verdict().line.endswith(", no verdict on e")


def test_level_is_stricter_before_the_end() -> None:
    run_view = raced(1.0, 1.3)
    assert (run_view.verdict().level, "so far" in run_view.verdict().line) == (LEVEL, False)
    run_view.apply(build.changed("b", state="running", planned=12))
    assert run_view.verdict().level == 0.99
    assert (
        run_view.verdict().line.startswith("a is fastest so far: b takes 1.3") and "(99%: " in run_view.verdict().line
    )


def test_level_is_stricter_for_a_stopped_run() -> None:
    run_view = raced(1.0, 1.3, rounds=10)
    run_view.plan = msgspec.structs.replace(run_view.plan, config=RunConfig(iterations=40))
    for name in "ab":
        run_view.apply(build.changed(name, state="stopped", planned=40, weights="Q8_0"))
    assert run_view.verdict().level == 0.9975 and "(99.75%: " in run_view.verdict().line


def test_zeros_prevent_a_comparison() -> None:
    run_view = raced(1.0, 1.3)
    for name in "ab":
        for n in range(11, 21):
            run_view.apply(
                IterationDone(iteration=iteration(name, n, 1.0, itl_s=0.0 if name == "a" and n < 18 else 0.005))
            )
    assert run_view.verdict("itl").sentences == ["a and b: nothing to compare by ITL: 7 samples of a are 0"]
    assert run_view.verdict("itl").line == "also, nothing to compare by ITL: a has 0 in 7 of 10 iterations"


def test_uneven_pair_reports_both_counts() -> None:
    (comparison,) = compare({"a": lane_of("a", [1.0] * 2), "b": lane_of("b", [2.0] * 4, "2")}, "latency")
    assert comparison.sentence == (
        "b took 2.00x as long as a (2 and 4 iterations), but not in turns: the machine may explain it"
    )


def test_could_show_is_corrected_for_the_pairs() -> None:
    two, five = raced(1.0, 1.0, rounds=8), raced(*[1.0] * 5, rounds=8)
    (alone,) = two.verdict().comparisons
    assert alone.could_show is not None
    # Of five, 8 rounds can show one that beats all others, but no difference of two of the others.
    assert all(c.could_show is not None for c in five.verdict().board.comparisons)
    others = [pair.comparison for pair in five.verdict().among_others]
    assert all(c is not None and c.could_show is None and c.bounded for c in others)
    assert five.verdict().line.startswith("no clear difference (8 rounds would reveal one of ")
    many = raced(*[1.0] * 5, rounds=14).verdict().comparisons
    assert all(c.could_show is not None for c in many)


def test_wording_of_equal_values_and_large_differences() -> None:
    equal = raced(1.0, 1.0, noise=0.0).verdict()
    assert equal.line == "no clear difference (all 10 rounds show the same)"
    (wide,) = compare(
        {
            "a": lane_of("a", [1.0, 9.0, 2.0, 30.0, 4.0, 8.0, 1.0]),
            "b": lane_of("b", [3.0, 9.5, 1.0, 14.0, 40.0, 2.0, 5.0]),
        },
        "latency",
    )
    assert re.search(r"would reveal one of 7\.1x or more\)$", wide.sentence)


def lane_of(name: str, values: list[float], begun: str = "1") -> list[Iteration]:
    return [iteration(name, n + 1, v, started_utc=begun) for n, v in enumerate(values)]


def test_board_is_by_one_metric() -> None:
    run_view = raced(
        1.0, 1.05, 1.09, noise=0.004,
        a={"output_tokens": 64, "tokens_per_s": 64.0, "text": "x" * 200},
        b={"output_tokens": 68, "tokens_per_s": 64.0, "text": "x" * 212, "token_source": "arrivals"},
        c={"output_tokens": 72, "tokens_per_s": 68.0, "text": "x" * 225},
    )  # fmt: skip
    verdict = run_view.verdict()
    assert {c.metric for c in verdict.comparisons} == {"latency", "tokens_per_s"}
    # By latency, b is comparable with both others, and a with b only.
    assert verdict.board.metric == "latency" and next(s.figure for s in verdict.board.standings) == "1.00"
    assert len([s for s in verdict.board.standings if s.ratio is None and not s.alike]) < 2
    assert run_json(run_view) and results_csv(run_view)


def test_undecided_verdict_names_incomparable_backends() -> None:
    run_view = raced(1.0, 1.0, 1.3)
    other = msgspec.structs.replace(run_view.backends["c"].state, model="llama-3.2-1b")
    for name in "ab":
        state = msgspec.structs.replace(run_view.backends[name].state, model="SmolLM2-135M")
        run_view.apply(BackendChanged(backend=state))
    run_view.apply(BackendChanged(backend=other))
    assert run_view.verdict().line.endswith("; not comparable by latency: c")
