"""A run of the history in the monitor: its figures, states and times, and no measuring."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from llmtui.cli.open import open_run
from llmtui.config.file import DEFAULT_SOURCE
from llmtui.store.errors import StoreError
from llmtui.ui.past import past_run
from tests.cli.histories import add
from tests.store.runs import database, history_of_0_1_0
from tests.ui.past_runs import monitor, stored_run
from tests.ui.pilot import screen_text, settle


async def test_it_shows_figures_states_and_times_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5, "b": 0.75, "gone": 0.0}, failed={"b": 1}, label="night")
    with database(file) as connection:
        connection.execute("UPDATE runs SET ended_utc = '2026-11-22T15:10:05.000Z'")
    app = monitor(stored_run(file))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        first, second, *rest = screen_text(app).split("\n")
        for words in ("run aaaa1111 [night]", "2026-11-22 15:00 UTC", "10 iterations", "✓ done 10:05"):
            assert words in first
        assert second.rstrip().endswith("20/20")
        body = "\n".join(rest)
        for words in ("not reachable", "1 error", "b takes 1.5"):
            assert words in body
        await pilot.press("r", "R", "space", "d", "h")
        await settle(pilot)
        (note,) = {n.message for n in app._notifications} - {"nothing to hold"}
        assert note == "this run is over, and nothing is measured here; to measure again: llmtui config.toml"
        await pilot.press("enter")
        await settle(pilot)
        assert "iteration 10: arrivals" in screen_text(app)
        await pilot.press("escape", "v")
        await settle(pilot)
        assert "b takes 1.5" in screen_text(app)
        await pilot.press("escape", "L")
        await settle(pilot)
        shown = screen_text(app)
        for words in (
            "the run is starting",
            "gone not reachable",
            "b: iteration 1 failed: no answer within 120 s",
            "a done",
            "the run is done after 10:05, 20 of 20 iterations",
        ):
            assert words in shown
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_run_that_died_says_so_and_how_to_continue_it(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5}, n=4, end="stopped")
    with database(file) as connection:
        connection.execute("UPDATE runs SET state = 'died', ended_utc = NULL")
        connection.execute("DELETE FROM iterations WHERE iteration > 2")
    app = monitor(stored_run(file))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        first, second, *_ = screen_text(app).split("\n")
        assert "✗ died 02:00" in first
        assert second.rstrip().endswith("2/4")
        await pilot.press("r")
        await settle(pilot)
        (note,) = (n.message for n in app._notifications)
        assert note.endswith("to measure what is missing: llmtui resume aaaa1111")


async def test_a_run_of_version_0_1_0_opens(tmp_path: Path) -> None:
    stored = stored_run(history_of_0_1_0(tmp_path / "history.db", "v1_run.sql"))
    app = monitor(stored)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert f"run {stored.plan.run}" in screen_text(app)
        assert all(name in screen_text(app) for name in app.view.names)


@pytest.mark.parametrize(
    ("source", "command"),
    [
        ("/home/me/race.toml", "llmtui /home/me/race.toml"),
        ("/home/me/my race.toml", "llmtui '/home/me/my race.toml'"),
        (DEFAULT_SOURCE, "llmtui"),
        ("llmtui http://127.0.0.1:8080 --model m.gguf", "llmtui http://127.0.0.1:8080 --model m.gguf"),
        # A history from anyone gives no shell commands to copy, and no escape codes.
        ("llmtui ollama; rm -rf ~", "llmtui 'ollama;' rm -rf '~'"),
        ("llmtui $(id) \x1b[2J", "llmtui '$(id)' ''"),
        ("llmtui 'half", "llmtui 'llmtui '\"'\"'half'"),
    ],
)
def test_how_to_measure_a_run_again(tmp_path: Path, source: str, command: str) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5})
    stored = stored_run(file)
    stored = msgspec.structs.replace(stored, plan=msgspec.structs.replace(stored.plan, source=source))
    assert past_run(stored).measure == f"to measure again: {command}"


async def test_times_at_the_ends_of_the_calendar_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5}, failed={"a": 1})
    with database(file) as connection:
        connection.execute("UPDATE iterations SET started_utc = '0001-01-01T00:00:00.000Z' WHERE iteration = 1")
        connection.execute("UPDATE iterations SET started_utc = '9999-12-31T23:59:59.900Z' WHERE iteration > 1")
    app = monitor(stored_run(file))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("L")
        await settle(pilot)
        assert "iteration 1 failed" in screen_text(app)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5}, end=None)
    with pytest.raises(StoreError, match="run aaaa1111 is in progress; to watch it: llmtui attach aaaa1111"):
        open_run("last", str(file))
    with pytest.raises(StoreError, match="no run 'nightly' in the history"):
        open_run("nightly", str(file))
    with database(file) as connection:
        connection.execute("UPDATE iterations SET latency_s = -1.0 WHERE iteration = 3")
    with pytest.raises(StoreError, match=r"run aaaa1111 of the history .* cannot be read: latency_s is not between"):
        open_run("last", str(file))
