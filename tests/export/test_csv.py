"""CSV: columns, golden bytes, and cells that spreadsheets and terminals would execute."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.export.csv import iterations_csv, number, results_csv, text_cell
from llmtui.export.load_columns import ITERATION_COLUMNS, RESULT_COLUMNS
from tests import build
from tests.export.run_views import SECRET, run_view
from tests.stats.build import raced

FIXTURES = Path(__file__).parent.parent / "fixtures" / "export"

#: The contract: names and order never change, new columns go last.
RESULTS = [
    "backend",
    "framework",
    "language",
    "model",
    "weights",
    "iterations",
    "errors",
    "disturbed",
    "latency_mean_s",
    "latency_median_s",
    "latency_min_s",
    "latency_max_s",
    "latency_stddev_s",
    "latency_p95_s",
    "ttft_median_s",
    "tokens_per_s_median",
    "output_tokens_median",
    "ratio_to_fastest",
    "load_s",
]
ITERATIONS = [
    "run",
    "backend",
    "attempt",
    "iteration",
    "phase",
    "started_utc",
    "latency_s",
    "ttft_s",
    "ttfo_s",
    "tpot_s",
    "tokens_per_s",
    "output_tokens",
    "prompt_tokens",
    "token_source",
    "finish_reason",
    "connect_s",
    "server_prefill_s",
    "server_decode_s",
    "foreign_cpu",
    "error",
]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_columns_are_the_contract() -> None:
    results, iterations = ([column.name for column in columns] for columns in (RESULT_COLUMNS, ITERATION_COLUMNS))
    assert results[: len(RESULTS)] == RESULTS
    assert iterations[: len(ITERATIONS)] == ITERATIONS
    assert len(set(results)) == len(results)
    assert len(set(iterations)) == len(iterations)


def test_golden_bytes() -> None:
    assert results_csv(run_view()).encode() == (FIXTURES / "golden_results.csv").read_bytes()
    assert iterations_csv(run_view()).encode() == (FIXTURES / "golden_iterations.csv").read_bytes()


def test_results_are_of_the_current_attempt() -> None:
    first, bad, slow, ollama = rows(results_csv(run_view()))
    assert (first["iterations"], first["errors"], first["disturbed"], first["attempt"]) == ("2", "0", "1", "2")
    assert (first["latency_mean_s"], first["latency_stddev_s"]) == ("0.8", "0.141421356")
    assert (first["ratio_to_fastest"], first["load_s"], first["weights"]) == ("1", "0.3", "Q8_0")
    assert (bad["errors"], bad["latency_stddev_s"], bad["ttft_median_s"], bad["load_s"]) == ("1", "", "", "")
    assert slow["ratio_to_fastest"] == "4.0625"
    assert (ollama["iterations"], ollama["latency_mean_s"], ollama["ratio_to_fastest"]) == ("0", "", "")
    assert ollama["reason"] == "nothing answers at 127.0.0.1:11434: start it: ollama serve"


def test_results_have_comparability_and_checks() -> None:
    unlike = raced(1.0, 1.3, 2.0, tokens=(64, 64, 20))
    unlike.machine = build.machine(cpu="Some CPU", os="Linux", python="3.12", llmtui="1", load_1m=7.0)
    shown = rows(results_csv(unlike))
    assert [r["comparable_to_fastest"] for r in shown] == ["yes", "yes", "no"]
    checks = unlike.verdict().checks
    assert {"output-tokens"} == {c.code for c in checks if c.level == "void"}
    assert "busy-machine" in {c.code for c in checks if c.level == "warning" and not c.backends}
    for row in shown:
        for column, level in (("void", "void"), ("warnings", "warning")):
            concerned = {
                c.code for c in checks if c.level == level and (not c.backends or row["backend"] in c.backends)
            }
            assert set(row[column].split()) == concerned
    assert all("busy-machine" in r["warnings"].split() for r in shown)
    ollama = rows(results_csv(run_view()))[3]
    assert (ollama["comparable_to_fastest"], ollama["void"]) == ("", "")
    (alone,) = rows(results_csv(raced(1.0)))
    assert (alone["comparable_to_fastest"], alone["ratio_to_fastest"]) == ("yes", "1")


def test_check_is_in_the_row_of_its_backend() -> None:
    llama, bad, *_ = rows(results_csv(run_view()))
    assert "failed-iterations" in bad["warnings"].split() and "failed-iterations" not in llama["warnings"].split()


def test_iterations_have_every_attempt_and_no_numbers_of_failed_ones() -> None:
    all_rows = rows(iterations_csv(run_view()))
    assert [(r["attempt"], r["phase"]) for r in all_rows if r["backend"] == "llama.cpp"] == [
        ("1", "warmup"),
        ("1", "measured"),
        ("1", "measured"),
        ("2", "measured"),
        ("2", "measured"),
    ]
    for row in all_rows:
        if row["error"]:
            assert {row[c] for c in (*ITERATIONS[6:19], "transport_and_client_s")} == {""}
        else:
            assert float(row["latency_s"]) > 0
    assert [r["error"] for r in all_rows if r["error"]] == [
        "no token within 120 s: raise timeout_s",
        "'+1 line of red, bad: raise timeout_s",
    ]


def test_unknown_is_empty_and_zero_is_zero() -> None:
    by_cache = {r["cached_tokens"] for r in rows(iterations_csv(run_view()))}
    assert by_cache == {"", "0"}


@pytest.mark.parametrize("make", [results_csv, iterations_csv])
def test_rfc_4180_with_lf_and_no_secrets(make: object) -> None:
    assert callable(make)
    text = make(run_view())
    assert "\r" not in text and text.endswith("\n") and "\x1b" not in text
    assert SECRET not in text
    widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)}
    assert len(widths) == 1
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            # A number may be negative (clocks that disagree). Everything else is escaped.
            assert cell.lstrip()[:1] not in ("=", "+", "@", "-") or re.fullmatch(r"-\d+(\.\d+)?", cell)


def test_empty_run_is_a_header() -> None:
    empty = build.run_view(build.plan())
    assert results_csv(empty) == ",".join(column.name for column in RESULT_COLUMNS) + "\n"
    assert iterations_csv(empty) == ",".join(column.name for column in ITERATION_COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  =1", "'=1"),
        ("\t=1", "'=1"),
        ("\r\n@x", "'@x"),
        ("\u200b=1", "'=1"),
        ("\x00-1", "'-1"),
        ("\x1b[1m+1", "'+1"),
        ("\uff1d1", "'\uff1d1"),
        ("a; =1", "a; '=1"),
        ("a=1", "a=1"),
        ("llama.cpp", "llama.cpp"),
        ("", ""),
    ],
)
def test_formulas_are_escaped(text: str, cell: str) -> None:
    assert text_cell(text) == cell


@given(st.text())
def test_no_text_is_a_formula_or_breaks_its_line(text: str) -> None:
    cell = text_cell(text)
    assert cell.lstrip()[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert all(c.isprintable() for c in cell)
    assert text_cell(cell) == cell


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (math.inf, ""),
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (64, "64"),
        (64.0, "64"),
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.333333333"),
        (1e-6, "0.000001"),
        (2.5e-9, "0.000000003"),
        (1e22, "10000000000000000000000"),
        (-0.25, "-0.25"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_numbers_read_back(value: float) -> None:
    text = number(value)
    assert "e" not in text.lower()
    assert float(text) == round(value, 9)
