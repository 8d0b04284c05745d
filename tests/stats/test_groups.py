"""Backends that are comparable among themselves only: in which group the star is, and what ratios are to.

Real servers provoked it: the answers of one ended early, so it was the fastest, and all others were compared with it.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Mapping

import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import run_json
from llmtui.export.table import summary_table
from llmtui.model import IterationDone
from llmtui.runview.run import RunView
from llmtui.ui.views.verdict import verdict_page
from tests import build

ROUNDS = 12


def race(backends: Mapping[str, tuple[float, int]], seed: int = 1, rounds: int = ROUNDS) -> RunView:
    """A finished race of these backends (latency in s, output tokens); fewer than 64 tokens ended early."""
    rng = random.Random(seed)
    run_view = build.run_view(build.plan(*backends, iterations=rounds, warmup=0))
    seq = 0
    for number in range(1, rounds + 1):
        for name, (latency_s, tokens) in backends.items():
            seq += 1
            made = build.answered(
                name,
                number,
                latency_s * (1 + rng.gauss(0, 0.01)),
                seq=seq,
                output_tokens=tokens,
                finish_reason="length" if tokens == 64 else "stop",
                tokens_per_s=tokens / latency_s,
            )
            run_view.apply(IterationDone(iteration=made))
    for name in backends:
        run_view.apply(build.changed(name, planned=rounds, weights="Q8_0"))
    return run_view


def results(run_view: RunView) -> dict[str, dict[str, str]]:
    return {row["backend"]: row for row in csv.DictReader(io.StringIO(results_csv(run_view)))}


ONE_EARLY = {"Ollama": (0.2, 11), "llama-server": (1.0, 64), "llamafile": (1.5, 64), "mistral.rs": (2.0, 64)}
#: Two groups of equal size.
TWO_EARLY = {"Ollama": (0.2, 11), "Ollama 2": (0.3, 11), "llama-server": (1.0, 64), "llamafile": (1.5, 64)}


def test_no_ratio_is_to_a_backend_whose_answers_ended_early() -> None:
    rows = results(race(ONE_EARLY))
    comparable = {name: row["comparable_to_fastest"] for name, row in rows.items()}
    assert comparable == {"Ollama": "no", "llama-server": "yes", "llamafile": "yes", "mistral.rs": "yes"}
    assert rows["llama-server"]["ratio_to_fastest"] == "1"
    assert 1.4 < float(rows["llamafile"]["ratio_to_fastest"]) < 1.6
    assert float(rows["Ollama"]["ratio_to_fastest"]) < 0.25


def test_the_star_says_which_group_it_is_of() -> None:
    run_view = race(ONE_EARLY)
    verdict = run_view.verdict()
    assert verdict.fastest == "llama-server"
    assert verdict.line.startswith("llama-server is fastest of the 3 comparable ones: llamafile takes 1.")
    assert verdict.line.endswith(", not comparable to Ollama")
    document = json.loads(run_json(run_view))["verdict"]
    assert document["fastest"] == "llama-server"
    assert document["among"] == ["llama-server", "llamafile", "mistral.rs"]
    assert json.loads(run_json(race({"a": (1.0, 64), "b": (1.0, 64)})))["verdict"]["among"] == []
    whole = race({"a": (1.0, 64), "b": (1.2, 64)}).verdict()
    assert whole.line.startswith("a is fastest: b"), "a star of all says so"


def test_no_star_where_most_are_not_comparable() -> None:
    run_view = race(TWO_EARLY)
    verdict = run_view.verdict()
    assert (verdict.fastest, verdict.withheld) == ("", "most others are not comparable")
    assert verdict.board.best == "llama-server", "not of the group that ended early"
    assert verdict.line.startswith("llama-server is ahead (most others are not comparable): llamafile takes 1.")
    assert results(run_view)["llama-server"]["ratio_to_fastest"] == "1"


def test_the_other_group_is_compared_among_itself() -> None:
    run_view = race(TWO_EARLY)
    (sentence,) = run_view.verdict().beside
    assert sentence.startswith("not comparable to llama-server, but to each other: Ollama 2 takes 1.")
    assert sentence.endswith(")"), "with its interval"
    assert sentence in run_view.verdict().sentences
    assert "but to each other: Ollama 2 takes" in " ".join(summary_table(run_view, 200).split())
    page = " ".join("".join(text for text, _ in line).strip() for line in verdict_page(run_view.verdict(), 120))
    assert "but to each other: Ollama 2 takes" in page
    assert race(ONE_EARLY).verdict().beside == []


@pytest.mark.parametrize("seed", range(12))
def test_a_star_never_says_more_than_it_is(seed: int) -> None:
    """It is faster than every backend that is comparable to it, those are at least half, and the others are named."""
    rng = random.Random(seed)
    names = "abcde"[: rng.randint(2, 5)]
    verdict = race({n: (rng.choice((1.0, 1.1, 1.5)), rng.choice((11, 30, 64))) for n in names}, seed).verdict()
    best = verdict.fastest
    if not best:
        return
    others = [name for name in names if name != best]
    alike = [name for name in others if verdict.comparable(best, name)]
    shown = {c.slower for c in verdict.board.comparisons if c.decided and c.faster == best}
    assert shown == set(alike)
    assert 2 * len(alike) >= len(others)
    left_out = [name for name in others if name not in alike]
    assert ("comparable ones" in verdict.line) == bool(left_out)
    assert all(name in verdict.line.partition("not comparable to")[2] for name in left_out)


@pytest.mark.parametrize(("races", "most"), [(20, 3), pytest.param(100, 9, marks=pytest.mark.slow)])
def test_equal_backends_of_a_group_seldom_have_a_star(races: int, most: int) -> None:
    """A group is chosen by the work, which says nothing of the speed: the share of wrong stars stays below 5%."""
    equal = ONE_EARLY | dict.fromkeys(("llamafile", "mistral.rs"), (1.0, 64))
    stars = sum(bool(race(equal, seed).verdict().fastest) for seed in range(races))
    assert stars <= most, "5 of 100 are expected at most, and more than 9 happen once in 30 times"
