"""Which active run `attach` means: by id, label, `last`, or the beginning of an id."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.cli.monitor import active_run
from llmtui.link import run_folders
from llmtui.model.errors import UsageError
from llmtui.store.open import open_store
from tests.cli.histories import add


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two active runs, and a run that is done; all three are in the history."""
    # The path of a socket has little room: that of `tmp_path` may be too long.
    runtime = tempfile.TemporaryDirectory(prefix="llmtui-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime.name)
    file = tmp_path / "history.db"
    add(file, "aaaa0001", {"a": 0.5}, end=None, label="night")
    add(file, "bbbb0002", {"a": 0.5}, end=None)
    add(file, "aaaa0003", {"a": 0.5}, label="over")
    listening = []
    for run in ("aaaa0001", "bbbb0002"):
        folder, log = run_folders.make(run)
        os.close(log)
        listening.append(socket.socket(socket.AF_UNIX))
        listening[-1].bind(str(folder / run_folders.SOCKET_NAME))
        listening[-1].listen()
        os.utime(folder, ns=(int(run[-1]), int(run[-1])))
    yield file
    for one in listening:
        one.close()
    runtime.cleanup()


@pytest.mark.parametrize(
    ("name", "run"),
    [
        (None, "bbbb0002"),
        ("aaaa0001", "aaaa0001"),
        ("night", "aaaa0001"),
        ("last~1", "bbbb0002"),
        ("last~2", "aaaa0001"),
        # The history has two runs that begin so, of which one is active.
        ("aaaa", "aaaa0001"),
        ("b", "bbbb0002"),
    ],
)
def test_a_name_means_an_active_run(store: Path, name: str | None, run: str) -> None:
    assert active_run(name, str(store)).run == run


def test_a_run_without_a_history_is_named_by_its_id(store: Path, tmp_path: Path) -> None:
    assert active_run("bbbb", str(tmp_path / "other.db")).run == "bbbb0002"


def test_what_is_not_active_is_refused(store: Path) -> None:
    for name in ("over", "last", "aaaa0003"):
        with pytest.raises(UsageError, match="run aaaa0003 is not active; to see it: llmtui open aaaa0003"):
            active_run(name, str(store))
    with pytest.raises(UsageError, match="no active run 'nightly'; active runs: bbbb0002, aaaa0001"):
        active_run("nightly", str(store))
    with open_store(store)[0] as history:
        history.label("aaaa0003", "bbbb0002")
    assert active_run("bbbb0002", str(store)).run == "bbbb0002", "an id goes before a label"
