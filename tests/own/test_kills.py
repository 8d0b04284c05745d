"""`kill -9` of llmtui's processes during a race of own servers: nothing is left, and nothing of the user's changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.own.kills import WHICH, Place, kills
from tests.own.user_home import changes, files

pytestmark = pytest.mark.slow


def test_kills_leave_nothing_behind(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_path)  # the trials change the working folder
    place = Place(short_path.resolve(), stand_ins=True)
    try:
        outcomes = list(kills(place, len(WHICH), seed=3))
    finally:
        place.user.close()
    assert [one for one in outcomes if not one.clean] == []
    assert sum(one.servers for one in outcomes) > 0, "no kill came while a server ran"


def test_changes_are_named(tmp_path: Path) -> None:
    for name in ("same", "gone", "text", "time"):
        (tmp_path / name).write_text("before")
    (tmp_path / ".cache").mkdir()
    before = files(tmp_path, (".cache",))
    (tmp_path / ".cache" / "model").write_text("may be new")
    (tmp_path / "gone").unlink()
    (tmp_path / "text").write_text("after!")
    os.utime(tmp_path / "time", (1, 1))
    (tmp_path / "new").symlink_to("same")
    after = files(tmp_path, (".cache",))
    assert changes(before, after) == ["changed text", "changed time", "gone gone", "new new"]
