"""`history`: headings, failures, filters and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtui.cli.app import cli
from llmtui.cli.history_list import list_runs, run_line, table
from llmtui.model.errors import UsageError
from llmtui.store.errors import NoRunError
from llmtui.store.listing import Runs
from llmtui.store.open import open_store
from llmtui.store.run_filter import RunFilter, since
from llmtui.text.cells import cells_wide
from tests.cli.histories import add
from tests.store import runs
from tests.store.runs import database


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three runs, a day apart."""
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"ok": 0.3, "slow": 0.75}, label="Before")
    add(file, "aaaa0002", {"ok": 0.3, "expires": 0.305, "gone": 0.0}, failed={"expires": 3}, n=10)
    add(file, "aaaa0003", {"vLLM": 0.05}, end=None)
    with open_store(file)[0] as history:
        history.save_state("aaaa0001", runs.state("ok", planned=10, model="SmolLM2-135M"))
    with database(file) as connection:
        for day in (1, 2, 3):
            connection.execute(
                "UPDATE runs SET created_utc = ? WHERE id = ?", (f"2026-11-2{day}T15:00:00.000Z", f"aaaa000{day}")
            )
    return file


def listed(file: Path, wanted: RunFilter | None = None, number: int = 20) -> Runs:
    with open_store(file)[0] as history:
        return history.runs(number, wanted)


def test_a_line_says_which_backends_failed(store: Path) -> None:
    assert [run_line(row) for row in listed(store)] == [
        "aaaa0003  2026-11-23 15:00  running  -       vLLM 50.0 ms",
        "aaaa0002  2026-11-22 15:00  done     2 of 3  ok 0.300 s, expires 0.305 s (3 of 10 failed), gone not reachable",
        "aaaa0001  2026-11-21 15:00  done     -       [Before] SmolLM2-135M: ok 0.300 s, slow 0.750 s",
    ]


def test_a_table_has_headings_and_fits_the_terminal(store: Path) -> None:
    lines = table(listed(store), 80)
    assert lines == [
        "run       started (UTC)     state    failed  label, model: median latency of",
        "                                             each backend",
        "aaaa0003  2026-11-23 15:00  running  -       vLLM 50.0 ms",
        "aaaa0002  2026-11-22 15:00  done     2 of 3  ok 0.300 s,",
        "                                             expires 0.305 s (3 of 10 failed),",
        "                                             gone not reachable",
        "aaaa0001  2026-11-21 15:00  done     -       [Before] SmolLM2-135M: ok 0.300 s,",
        "                                             slow 0.750 s",
    ]
    for width in (66, 120, 200):
        assert all(cells_wide(line) <= width for line in table(listed(store), width))
    assert table([], 80) == []


def test_counts_of_many_backends_have_room(tmp_path: Path) -> None:
    file = tmp_path / "many.db"
    add(file, "aaaa0004", {f"server {n}": 0.0 for n in range(12)})
    lines = table(listed(file), 80)
    assert any("  12 of 12  server 0" in line for line in lines)
    starts = {len(line) - len(line.lstrip()) for line in lines if line.startswith(" ")}
    assert len(starts) == 1 and all(cells_wide(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        (RunFilter(label="bef"), ["aaaa0001"]),
        (RunFilter(backend="OK"), ["aaaa0002", "aaaa0001"]),
        (RunFilter(model="smol"), ["aaaa0001"]),
        (RunFilter(since_utc="2026-11-22T15:00:00+00:00"), ["aaaa0003", "aaaa0002"]),
        (RunFilter(since_utc="2026-11-22T00:00:00+00:00", backend="ok"), ["aaaa0002"]),
        (RunFilter(label="after"), []),
    ],
)
def test_a_filter_applies_before_the_number(store: Path, wanted: RunFilter, runs: list[str]) -> None:
    assert [row.run for row in listed(store, wanted)] == runs
    assert [row.run for row in listed(store, wanted, 1)] == runs[:1]


def test_since_is_a_date_or_a_time_ago() -> None:
    now = datetime(2026, 11, 22, 15, tzinfo=UTC)
    assert since("12h", now) == "2026-11-22T03:00:00+00:00"
    assert since(" 7d", now) == "2026-11-15T15:00:00+00:00"
    assert since("2w", now) == "2026-11-08T15:00:00+00:00"
    assert since("2026-11-20") == "2026-11-20T00:00:00+00:00"
    assert since("2026-11-20 15:30") == "2026-11-20T15:30:00+00:00"
    assert since("2026-11-20T15:30:00Z") == "2026-11-20T15:30:00+00:00"
    for text in ("", "yesterday", "7x", "-1d", "2026-13-01"):
        with pytest.raises(UsageError, match="is not a date such as"):
            since(text, now)


def test_json_is_a_list(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_runs(2, str(store), as_json=True) == 0
    newest, failing = json.loads(capsys.readouterr().out)
    assert (newest["run"], newest["state"], newest["failed"]) == ("aaaa0003", "running", 0)
    assert list(failing) == ["run", "created_utc", "state", "label", "note", "llmtui", "failed", "backends"]
    assert failing["failed"] == 2
    assert failing["backends"][1] == {
        "name": "expires",
        "attempt": 1,
        "state": "done",
        "measured": 7,
        "errors": 3,
        "latency_median_s": pytest.approx(0.305, rel=0.01),
        "model": "",
    }
    assert failing["backends"][2]["latency_median_s"] is None
    assert list_runs(2, str(store), RunFilter(label="none"), as_json=True) == 0
    done = capsys.readouterr()
    assert json.loads(done.out) == []
    assert done.err == "llmtui: no run matches; to see all: llmtui history\n"


@pytest.mark.parametrize(
    "words",
    [
        ["history"],
        ["history", "--prune", "--keep", "1"],
        ["show", "last"],
        ["export", "last"],
        ["compare", "last~1", "last"],
        ["trend", "a"],
        ["resume", "last", "--text"],
    ],
    ids=lambda words: " ".join(words),
)
@pytest.mark.parametrize("inside", ["", "folder"])
def test_a_misspelt_history_is_not_made(words: list[str], inside: str, tmp_path: Path) -> None:
    """Regression: each of these made the file, and said that the history was empty."""
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    named = folder if inside else folder / "misspelt.db"
    with pytest.raises(NoRunError, match=r"\.db does not exist, so no run is in it; check --store$"):
        cli.main([*words, "--store", str(named)], standalone_mode=False)
    assert list(folder.iterdir()) == []
