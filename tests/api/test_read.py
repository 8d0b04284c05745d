"""`llmtui.read_run`: the same rows from the history, from JSON and from JSON Lines, and errors in plain words."""

from __future__ import annotations

import builtins
import random
import re
import subprocess
import sys
import types
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import llmtui
from llmtui.cli.app import cli
from llmtui.export.json import run_json
from llmtui.export.jsonl import sample_line
from llmtui.runview.run import RunView
from llmtui.store.open import open_store
from tests.cli.histories import add
from tests.imports import files
from tests.store import turns
from tests.store.runs import MACHINE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with a race, and the race as run.json and run.jsonl."""
    folder = tmp_path_factory.mktemp("api")
    file = folder / "history.db"
    add(file, "aaaa0001", {"a": 0.5, "b": 0.6}, n=6, failed={"b": 1}, label="before")
    store, _ = open_store(file)
    with store:
        stored = store.load("aaaa0001")
    view = RunView(stored.plan)
    view.apply(stored.hello())
    (folder / "run.json").write_text(run_json(view))
    (folder / "run.jsonl").write_text("".join(sample_line(stored.plan, i) for i in stored.iterations))
    return folder


def test_the_history_and_both_files_have_the_same_rows(folder: Path) -> None:
    run = llmtui.read_run("before", store=folder / "history.db")
    assert (run.run, run.state, run.label) == ("aaaa0001", "done", "before")
    assert run.config["iterations"] == 6 and run.machine["cores"] == 2 and run.load == {} and run.verdict
    rows = run.iterations()
    assert [(r["backend"], r["iteration"], r["error"] is None) for r in rows[:1] + rows[6:8]] == [
        ("a", 1, True),
        ("b", 1, False),
        ("b", 2, True),
    ]
    assert rows[0]["arrivals_s"] == [0.125, 0.3125, 0.5] and rows[0]["text"] == "Hello"
    assert rows[6]["latency_s"] is None
    a, b = run.backends()
    assert (a["backend"], a["iterations"], b["errors"], a["state"]) == ("a", 6, 1, "done")
    assert a["latency_median_s"] == pytest.approx(0.5, rel=0.01) and run.turns() == run.requests() == []

    document = llmtui.read_run(folder / "run.json")
    assert document.iterations() == rows and document.backends() == run.backends()
    assert (document.config, document.machine, document.verdict) == (run.config, run.machine, run.verdict)
    lines = llmtui.read_run(str(folder / "run.jsonl"))
    assert lines.iterations() == rows
    known = [{k: v for k, v in row.items() if v is not None} for row in lines.backends()]
    assert all(of.items() <= full.items() for of, full in zip(known, run.backends(), strict=True))
    assert {"latency_median_s", "ttft_median_s", "errors"} <= known[1].keys() and "state" not in known[0]


def test_a_load_has_turns_and_requests(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    store, _ = open_store(file)
    with store:
        store.begin(turns.load_plan(1, 8), MACHINE)
        samples = turns.requests(random.Random(1), 6, 8)
        turn = turns.turn()
        store.save_turns(turns.RUN, [turn, turns.turn(2, backend="b", level=2)], [])
        turns.save_requests(store, samples)
        stored = store.load(turns.RUN)
        view = RunView(stored.plan)
        view.apply(stored.hello())
        view.requests = store.requests
        (tmp_path / "run.json").write_text(run_json(view))
        (tmp_path / "run.jsonl").write_text("".join(sample_line(stored.plan, turn) for turn in stored.turns))
    run = llmtui.read_run(turns.RUN, store=file)
    document, lines = (llmtui.read_run(tmp_path / name) for name in ("run.json", "run.jsonl"))
    assert [row["level"] for row in run.turns()] == ["1 stream", "8 streams"]
    assert run.turns() == document.turns() == lines.turns()
    assert run.requests() and run.requests() == document.requests() and lines.requests() == []
    assert len(run.requests("a")) == 6 and run.requests("b") == []
    assert run.backends() == document.backends() and run.load == document.load != {}


def test_imported_runs_are_read_too(tmp_path: Path) -> None:
    """What their files do not say is None, not a default."""
    file = tmp_path / "history.db"
    old = files.write(tmp_path / "old.json", files.hyperfine(("fast", [1.0, 1.1, 1.05]), ("slow", [2.0, 2.1, 2.05])))
    load = files.write(tmp_path / "load.json", files.guidellm({"type_": "concurrent", "streams": 8}, n=60))
    for path in (old, load):
        imported = CliRunner().invoke(cli, ["import", str(path), "--label", path.stem, "--store", str(file)])
        assert imported.exit_code == 0, imported.output
    run = llmtui.read_run("old", store=file)
    assert (run.label, run.state, run.load) == ("old", "done", {})
    rows = run.iterations()
    assert [(row["backend"], row["latency_s"]) for row in rows[:2]] == [("fast", 1.0), ("fast", 1.1)]
    assert len(rows) == 6 and all(row["ttft_s"] is None and row["output_tokens"] is None for row in rows)
    fast, slow = run.backends()
    assert (fast["latency_median_s"], slow["iterations"], fast["ttft_median_s"]) == (1.05, 3, None)
    assert run.machine["cpu"] == "" and run.machine["cores"] == 0
    of_load = llmtui.read_run("load", store=file)
    (turn,) = of_load.turns()
    assert turn["level"] == "8 streams" and turn["ttft_p50_s"] == pytest.approx(0.1, rel=0.02)
    requests = of_load.requests()
    assert len(requests) == 62 and {row["text"] for row in requests} == {""}
    assert sum(row["error"] is not None for row in requests) == 2
    with open_store(file)[0] as store:
        stored = store.load("old")
    view = RunView(stored.plan)
    view.apply(stored.hello())
    (tmp_path / "again.json").write_text(run_json(view))
    again = llmtui.read_run(tmp_path / "again.json")
    assert again.iterations() == rows and again.backends() == run.backends()


def test_the_code_of_the_manual_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of `llmtui explain python`, in order, in a folder with such a history and such files."""
    page = (resources.files("llmtui") / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LLMTUI_STORE", str(folder / "history.db"))
    frames: list[Any] = []
    if "pandas" not in sys.modules:
        # pandas is not a dependency. It takes a list of dicts with the same keys.
        monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=frames.append))
    printed: list[str] = []
    names: dict[str, Any] = {"print": lambda *words: printed.append(" ".join(map(str, words)))}
    for block in blocks:
        exec(compile(block, "python.md", "exec"), {**vars(builtins)} | names, names)
    assert printed[0].startswith("aaaa0001 2026-11-22") and "no run 'no-such-run'" in printed[-1]
    assert all(len({tuple(row) for row in rows}) == 1 for rows in frames)


def test_what_cannot_be_read_is_said_in_words(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text((folder / "run.json").read_text()[:500])
    (tmp_path / "other.json").write_text('{"results": []}')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "newer.json").write_text((folder / "run.json").read_text().replace('_version": 1', '_version": 2', 1))
    cases: list[tuple[str | Path, Path | None, str]] = [
        ("nope", folder / "history.db", "no run 'nope' in the history"),
        ("last", tmp_path / "none.db", "none.db does not exist; name its file"),
        ("gone.json", None, "cannot read gone.json: No such file"),
        (folder / "history.db", None, "is a history; name one of its runs"),
        *((tmp_path / name, None, "is not a run of") for name in ("half.json", "other.json", "empty.jsonl")),
        (tmp_path / "newer.json", None, "written by a newer llmtui"),
    ]
    for run, store, words in cases:
        with pytest.raises(llmtui.ReadError, match=words):
            llmtui.read_run(run, store=store)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(llmtui.ReadError, match="not a date"):
        llmtui.list_runs(since="yesterday", store=folder / "history.db")
    assert [row["run"] for row in llmtui.list_runs(store=folder / "history.db", label="BEF")] == ["aaaa0001"]


def test_the_package_alone_imports_nothing() -> None:
    code = "import sys, llmtui; print([m for m in sys.modules if m.startswith('llmtui.')], 'read_run' in dir(llmtui))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
    code = "import sys, llmtui; llmtui.read_run; print([m for m in ('textual', 'rich', 'httpx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
