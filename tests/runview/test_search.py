"""What a search has found, in words and as records; a sweep of four levels has a knee too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llmtui.export.csv import results_csv
from llmtui.export.farewell import farewell
from llmtui.export.json import run_json
from llmtui.export.jsonl import search_lines
from llmtui.export.table import summary_table
from llmtui.model import Load, Slo
from llmtui.runview.search import result_level, search_sentences, search_text, undecided_text
from tests import loads
from tests.runview.searched import KNEE, SLO, keeping, searched, throughput


def test_the_sentences_of_a_search_for_the_knee() -> None:
    probed = {"four": [1, 2, 3, 4, 8], "six": [1, 2, 4, 5, 6, 8, 16]}
    view = searched(KNEE, probed, {"four": throughput(4, KNEE), "six": throughput(6, KNEE)})
    assert search_sentences(view) == [
        "knee of four: 4 streams (95%: 4 to 4), 400 output tokens/s at the plateau",
        "knee of six: 6 streams (95%: 6 to 6), 600 output tokens/s at the plateau",
        "the knee of six is at more streams than that of four",
    ]
    assert [search_text(view, name) for name in probed] == ["knee 4 (4 to 4)", "knee 6 (6 to 6)"]
    assert [level.streams for level in view.levels_shown] == [1, 2, 3, 4, 5, 6, 8, 16]
    assert not view.verdict().counts and view.verdict().fastest == "", "no level was fixed before"
    rows = [row.split(",")[0] for row in results_csv(view).splitlines()[1:]]
    assert len(rows) == 12, "a backend has rows of the levels that it measured"
    assert "knee of four: 4 streams" in summary_table(view, 200)


def test_what_was_not_reached_is_a_lower_bound() -> None:
    view = searched(KNEE, {"a": [1, 2, 4, 8, 16]}, {"a": throughput(1000, KNEE)})
    assert search_sentences(view) == ["knee of a: not reached up to 16 streams (1600 output tokens/s), so at 9 or more"]
    assert search_text(view, "a") == "knee 9 or more"


def test_the_sentences_of_a_search_for_the_most_streams() -> None:
    probed = {"a": [1, 2, 4, 8, 6, 7], "b": [1]}
    view = searched(SLO, probed, {"a": keeping(6), "b": keeping(0)}, Slo(ttft_s=0.2, share=0.9))
    assert search_sentences(view) == [
        "a keeps the objectives up to 6 streams (100% kept); misses them at 7 (25.0% kept)",
        "b does not keep the objectives even at 1 stream: 25.0% of its requests keep them, 90% should",
        "a keeps the objectives at more streams than b",
    ]
    assert [search_text(view, name) for name in probed] == ["keeps up to 6", "keeps none"]


def test_a_sweep_of_four_levels_has_a_knee_and_one_of_three_has_none() -> None:
    load = Load(concurrency=[1, 2, 4, 8], requests=40)
    view = loads.raced({"a": 1.0}, load, rounds=6, fields={"a": throughput(4, load)})
    # 3 was not measured.
    assert search_sentences(view) == ["knee of a: 4 streams (95%: 3 to 4), 400 output tokens/s at the plateau"]
    three = Load(concurrency=[1, 2, 4], requests=40)
    assert search_sentences(loads.raced({"a": 1.0}, three, rounds=6, fields={"a": throughput(4, three)})) == []
    assert (
        search_sentences(loads.raced({"a": 1.0}, Load(request_rate=[1.0, 2.0, 3.0, 4.0], requests=40), rounds=3)) == []
    )


def test_the_records_of_a_search() -> None:
    probed = {"four": [1, 2, 3, 4, 8], "six": [1, 2, 4, 5, 6, 8, 16]}
    view = searched(KNEE, probed, {"four": throughput(4, KNEE), "six": throughput(6, KNEE)})
    found = json.loads(run_json(view))["search"]
    assert (found["kind"], found["searched"], found["until"]) == ("knee", True, 16)
    assert found["backends"][0]["knee"] == {
        "streams": 4, "low": 4, "high": 4, "plateau": found["backends"][0]["knee"]["plateau"],
        "reached": True, "sure": True, "failed_at": 0,
    }  # fmt: skip
    assert [probe["streams"] for probe in found["backends"][0]["probes"]] == [1, 2, 3, 4, 8]
    assert found["comparisons"] == [{"backends": ["four", "six"], "more": "six"}]
    lines = [json.loads(line) for line in search_lines(view)]
    assert [(line["type"], line["name"]) for line in lines] == [("search", "four"), ("search", "six")]
    assert all(re.fullmatch(r"knee of \w+: .*", line["sentence"]) for line in lines)


def test_an_undecided_search_is_told_from_one_that_is_decided() -> None:
    """10 requests a turn cannot show that 95% are kept."""

    def few(_: int, level: int) -> Mapping[str, Any]:
        return {"kept": 10 if level <= 2 else 0, "missed": 0 if level <= 2 else 10}

    probed = {"a": [1, 2, 4, 3], "b": [1]}
    view = searched(SLO, probed, {"a": few, "b": keeping(0)}, Slo(ttft_s=0.2))
    assert undecided_text(view) == "the search is undecided: a at 1 to 2 streams"
    assert search_text(view, "a") == "undecided at 1 to 2"
    record = json.loads(run_json(view))["search"]
    assert [found["decided"] for found in record["backends"]] == [False, True]
    assert record["undecided"] == undecided_text(view)
    level = result_level(view)
    assert level is not None and level.streams == 1, "both have measured it"
    farewell_text = farewell(view, 200)
    assert "the search is undecided: a at 1 to 2; b keeps none" in farewell_text
    grows = searched(KNEE, {"a": [1, 2, 4, 8, 16]}, {"a": throughput(1000, KNEE)})
    assert undecided_text(grows) == "the search is undecided: a beyond 16 streams"
    flat = searched(KNEE, {"a": [1, 2, 3, 4, 8]}, {"a": throughput(4, KNEE)})
    assert undecided_text(flat) == "" and json.loads(run_json(flat))["search"]["backends"][0]["decided"]
    assert undecided_text(loads.raced({"a": 1.0}, rounds=6)) == ""
