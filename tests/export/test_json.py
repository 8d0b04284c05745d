"""The JSON document: golden bytes, reading it back, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from llmtui.export.json import RunRecord, run_json
from llmtui.stats.verdict import Verdict
from tests.export.run_views import SECRET, run_view
from tests.stats.build import raced

GOLDEN = Path(__file__).parent.parent / "fixtures" / "export" / "run.json"


def test_golden_bytes() -> None:
    assert run_json(run_view()).encode() == GOLDEN.read_bytes()


def test_document_reads_back_without_loss() -> None:
    full = run_view()
    record = msgspec.json.decode(run_json(full), type=RunRecord)
    assert record.schema_version == 1
    assert record.config == full.plan.config and record.machine == full.machine
    assert [b.backend.name for b in record.backends] == list(full.backends)
    for backend, backend_view in zip(record.backends, full.backends.values(), strict=True):
        assert backend.iterations == backend_view.iterations
        assert backend.summary == backend_view.summary and backend.state == backend_view.state
        assert backend.ratio_to_fastest == full.ratios()[backend_view.backend.name]


def test_top_level_names() -> None:
    document = json.loads(run_json(run_view()))
    assert list(document) == [
        "schema_version",
        "run",
        "created_utc",
        "source",
        "machine",
        "config",
        "backends",
        "comparisons",
        "checks",
        "accuracy",
        "absent",
        "others",
        "earlier_attempts",
        "verdict",
    ]
    assert list(document["backends"][0]) == [
        "backend",
        "state",
        "summary",
        "ratio_to_fastest",
        "iterations",
        "estimates",
        "comparable_to_fastest",
        "start",
    ]
    assert document["backends"][0]["iterations"][0]["arrivals_ns"] == [100_000_000, 112_500_000]
    assert document["config"]["iterations"] == 2
    assert document["config"]["max_tokens"] == 64, "defaults are included"
    assert document["backends"][3]["summary"]["errors"] == 0
    assert document["backends"][3]["summary"]["latency"] is None


def test_comparability_and_other_rates() -> None:
    other_work = raced(1.0, 1.3, 2.0, tokens=(64, 64, 20))
    document = json.loads(run_json(other_work))
    assert [b["comparable_to_fastest"] for b in document["backends"]] == [True, True, False]
    assert [b["comparable_to_fastest"] for b in json.loads(run_json(run_view()))["backends"]][3] is None
    more = [other for pair in document["comparisons"] for other in pair["more"]]
    verdict: Verdict = other_work.verdict()
    expected = [(pair, other) for pair in verdict.pairs for other in pair.more]
    assert len(more) == len(expected) and all(set(m) == set(document["comparisons"][0]) for m in more)
    for record, (pair, other) in zip(more, expected, strict=True):
        assert (record["metric"], record["ratio"], record["more"]) == (other.metric, other.ratio, [])
        assert record["backends"] == [pair.one, pair.two] and record["sentence"] in verdict.sentences
        assert record["instead_of"] == "latency"


def test_no_secrets() -> None:
    text = run_json(run_view())
    assert SECRET not in text and "api_key" not in text
