"""The verdicts of earlier attempts stay: the same for every client, computed once, and bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from llmtui.export.json import RunRecord, run_json
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import Earlier, Hello, IterationDone, RunState
from llmtui.runview import earlier as earlier_module
from llmtui.runview.earlier import EarlierAttempt
from llmtui.runview.figures import REMEMBERED
from llmtui.runview.run import RunView
from llmtui.stats.verdict import Verdict, judge
from tests import build
from tests.reruns import rerun

PLAN = build.plan("a", "b", iterations=10)
EVENTS = [*rerun(1, {"a": 1.0, "b": 1.1}), *rerun(2, {"b": 0.9}), *rerun(3, {"a": 1.0, "b": 1.0})]


def lines(found: Iterable[EarlierAttempt]) -> list[tuple[str, str, bool]]:
    return [(attempt.title, attempt.fastest, attempt.in_turns) for attempt in found]


def test_every_earlier_attempt_has_its_verdict() -> None:
    run_view = build.run_view(PLAN, *EVENTS)
    first, second = run_view.earlier_attempts()
    assert lines([first, second]) == [("attempt 1", "a", True), ("attempt 2 of b", second.fastest, False)]
    assert first.sentence.startswith("attempt 1, judged at 95%: a is fastest: b takes 1.1")
    assert first.short.startswith("attempt 1: a is fastest: b takes 1.1") and "95%" not in first.short
    assert second.sentence.startswith("attempt 2 of b: "), "without turns no level is told"
    assert second.backends == {"a": 1, "b": 2}
    assert build.run_view(PLAN, *rerun(1, {"a": 1.0, "b": 1.1})).earlier_attempts() == []


def test_the_first_verdict_is_the_one_that_was_shown() -> None:
    run_view = build.run_view(PLAN, *rerun(1, {"a": 1.0, "b": 1.1}))
    shown = run_view.verdict()
    for event in rerun(2, {"a": 1.0, "b": 1.0}):
        run_view.apply(event)
        (first,) = run_view.earlier_attempts()
        assert (first.line, first.brief, first.fastest, first.level) == (
            shown.line,
            shown.brief,
            shown.fastest,
            shown.level,
        )


@pytest.mark.parametrize("known", [0, 13, 50])
def test_a_late_client_and_the_history_have_the_same_attempts(known: int) -> None:
    live = build.run_view(PLAN, *EVENTS)
    done = [event.iteration for event in EVENTS if isinstance(event, IterationDone)]
    late = RunView(PLAN, keep=0)
    states = [view.state for view in live.backends.values()]
    hello = Hello(plan=PLAN, machine=live.machine, run=RunState(), backends=states, iterations=done[:known])
    late.apply(hello)
    late.apply(Earlier(iterations=done[known:], last=True))
    assert late.earlier_attempts() == live.earlier_attempts()
    # Another run in the same view has none of them.
    late.apply(msgspec.structs.replace(hello, iterations=done[:20], backends=[build.state("a"), build.state("b")]))
    assert late.earlier_attempts() == []


def test_each_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def counted(*args: Any, **more: Any) -> Verdict:
        judged.append(args[3])
        return judge(*args, **more)

    monkeypatch.setattr(earlier_module, "judge", counted)
    run_view = RunView(PLAN)
    for event in EVENTS:
        run_view.apply(event)
        run_view.earlier_attempts()
    assert judged == ["latency", "latency"]
    run_view.earlier_attempts("ttft")
    run_view.earlier_attempts("ttft")
    assert judged == ["latency", "latency", "ttft", "ttft"]


def test_an_attempt_that_is_not_over_is_not_among_them() -> None:
    plan = build.plan("a", "b", "c", iterations=10)
    events = [*rerun(1, {"a": 1.0, "b": 1.1, "c": 1.2}), *rerun(2, {"c": 0.9})[:5], *rerun(3, {"b": 1.0})]
    run_view = build.run_view(plan, *events)
    assert lines(run_view.earlier_attempts()) == [("attempt 1", "a", True)]
    run_view.apply(build.changed("c", state="stopped", attempt=2, planned=10))
    assert [each.title for each in run_view.earlier_attempts()] == ["attempt 1", "attempt 2 of c"]


def test_a_rerun_without_a_sample_leaves_no_attempt_behind() -> None:
    events = [*rerun(1, {"a": 1.0, "b": 1.1}), *rerun(2, {"b": 1.0}, failing="b", state="failed")]
    run_view = build.run_view(PLAN, *events, *rerun(3, {"a": 1.0, "b": 1.0}))
    assert [each.title for each in run_view.earlier_attempts()] == ["attempt 1"]


def test_only_the_newest_are_remembered() -> None:
    run_view = RunView(PLAN)
    for number in range(1, 3 * REMEMBERED):
        for event in rerun(number, {"a": 1.0, "b": 1.1}):
            run_view.apply(event)
    numbers = [each.attempt for each in run_view.earlier_attempts()]
    assert numbers == list(range(2 * REMEMBERED, 3 * REMEMBERED - 1))
    # One that is never rerun has all of its samples, and is compared with what is remembered of the others.
    for event in rerun(3 * REMEMBERED, {"b": 1.1}):
        run_view.apply(event)
    assert run_view.earlier_attempts()[0].backends == dict.fromkeys("ab", 2 * REMEMBERED + 1)
    assert len(run_view.backends["b"].sampled_attempts) == REMEMBERED


def test_exports_have_them() -> None:
    run_view = build.run_view(PLAN, *EVENTS)
    sentences = [each.sentence for each in run_view.earlier_attempts()]
    table, markdown = summary_table(run_view, 1000), run_markdown(run_view)
    assert all(f"\n{sentence}\n" in table and f"- `{sentence}`\n" in markdown for sentence in sentences)
    record = msgspec.json.decode(run_json(run_view), type=RunRecord)
    assert lines(record.earlier_attempts) == lines(run_view.earlier_attempts())
    assert [each.line for each in record.earlier_attempts] == [each.line for each in run_view.earlier_attempts()]
    assert msgspec.json.decode(run_json(run_view))["earlier_attempts"][0].keys() == {
        *("attempt", "backends", "level", "in_turns", "fastest", "line"),
    }
