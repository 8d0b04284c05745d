"""The line under the table: the ranking, and what to doubt."""

from __future__ import annotations

import pytest

from llmtui.model import BackendChanged, IterationDone
from llmtui.runview.run import RunView
from llmtui.ui.text.spans import Span, width_of
from llmtui.ui.views.ranking import doubts, fitted_ranking, ranking_line
from tests import build
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def test_synonyms_of_a_quantisation_are_not_a_difference() -> None:
    def differences(weights: str) -> list[str]:
        run_view = canned.run_view(done=10)
        run_view.backends.pop("HuggingFace")
        run_view.apply(BackendChanged(backend=canned.state("llama.cpp", model="smollm2:135m", weights="Q4_K_M")))
        model = "SmolLM2-135M-Instruct.Q4_K_M.gguf"
        run_view.apply(BackendChanged(backend=canned.state("mistral.rs", model=model, weights=weights)))
        return [words for words in doubts(run_view, "latency") if "differ" in words]

    assert differences("Q4_K - Medium") == []
    assert differences("F16") == ["weights differ: F16, Q4_K_M"]


def test_ranking_line_names_the_fastest_and_doubts() -> None:
    line = ranking_line(canned.run_view(), "latency", 120, None)
    assert width_of(line) == 120
    shown = text_of([line])
    assert "llama.cpp 0.9" in shown
    assert "HuggingFace 3." in shown
    assert "weights differ" in shown
    assert "busy" not in shown, "three busy iterations that changed nothing are not worth a word"
    assert text_of([ranking_line(canned.run_view(), "latency", 80, None)]).rstrip().endswith("weights differ")


def busy_view() -> RunView:
    """Two backends; while other programs were busy, one took half as long again."""
    run_view = build.run_view(build.plan("a", "b", iterations=20))
    for number in range(1, 21):
        busy = number % 2
        run_view.apply(IterationDone(iteration=build.iteration("a", number, 1.0 + number / 1e3, foreign_cpu=0.0)))
        slow = build.iteration("b", number, 1.2 + 0.6 * busy + number / 1e3, foreign_cpu=0.8 * busy)
        run_view.apply(IterationDone(iteration=slow))
    for name in "ab":
        run_view.apply(build.changed(name, planned=20))
    return run_view


def test_a_busy_machine_is_mentioned_where_it_matters() -> None:
    wide = text_of([ranking_line(busy_view(), "latency", 120, None)])
    assert wide.rstrip().endswith("10 of 20 measured while other programs were busy")
    narrow = text_of([ranking_line(busy_view(), "latency", 60, None)])
    assert narrow.rstrip().endswith("10 of 20 busy")


@pytest.mark.parametrize(
    ("warmup", "state", "words"),
    [
        (3, "loading", "measured iterations start after the warm-ups"),
        (3, "warmup", "measured iterations start after the warm-ups"),
        (3, "running", "the first measured iterations are under way"),
        (0, "loading", "measured iterations start when the backends are ready"),
        (0, "running", "the first measured iterations are under way"),
    ],
)
def test_words_before_the_first_result(warmup: int, state: str, words: str) -> None:
    run_view = build.run_view(build.plan("a", warmup=warmup), build.changed("a", state=state))
    assert text_of([ranking_line(run_view, "latency", 120, None)]).strip() == f"no result yet: {words}"


def test_what_to_doubt_gets_shorter_and_is_never_dropped() -> None:
    doubted = ["2 errors", "weights differ: Q8_0, bf16", "50 of 50 measured while other programs were busy"]
    left: list[Span] = [
        ("one 0.9 s", "best"),
        *[part for n in range(2, 6) for part in (("   ", ""), (f"backend {n} 1.{n}x", ""))],
    ]
    seen: list[str] = []
    for width in range(180, 29, -1):
        line = fitted_ranking(left, doubted, width)
        assert width_of(line) == width
        text = text_of([line])
        assert "one 0.9 s" in text
        assert "…" not in text
        if "backend 5" not in text:
            assert "+" in text
        seen.append(next(word for word in ("programs", "of 50 busy", "50 busy", "3 doubts") if word in text))
    assert list(dict.fromkeys(seen)) == ["programs", "of 50 busy", "50 busy", "3 doubts"]


def test_all_backends_are_in_the_ranking_if_two_blanks_make_room() -> None:
    left: list[Span] = [("a 1 s", "best"), ("   ", ""), ("b 1.1x", ""), ("   ", ""), ("c 1.2x", "")]
    assert text_of([fitted_ranking(left, [], 23)]).strip() == "a 1 s  b 1.1x  c 1.2x"
    assert text_of([fitted_ranking(left, [], 22)]).strip() == "a 1 s  +2 more"
