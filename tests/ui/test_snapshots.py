"""The monitor looks like its snapshots. After a change run `python -m tests.ui.snapshots` and read the diff."""

from __future__ import annotations

import pytest

from tests.ui.snapshots import FOLDER, SHOTS, SLOW, Shot, path_of, take


@pytest.mark.parametrize(
    "shot", [pytest.param(shot, id=shot.name, marks=pytest.mark.slow if shot.name in SLOW else ()) for shot in SHOTS]
)
async def test_screen_matches_its_snapshot(shot: Shot) -> None:
    assert await take(shot) == path_of(shot).read_text("utf-8")


def test_every_snapshot_is_used_and_small() -> None:
    assert {shot.name for shot in SHOTS} >= SLOW
    assert {path.stem for path in FOLDER.iterdir()} == {shot.name for shot in SHOTS}
    assert all(path.stat().st_size < 20_000 for path in FOLDER.iterdir())
