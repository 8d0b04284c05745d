"""Export by one key and by the dialog: no file is overwritten unasked, and errors are explained."""

from __future__ import annotations

import asyncio
import datetime
import errno
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from llmtui.export import parquet
from llmtui.runview.run import RunView
from llmtui.ui.actions.export_files import (
    Choice,
    ExportError,
    Taken,
    choices_of,
    file_name,
    free_path,
    write,
    write_beside,
)
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens.export import ExportScreen
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)
CHOICES = choices_of(RunView(canned.plan()))
CSV, ITERATIONS, JSON, *_ = CHOICES
SIZES = [(40, 12), (60, 15), *(pytest.param(size, marks=pytest.mark.slow) for size in ((80, 24), (120, 40)))]
#: A file in each folder.
IN_FOLDER = {"hyperfine": "llama.cpp.json", "parquet": "samples.parquet"}
needs_pyarrow = pytest.mark.skipif(bool(parquet.lacks_pyarrow()), reason="PyArrow is not installed (the extra parquet)")


@pytest.fixture
def run_view() -> RunView:
    run_view = RunView(canned.plan())
    run_view.apply(canned.hello(done=6))
    return run_view


@asynccontextmanager
async def monitor(
    folder: Path, size: tuple[int, int] = (80, 24), marker: str = "braille"
) -> AsyncIterator[tuple[MonitorApp, Pilot[None]]]:
    link = FakeLink(canned.hello(done=6))
    app = make(link, marker=marker)
    app.export_dir = folder
    app.wall = lambda: NOON
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, link)
        yield app, pilot


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def flat(app: MonitorApp) -> str:
    """The screen without frames and line breaks, so that wrapped text can be searched."""
    return "".join(c for c in screen_text(app) if c not in "│╭╮╰╯─▌\n ")


# --- Files ---


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(choice, id=choice.id, marks=[needs_pyarrow] * (choice.format.lacks is not None))
        for choice in CHOICES
    ],
)
def test_every_format_is_written_to_a_free_name(choice: Choice, run_view: RunView, tmp_path: Path) -> None:
    names = [write_beside(run_view, choice, tmp_path / file_name(choice, NOON)).name for _ in range(3)]
    stem = f"llmtui-{choice.offer.name}-20261122-120000"
    assert names == [f"{stem}{n}{choice.format.suffix}" for n in ("", "-2", "-3")]
    files = [tmp_path / name / IN_FOLDER.get(choice.id, "") for name in names]
    assert all(b"llama.cpp" in file.read_bytes() or choice.id == "parquet" for file in files)
    with pytest.raises(Taken):
        write(run_view, choice, tmp_path / names[0])
    write(run_view, choice, tmp_path / names[0], replace=True)


def test_the_dialog_offers_the_formats_of_one_table() -> None:
    assert [choice.id for choice in CHOICES] == [
        *("csv", "iterations_csv", "json", "markdown", "html", "hyperfine", "parquet")
    ]


def test_a_broken_symlink_is_not_overwritten(run_view: RunView, tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "gone")
    assert free_path(tmp_path / "a.csv").name == "a-2.csv"
    with pytest.raises(Taken):
        write(run_view, CSV, tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone/a.csv", "no such folder"), ("file/a.csv", "is not a folder"), ("x" * 300, "too long"), ("a\0b", "name")],
)
def test_a_path_that_cannot_be_written_is_explained(name: str, words: str, run_view: RunView, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=words):
        write(run_view, CSV, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk of .* is full"), (errno.EROFS, "read-only"), (errno.EACCES, "is not writable")],
)
@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_write_leaves_no_file(
    number: int, words: str, replace: bool, run_view: RunView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match=words):
        write(run_view, CSV, tmp_path / "a.csv", replace=replace)
    assert os.listdir(tmp_path) == []


# --- By one key ---


@pytest.mark.parametrize("size", SIZES[1:])
async def test_the_whole_path_is_shown_and_copied(size: tuple[int, int], tmp_path: Path) -> None:
    folder = tmp_path / ("a-long-folder-name-" * 4)
    folder.mkdir()
    async with monitor(folder, size) as (app, pilot):
        await press(pilot, "e")
        path = folder / "llmtui-results-20261122-120000.csv"
        assert path.exists()
        assert app.clipboard == str(path)
        where = app.screen.query_one("Toast").content_region
        rows = screen_text(app).split("\n")[where.y : where.bottom]
        assert str(path) in "".join(row[where.x : where.right].strip() for row in rows)
        assert any(str(path) in entry.text for entry in app.log_book.entries)


# --- The dialog ---


@pytest.mark.parametrize("size", SIZES)
async def test_the_dialog_writes_what_it_shows(size: tuple[int, int], tmp_path: Path) -> None:
    async with monitor(tmp_path, size) as (app, pilot):
        await press(pilot, "E")
        assert isinstance(app.screen, ExportScreen)
        shown = screen_text(app)
        assert "(*) CSV, a row per backend" in shown
        assert "enter writes" in shown
        await press(pilot, "down", "down")
        assert "(*) JSON, everything" in screen_text(app)
        assert app.screen.query_one("#name", Input).value == "llmtui-run-20261122-120000.json"
        await press(pilot, "enter")
        assert not isinstance(app.screen, ExportScreen)
        written = tmp_path / "llmtui-run-20261122-120000.json"
        assert json.loads(written.read_text())["run"] == "r1"
        assert app.clipboard == str(written)


@pytest.mark.parametrize("size", SIZES[:3])
async def test_the_selected_format_is_seen_on_a_low_screen(size: tuple[int, int], tmp_path: Path) -> None:
    async with monitor(tmp_path, size) as (app, pilot):
        await press(pilot, "E")
        for choice in (*CHOICES[1:], CHOICES[0]):
            await press(pilot, "down")
            assert f"(*) {choice.label}" in screen_text(app)
        await press(pilot, "up")
        assert "(*) Parquet" in screen_text(app) and "name" in screen_text(app)


@needs_pyarrow
async def test_parquet_is_written_in_a_thread(tmp_path: Path) -> None:
    async with monitor(tmp_path) as (app, pilot):
        await press(pilot, "E", "up", "enter")
        async with asyncio.timeout(30):
            while isinstance(app.screen, ExportScreen):
                await pilot.pause(0.01)
        assert os.listdir(tmp_path / "llmtui-parquet-20261122-120000") == ["samples.parquet"]


async def test_a_missing_package_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "lacks_pyarrow", lambda: "Parquet needs a further package; try: pip install x")
    async with monitor(tmp_path) as (app, pilot):
        await press(pilot, "E", "up")
        assert "needsafurtherpackage" in flat(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, ExportScreen) and "needsafurtherpackage" in flat(app)
        await press(pilot, "up")
        assert "needsafurtherpackage" not in flat(app)
    assert os.listdir(tmp_path) == []


async def test_a_click_selects_a_format_and_a_typed_name_keeps_its_stem(tmp_path: Path) -> None:
    async with monitor(tmp_path) as (app, pilot):
        await press(pilot, "E", "tab", "tab", "ctrl+u", *"mine.csv")
        await pilot.click("#formats", offset=(6, 3))
        await settle(pilot)
        assert app.screen.query_one("#name", Input).value == "mine.md"
        await press(pilot, "enter")
        assert "llama.cpp" in (tmp_path / "mine.md").read_text()


async def test_a_file_is_replaced_only_after_a_second_enter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("precious")
    async with monitor(tmp_path) as (app, pilot):
        await press(pilot, "E", "tab", "tab", "ctrl+u", *"a.csv", "enter")
        assert isinstance(app.screen, ExportScreen)
        assert "alreadyexists" in flat(app) and "a-2.csv" in flat(app)
        assert (tmp_path / "a.csv").read_text() == "precious"
        # Another name in between: the question is open again.
        await press(pilot, "backspace", "v", "enter")
        assert isinstance(app.screen, ExportScreen)
        assert (tmp_path / "a.csv").read_text() == "precious"
        await press(pilot, "enter")
        assert not isinstance(app.screen, ExportScreen)
        assert (tmp_path / "a.csv").read_text().startswith("backend,")


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_the_dialog_stays_open_and_shows_the_error(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with monitor(tmp_path, size) as (app, pilot):
        for field, text, words in (
            ("folder", "/nowhere/at/all", "nosuchfolder:/nowhere/at/all"),
            ("folder", "~nobody-of-this-name", "nosuchhomefolder"),
            ("name", "", "enteranameforthefile"),
            ("name", "..", "enteranameforthefile"),
            ("name", "a/b", "cannotcontainaslash"),
            ("name", "folder", "isafolder"),
        ):
            await press(pilot, "E")
            assert words not in flat(app)
            app.screen.query_one(f"#{field}", Input).value = text
            await press(pilot, "enter")
            assert isinstance(app.screen, ExportScreen)
            assert words in flat(app)
            assert app.screen.query_one(f"#{field}", Input).value == text
            await press(pilot, "escape")
            assert not isinstance(app.screen, ExportScreen)
    assert os.listdir(tmp_path) == ["folder"]


async def test_the_dialog_is_ascii_and_its_keys_run_no_commands(tmp_path: Path) -> None:
    async with monitor(tmp_path, (80, 24), marker="ascii") as (app, pilot):
        await press(pilot, "E", "tab", "tab", *"qhLx")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen.query_one("#name", Input).value.endswith("qhLx")
        assert screen_text(app).isascii()


async def test_the_dialog_names_the_command_that_exports_every_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtui.ui.screens import export as export_screen

    monkeypatch.setattr(export_screen, "RECENT", 3)
    async with monitor(tmp_path) as (app, pilot):
        await press(pilot, "E", "down", "down")
        assert "forall:llmtuiexportr1--jsonFILE" in flat(app)
        await press(pilot, "up")
        assert "llmtui export r1" not in screen_text(app)
