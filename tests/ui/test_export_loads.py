"""The export dialog of a load: a file with all requests is written in a thread, and the screen goes on."""

from __future__ import annotations

import asyncio
import csv
import datetime
import json
import os
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from llmtui.export.csv import iterations_csv, results_csv
from llmtui.model import Iteration, Turn
from llmtui.store.errors import StoreError
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.export import ExportScreen
from llmtui.ui.screens.run import RunScreen
from tests.ui import canned_load
from tests.ui.canned_load import LoadLink
from tests.ui.pilot import make, screen_text, settle

WAIT_S = 30.0
NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


@asynccontextmanager
async def dialog(folder: Path, form: int) -> AsyncIterator[tuple[MonitorApp, Pilot[None]]]:
    """The dialog with the format of this number, over a load whose history is canned."""
    link = LoadLink(canned_load.hello(2))
    app = make(link, canned_load.plan())
    app.export_dir, app.wall = folder, lambda: NOON
    app.view.run_view.requests = lambda turn: [canned_load.requests(turn)]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot, link)
        await pilot.press("E", *["down"] * form)
        await settle(pilot)
        yield app, pilot


async def closed(app: MonitorApp, pilot: Pilot[None]) -> None:
    async with asyncio.timeout(WAIT_S):
        while isinstance(app.screen, ExportScreen):
            await pilot.pause(0.01)
    await settle(pilot)


@pytest.mark.parametrize(("form", "name"), [(1, "turns"), (2, "requests"), (3, "run")])
async def test_turns_requests_and_json_are_written(tmp_path: Path, form: int, name: str) -> None:
    async with dialog(tmp_path, form) as (app, pilot):
        await pilot.press("enter")
        await closed(app, pilot)
        assert "exported (path copied to the clipboard)" in screen_text(app)
        [path] = [tmp_path / found for found in os.listdir(tmp_path)]
        turns = [turn for view in app.run_view.backends.values() for turn in view.turns]
        assert path.name.startswith(f"llmtui-{name}-")
        if name == "turns":
            assert len(list(csv.DictReader(path.open()))) == len(turns)
        elif name == "requests":
            assert path.read_text() == iterations_csv(app.run_view)
            assert len(list(csv.DictReader(path.open()))) == 56 * len(turns) + 3, "and a single request of each"
        else:
            assert len(json.loads(path.read_text())["requests"]) == 56 * len(turns)


async def test_a_report_and_parquet_are_written(tmp_path: Path) -> None:
    async with dialog(tmp_path, 5) as (app, pilot):
        await pilot.press("enter")
        await closed(app, pilot)
        [report] = [tmp_path / found for found in os.listdir(tmp_path)]
        assert report.suffix == ".html" and "Output tokens/s against load" in report.read_text()
    tables = pytest.importorskip("pyarrow.parquet", reason="PyArrow is not installed (the extra parquet)")
    async with dialog(tmp_path, 7) as (app, pilot):
        await pilot.press("enter")
        await closed(app, pilot)
        [folder] = [tmp_path / found for found in os.listdir(tmp_path) if found != report.name]
        turns = [turn for view in app.run_view.backends.values() for turn in view.turns]
        assert tables.read_table(folder / "turns.parquet").num_rows == len(turns)
        assert tables.read_table(folder / "samples.parquet").num_rows == 56 * len(turns) + 3


async def test_the_screen_goes_on_while_a_file_is_written_and_esc_stops_it(tmp_path: Path) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(turn: Turn) -> Iterable[list[Iteration]]:
        for request in canned_load.requests(turn):
            yield [request]
            begun.set()
            go_on.wait()

    async with dialog(tmp_path, 2) as (app, pilot):
        app.view.run_view.requests = slow
        try:
            await pilot.press("enter")
            async with asyncio.timeout(WAIT_S):
                while not begun.is_set() or "writing: 1 of" not in screen_text(app):
                    await pilot.pause(0.01)
            await pilot.press("enter")
            await settle(pilot)
            assert "esc stops it" in screen_text(app), "a second enter does nothing"
            await pilot.press("escape")
            await settle(pilot)
            assert isinstance(app.screen, RunScreen)
        finally:
            go_on.set()
        async with asyncio.timeout(WAIT_S):
            while os.listdir(tmp_path):
                await pilot.pause(0.01)


async def test_a_history_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    def broken(_: Turn) -> Iterable[list[Iteration]]:
        raise StoreError("the history is locked by another program")

    async with dialog(tmp_path, 2) as (app, pilot):
        app.view.run_view.requests = broken
        await pilot.press("enter")
        async with asyncio.timeout(WAIT_S):
            while "cannot be read" not in screen_text(app):
                await pilot.pause(0.01)
        assert "the requests cannot be read: the history is locked" in screen_text(app)
        assert os.listdir(tmp_path) == []
        app.view.run_view.requests = lambda turn: [canned_load.requests(turn)]
        await pilot.press("enter")
        await closed(app, pilot)
        assert len(os.listdir(tmp_path)) == 1


async def test_the_key_of_the_results_says_that_they_are_written_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    async with dialog(tmp_path, 0) as (app, pilot):
        monkeypatch.setattr(app, "notify", lambda message, **_: said.append(message))
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("e")
        async with asyncio.timeout(WAIT_S):
            while not app.clipboard:
                await pilot.pause(0.01)
        [path] = [tmp_path / found for found in os.listdir(tmp_path)]
        assert said == [f"writing {path} ...", f"exported (path copied to the clipboard): {path}"]
        assert path.read_text() == results_csv(app.run_view)
