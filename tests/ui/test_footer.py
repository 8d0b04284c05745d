"""The footer shows the most important commands if there is not room for all."""

from __future__ import annotations

import pytest

from llmtui.model import AnyEvent, BackendChanged, RunChanged, RunState
from llmtui.ui.actions.footer_order import by_importance
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.situation import Situation
from llmtui.ui.widgets.footer import Footer
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

PAUSED = RunChanged(run=RunState(phase="paused", finished=27, total=39, elapsed_s=42.0, eta_s=31.0))
STARTING = RunChanged(run=RunState(phase="starting", total=39))
DONE: list[AnyEvent] = [
    *(BackendChanged(backend=canned.state(n, state="done")) for n in ("llama.cpp", "mistral.rs", "HuggingFace")),
    canned.run_done(),
]


async def footer(size: tuple[int, int], done: int, events: list[AnyEvent], *keys: str) -> str:
    link = FakeLink(canned.hello(done=done), *events)
    app = make(link)
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot, link)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        line = screen_text(app).split("\n")[-1]
        # Each is where a click expects it.
        for start, end, command in app.screen.query_one(Footer)._spots:
            assert line[start:end].split(maxsplit=1)[1].strip() == word_now(app.view.situation(), command)
        return line


def word_now(situation: Situation, command: str) -> str:
    return next(c for c in COMMANDS if c.id == command).word(situation)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
@pytest.mark.parametrize(
    ("done", "events", "keys", "words"),
    [
        (0, [STARTING], [], ["d Detach", "L Log", "enter Details"]),
        (6, [], [], ["space Pause", "v Verdict", "d Detach", "enter Details"]),
        (6, [], ["5"], ["r Rerun", "space Pause", "v Verdict", "d Detach", "enter Details"]),
        (6, [], ["3", "x"], ["x Show", "space Pause", "v Verdict", "d Detach", "enter Details"]),
        (6, [], ["h"], ["h Go on", "space Pause", "v Verdict", "d Detach", "enter Details"]),
        (6, [PAUSED], [], ["space Resume", "v Verdict", "d Detach", "enter Details"]),
        (10, DONE, [], ["r Rerun", "R All", "v Verdict", "e CSV", "enter Details"]),
        (6, [], ["enter"], ["esc Back", "l Server log", "space Pause"]),
        (6, [], ["v"], ["esc Back", "M More", "m Metric", "space Pause"]),
        (6, [], ["L"], ["esc Back", "space Pause"]),
    ],
    ids=["starting", "running", "at rest", "hidden", "held", "paused", "done", "details", "verdict", "log"],
)
async def test_the_most_important_commands_have_room(
    size: tuple[int, int], done: int, events: list[AnyEvent], keys: list[str], words: list[str]
) -> None:
    line = await footer(size, done, events, *keys)
    for each in [*words, "? Help", "q Quit"]:
        assert f" {each}" in line
    assert "…" not in line


@pytest.mark.parametrize("phase", ["connecting", "starting", "running", "paused", "done", "stopping", "gone"])
@pytest.mark.parametrize("over", ["", "details", "log_shown", "verdict_shown"])
def test_every_command_is_ordered_once(phase: str, over: str) -> None:
    shown = {"details": True, over: True} if over else {}
    order = by_importance(Situation(phase=phase, **shown))  # type: ignore[arg-type]
    assert sorted(order) == sorted(c.id for c in COMMANDS)
    assert order[:2] == ["help", "quit"]
