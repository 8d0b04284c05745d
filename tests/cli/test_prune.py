"""`llmtui history --prune`: what it deletes, what it keeps, and that the file becomes smaller."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmtui.cli.app import cli
from llmtui.cli.exits import exit_code_of
from llmtui.store.open import open_store
from tests.store import runs
from tests.store.runs import database, history_of_0_1_0

DAYS = range(1, 13)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twelve runs of as many days; the second has a label, the third a note, the fourth is still in progress.

    The engines of the others have ended.
    """
    file = tmp_path / "history.db"
    store, _ = open_store(file)
    with store:
        for day in DAYS:
            run = f"{day:08x}"
            store.begin(runs.plan(run, "a", created=f"2026-10-{day:02}T12:00:00.000Z"), runs.MACHINE)
            for number in range(1, 31):
                store.save_iteration(runs.iteration(run, number=number, text=f"{day} words {number} " * 100))
            store.save_state(run, runs.state())
            if day != 4:
                store.finish(run, "done")
        store.label("00000002", "baseline")
        store.note("00000003", "before the update")
    with database(file) as connection:
        connection.execute("UPDATE runs SET engine_started = 'ended' WHERE state = 'done'")
    return file


def prune(file: Path, *arguments: str, code: int = 0) -> str:
    """Run the command, check its exit code, and return what it said."""
    result = CliRunner().invoke(cli, ["history", "--prune", *arguments, "--store", str(file)])
    if result.exception is None or isinstance(result.exception, SystemExit):
        assert result.exit_code == code
        return result.stderr
    assert exit_code_of(result.exception) == code
    return result.stderr + str(result.exception)


def days(file: Path) -> list[int]:
    """The days whose runs are left, with all their iterations."""
    store, _ = open_store(file)
    with store:
        left = sorted(row.run for row in store.runs(100))
        assert all(len(store.load(run).iterations) == 30 for run in left)
    return [int(run, 16) for run in left]


def test_runs_with_a_name_and_in_progress_are_kept_and_space_is_given_back(file: Path) -> None:
    before = file.stat().st_size
    said = prune(file, "--keep", "2", "--yes")
    assert "to delete from" in said and "7 runs of 2026-10-01 to 2026-10-10 (0000000a, 00000009," in said
    assert "kept: 2 runs with a label or a note, 1 run in progress or still open" in said and "deleted 7 runs" in said
    assert days(file) == [2, 3, 4, 11, 12]
    assert file.stat().st_size < before / 2
    assert "nothing to delete" in prune(file, "--keep", "2", "--yes")


def test_both_rules_together_delete_what_both_say(file: Path) -> None:
    prune(file, "--keep", "6", "--older-than", "2026-10-06", "--yes")
    assert days(file) == [2, 3, 4, *range(6, 13)]
    prune(file, "--older-than", "2026-10-08", "--yes")
    assert days(file) == [2, 3, 4, *range(8, 13)]


def test_without_yes_and_without_a_rule_nothing_is_deleted(file: Path) -> None:
    assert "add --yes" in prune(file, "--keep", "1", code=2)
    assert "needs a rule" in prune(file, code=2)
    assert "not a time" in prune(file, "--older-than", "soon", code=2)
    assert "takes --keep" in prune(file, "--keep", "1", "--label", "x", code=2)
    result = CliRunner().invoke(cli, ["history", "--keep", "1", "--store", str(file)])
    assert result.exception is not None and exit_code_of(result.exception) == 2
    assert days(file) == [*DAYS]


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", [2, 3, 4, 12]), (b"n\n", [*DAYS])])
def test_it_asks_on_a_terminal(file: Path, answer: bytes, left: list[int]) -> None:
    terminal, stdin = pty.openpty()
    try:
        os.write(terminal, answer)
        words = [sys.executable, "-m", "llmtui", "history", "--prune", "--keep", "1", "--store", str(file)]
        done = subprocess.run(words, stdin=stdin, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(terminal)
        os.close(stdin)
    assert done.returncode == 0 and done.stdout == ""
    assert "Delete 8 runs? [y/N]" in done.stderr
    assert days(file) == left


def test_a_finished_run_that_is_open_in_a_monitor_is_kept(file: Path) -> None:
    """Regression: what `r` then measured was lost, with the run."""
    store, _ = open_store(file)
    with store:
        store.begin(runs.plan("aaaa0001", "a", created="2026-10-01T00:00:00.000Z"), runs.MACHINE)
        store.finish("aaaa0001", "done")
        # Its engine is this process, which goes on measuring.
        assert "kept: 2 runs with a label or a note, 2 runs in progress or still open" in prune(
            file, "--keep", "0", "--yes"
        )
        store.save_iteration(runs.iteration("aaaa0001"))
    with database(file) as connection:
        connection.execute("UPDATE runs SET engine_started = 'ended' WHERE id = 'aaaa0001'")
    assert "deleted 1 run;" in prune(file, "--keep", "0", "--yes")


def test_an_imported_run_is_as_old_as_its_import(file: Path) -> None:
    """Regression: results of 2023 that were imported today were deleted as older than 90 days."""
    times = file.parent / "old.json"
    times.write_text('{"results": [{"command": "sleep 1", "times": [1.0, 1.1], "exit_codes": [0, 0]}]}')
    os.utime(times, (1.7e9, 1.7e9))
    done = CliRunner().invoke(cli, ["import", str(times), "--store", str(file)])
    assert done.exit_code == 0, done.output
    prune(file, "--older-than", "30d", "--yes")
    prune(file, "--keep", "1", "--yes")
    store, _ = open_store(file)
    with store:
        (imported,) = (row for row in store.runs(100) if row.created_utc.startswith("2023"))
        assert len(store.runs(100)) == 4
    assert f"({imported.run})" in prune(file, "--keep", "0", "--yes")


def test_a_run_that_was_labelled_meanwhile_is_kept(file: Path) -> None:
    from llmtui.store.pruning import prune as delete

    store, _ = open_store(file)
    with store:
        store.label("00000005", "kept")
        assert delete(store, ["00000005", "00000006", "gone0000"]) == 1
    assert 5 in days(file) and 6 not in days(file)


def _of_0_1_0(tmp_path: Path) -> Path:
    """A history as 0.1.0 wrote it: its run, and nine more with long answers."""
    file = history_of_0_1_0(tmp_path / "history.db", "v1_run.sql")
    with database(file) as connection:
        (old,) = connection.execute("SELECT id FROM runs").fetchone()
        columns = {
            table: [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "seq"]
            for table in ("runs", "iterations")
        }
        for number in range(9):
            new = {
                "id": f"'{number:08x}'",
                "run": f"'{number:08x}'",
                "created_utc": f"'2026-10-{number + 1:02}T12:00:00.000Z'",
                "plan": f"replace(plan, '{old}', '{number:08x}')",
                "text": "hex(zeroblob(60000))",
            }
            for table, names in columns.items():
                values = ", ".join(new.get(name, name) for name in names)
                own = "id" if table == "runs" else "run"
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {own} = ?", (old,)
                )
    return file


def test_a_history_of_0_1_0_shrinks_and_from_then_on_in_steps(tmp_path: Path) -> None:
    file = _of_0_1_0(tmp_path)
    before = file.stat().st_size
    said = prune(file, "--older-than", "2026-10-06", "--yes")
    assert "was upgraded; the old version is kept as history.db.v1-" in said
    assert "deleted 5 runs; the file is 2." in said and file.stat().st_size < 0.6 * before
    store, notes = open_store(file)
    with store:
        left = [row.run for row in store.runs(100)]
        assert notes == [] and len(left) == 5
        assert [len(store.load(run).iterations) for run in left] == [4] * 5
    with database(file) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "deleted 4 runs; the file is 1." in prune(file, "--keep", "1", "--yes")


def test_a_history_of_0_1_0_is_not_rewritten_beside_a_run(tmp_path: Path) -> None:
    file = _of_0_1_0(tmp_path)
    store, _ = open_store(file)
    with store:
        # Its engine is this process, which is alive.
        store.begin(runs.plan("aaaa0001", "a"), runs.MACHINE)
        size = file.stat().st_size
        said = prune(file, "--keep", "2", "--yes")
        assert (
            "1 run in progress or still open" in said
            and "deleted 8 runs; the next runs use their space in the file" in said
        )
        store.finish("aaaa0001", "done")
    assert file.stat().st_size >= size and "nothing to delete" in prune(file, "--keep", "3", "--yes")
