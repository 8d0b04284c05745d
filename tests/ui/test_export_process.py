"""Files that take long are made by another process: whole or not at all, and the screen goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from llmtui.export.formats import FORMATS
from llmtui.model import Iteration, Turn
from llmtui.runview.run import RunView
from llmtui.ui.actions.export_files import Choice, ExportError, Stopped, choices_of, write, write_beside
from llmtui.ui.actions.export_process import Long
from tests.export.reports import sweep


def choice(view: RunView, key: str) -> Choice:
    (found,) = (each for each in choices_of(view) if each.id == key)
    return found


def pid(long: Long) -> int:
    assert long._process is not None
    return long._process.pid


@pytest.mark.parametrize("key", ["csv", "html"])
def test_the_file_is_the_same_as_without_a_process_and_the_process_ends(tmp_path: Path, key: str) -> None:
    view = sweep(("a", "b"), (1, 2))
    long = Long(view, choice(view, key))
    view.backends.clear()  # later changes do not matter
    path = write_beside(view, choice(view, key), tmp_path / "file", long)
    assert path.read_text() == FORMATS[key].make(sweep(("a", "b"), (1, 2)))
    assert not os.path.exists(f"/proc/{pid(long)}")


def test_a_process_that_is_stopped_or_dies_leaves_no_file(tmp_path: Path) -> None:
    view = sweep(("a", "b"), (1, 2))
    stopping = Long(view, choice(view, "iterations_csv"))

    def stop(turn: Turn) -> Iterable[list[Iteration]]:
        stopping.stop()
        return ()

    stopping._requests = stop
    with pytest.raises(Stopped):
        write(view, choice(view, "iterations_csv"), tmp_path / "file", long=stopping)
    dying = Long(view, choice(view, "iterations_csv"))

    def die(turn: Turn) -> Iterable[list[Iteration]]:
        os.kill(pid(dying), 9)
        return ()

    dying._requests = die
    with pytest.raises(ExportError, match="the process that makes the file has ended"):
        write(view, choice(view, "iterations_csv"), tmp_path / "file", long=dying)
    assert os.listdir(tmp_path) == []


def test_what_the_process_cannot_write_is_a_sentence(tmp_path: Path) -> None:
    view = sweep(("a",), (1,))
    form = choice(view, "hyperfine")
    with pytest.raises(ExportError, match="no such folder"):
        write(view, form, tmp_path / "gone" / "folder", long=Long(view, form))
