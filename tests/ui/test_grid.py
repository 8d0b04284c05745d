"""A grid on screen: each of its levels has a name of its own wherever levels are listed."""

from __future__ import annotations

from llmtui.model import Cells, Level, Load
from llmtui.ui.level_labels import level_labels
from tests.ui import snapshots
from tests.ui.canned_load import GRID


def levels(load: Load) -> list[Level]:
    return load.levels


def test_levels_of_a_grid_have_different_short_titles() -> None:
    titles = [level.short_title for level in levels(GRID)]
    assert titles[:3] == ["1x128/64", "1x128/256", "1x1024/64"] and len(set(titles)) == len(titles)
    rates = Load(request_rate=[0.5, 2.0], cells=Cells(max_tokens=[8, 16]))
    assert [level.short_title for level in rates.levels] == ["0.5/sx8", "0.5/sx16", "2/sx8", "2/sx16"]
    assert [level.short_title for level in levels(Load(concurrency=[1, 4]))] == ["1", "4"]


def test_the_axis_of_a_grid_has_a_row_for_each_thing_that_varies() -> None:
    named = level_labels(levels(GRID))
    assert named.labels == ("64", "256") * 4 and named.counted == "answer tokens"
    assert [row[2] for row in named.groups] == ["prompt 1024", "1 stream"]
    assert [name for name, _ in named.heads] == ["streams", "prompt", "answer"]
    assert level_labels(levels(GRID), whole=True).labels == tuple(level.short_title for level in levels(GRID))


def test_one_length_at_one_load_needs_one_row() -> None:
    named = level_labels(levels(Load(concurrency=4, cells=Cells(prompt_tokens=[128, 512]))))
    assert named.labels == ("128", "512") and named.counted == "prompt tokens" and not named.groups


def test_a_load_without_lengths_keeps_its_labels() -> None:
    assert level_labels(levels(Load(concurrency=[1, 4]))) == level_labels(levels(Load(concurrency=[1, 4])), whole=True)
    assert level_labels(levels(Load(request_rate=[0.5, 2.0]))).labels == ("0.5", "2")


def test_no_level_of_a_grid_is_cut_in_the_table() -> None:
    for name in ("grid-table", "grid-120x40"):
        text = (snapshots.FOLDER / f"{name}.txt").read_text("utf-8")
        assert "[8x1024/256] llama.cpp" in text and "1x128/64  llama.cpp" in text
