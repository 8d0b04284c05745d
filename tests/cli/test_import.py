"""`llmtui import`, and the commands that take what it has stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmtui.cli.app import cli
from llmtui.store.open import open_store
from tests.cli import histories
from tests.imports import files

TIMES = [1.0, 1.1, 1.05, 1.02, 1.07, 1.03, 1.01, 1.04, 1.06, 1.08]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "h.db"


def llmtui(store: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, words), "--store", str(store)], catch_exceptions=False)


def test_an_old_race_beside_a_new_one(tmp_path: Path, store: Path) -> None:
    old = files.hyperfine(("fast", TIMES), ("slow", [2 * time_s for time_s in TIMES]))
    done = llmtui(store, "import", files.write(tmp_path / "old.json", old), "--label", "old")
    assert done.exit_code == 0, done.output
    assert f"--store {store}" in done.output, "the command that shows it works as it stands"
    shown = llmtui(store, "show", "old").stdout
    assert "imported from old.json, which hyperfine wrote; the machine is unknown" in shown
    assert "warning imported: measured by hyperfine, not by llmtui; unknown: prompts, the time to first token" in shown
    assert "helicopters" not in shown and "64 tokens" not in shown
    histories.add(store, "0000aaaa", {"fast": 0.5, "slow": 2.1}, label="new")
    compared = llmtui(store, "compare", "old", "new")
    assert compared.exit_code == 0
    assert "UTC, imported from hyperfine\n" in compared.stdout and "UTC, llmtui " in compared.stdout
    assert "imported: measured by different tools: A hyperfine, B llmtui; unknown: prompts" in compared.stdout
    assert "different prompt" not in compared.stdout and "different hardware" not in compared.stdout
    back = tmp_path / "back"
    assert llmtui(store, "export", "old", "--format", "hyperfine", "-o", back).exit_code == 0
    assert json.loads((back / "fast.json").read_text())["results"][0]["times"] == TIMES


def test_a_load_of_another_tool(tmp_path: Path, store: Path) -> None:
    report = files.guidellm({"type_": "concurrent", "streams": 8}, n=600)
    path = files.write(tmp_path / "benchmarks.json", report)
    assert llmtui(store, "import", f"one={path}", f"two={path}", "--label", "g").exit_code == 0
    shown = llmtui(store, "show", "g").stdout
    assert "measured by guidellm 0.8.1" in shown and "closed loop at 8 streams" in shown
    assert llmtui(store, "compare", "g", "g", "--backend", "one=two").exit_code == 0
    assert llmtui(store, "export", "g", "--markdown", "-").exit_code == 0
    rows = llmtui(store, "export", "g", "--iterations-csv", "-").stdout.splitlines()
    assert len(rows) == 1 + 2 * 602
    assert "not to be stored" not in "".join(rows)
    listed = llmtui(store, "history").stdout
    assert "meta/llama-8b" in listed or "one" in listed


def test_nothing_is_stored_if_a_file_is_wrong(tmp_path: Path, store: Path) -> None:
    good = files.write(tmp_path / "good.json", files.hyperfine(("a", TIMES)))
    bad = files.write(tmp_path / "bad.json", {"what": 1})
    refused = CliRunner().invoke(cli, ["import", str(good), str(bad), "--store", str(store)])
    assert refused.exception is not None and "is not a file of hyperfine" in str(refused.exception)
    with open_store(store)[0] as history:
        assert history.runs() == []
