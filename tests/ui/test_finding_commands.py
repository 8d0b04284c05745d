"""Commands are found by any word for them: in the palette and in the help."""

from __future__ import annotations

import asyncio

import pytest
from textual.command import CommandPalette
from textual.widgets import Input

from llmtui.ui.actions.command import SECTIONS
from llmtui.ui.actions.registry import BY_ID, COMMANDS
from llmtui.ui.actions.search import SYNONYMS, score, texts_of
from llmtui.ui.screens.help import HelpScreen, help_rows
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

KEYS = {command.id: command.key for command in COMMANDS}


def best(query: str) -> list[str]:
    """The commands that match, the best first."""
    scores = {command.id: score(query, texts_of(command)) for command in COMMANDS}
    return sorted((i for i, found in scores.items() if found), key=lambda i: -scores[i])


@pytest.mark.parametrize(
    ("query", "commands"),
    [
        ("exp", ["export", "export_as"]),
        ("save", ["export", "export_as"]),
        ("json", ["export_as"]),
        ("zoom out", ["all_iterations"]),
        ("ttft", ["metric"]),
        ("winner", ["verdict"]),
        ("dark", ["theme"]),
        ("CSV EXPORT", ["export"]),
        ("freeze", ["hold"]),
        ("zzz", []),
        ("export zzz", []),
    ],
)
def test_a_command_is_found_by_its_description_and_by_other_words(query: str, commands: list[str]) -> None:
    assert best(query)[: len(commands)] == commands
    assert commands or not best(query)


def test_every_command_has_other_words_and_a_section() -> None:
    assert SYNONYMS.keys() == BY_ID.keys()
    assert {command.group for command in COMMANDS} == SECTIONS.keys()


def test_a_title_counts_more_than_the_middle_of_another_word() -> None:
    assert best("log")[0] == "log"
    assert best("table")[0] == "table"
    assert best("(")


async def test_the_palette_shows_keys_and_runs_what_was_found() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link, keys={"metric": "f5"})
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("ctrl+p")
        await settle(pilot)
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"ttft")
        rows: list[str] = []
        async with asyncio.timeout(30):
            while not rows:  # the palette searches in a task of its own
                await settle(pilot)
                rows = [row for row in screen_text(app).split("\n") if BY_ID["metric"].help in row]
        row = rows[0]
        assert row.split()[0] == "f5"
        await pilot.press("down", "enter")
        await settle(pilot)
        assert app.view.metric == "ttft"


def test_the_help_has_a_section_for_each_place_and_finds_lines() -> None:
    def shown(query: str) -> list[str]:
        return ["".join(text for text, _ in line) for _, line in help_rows(KEYS, query)]

    assert set(SECTIONS.values()) < set(shown(""))
    found = shown("scatter")
    assert "Charts of the main screen" in found and "Table of the main screen, and of the details" not in found
    assert any(BY_ID["first_half"].help in row for row in found)
    assert any("p95" in row for row in shown("p95"))
    assert shown("zzz") == []


@pytest.mark.slow
async def test_the_help_is_searched_by_slash() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("question_mark", "slash", *"quit")
        await settle(pilot)
        shown = screen_text(app)
        assert BY_ID["quit"].help in shown and BY_ID["metric"].help not in shown
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        assert BY_ID["rerun"].help in screen_text(app)
        await pilot.press("slash", *"zzz")
        await settle(pilot)
        assert "nothing about zzz" in screen_text(app)
        await pilot.press("enter", "q")
        await settle(pilot)
        assert not isinstance(app.screen, HelpScreen)
        await pilot.press("question_mark")
        await settle(pilot)
        assert not app.screen.query_one(Input).display
        assert BY_ID["rerun"].help in screen_text(app)
