"""The footer shows the most important commands if there is not room for all."""

from __future__ import annotations

import pytest

from llmtui.model import AnyEvent, BackendChanged, RunChanged, RunState
from llmtui.ui.actions.footer_order import by_importance
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.layout import WIDE
from llmtui.ui.situation import Situation
from llmtui.ui.widgets.footer import Footer
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

SIZES = ((80, 24), (120, 40), (200, 50))
PAUSED = RunChanged(run=RunState(phase="paused", finished=27, total=39, elapsed_s=42.0, eta_s=31.0))
STARTING = RunChanged(run=RunState(phase="starting", total=39))
DONE: list[AnyEvent] = [
    *(BackendChanged(backend=canned.state(n, state="done")) for n in ("llama.cpp", "mistral.rs", "HuggingFace")),
    canned.run_done(),
]


async def footers(done: int, events: list[AnyEvent], *keys: str) -> dict[int, str]:
    """The last line of the screen by its width."""
    link = FakeLink(canned.hello(done=done), *events)
    app = make(link)
    lines = {}
    async with app.run_test(size=SIZES[0], notifications=False) as pilot:
        await settle(pilot, link)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await settle(pilot)
            lines[size[0]] = line = screen_text(app).split("\n")[-1]
            # Each is where a click expects it.
            for start, end, command in app.screen.query_one(Footer)._spots:
                word = next(c for c in COMMANDS if c.id == command).word(app.view.situation(), size[0] < WIDE)
                assert line[start:end].split(maxsplit=1)[1].strip() == word
    return lines


CHARTS = ["c Chart", "m Metric", "x Hide"]


@pytest.mark.parametrize(
    ("done", "events", "keys", "words", "where_wide"),
    [
        (0, [STARTING], [], ["d Detach", "L Log", "enter Details", *CHARTS], []),
        (6, [], [], ["space Pause", "enter Details", *CHARTS], ["v Verdict", "d Detach"]),
        (6, [], ["5"], ["r Rerun", "space Pause", "enter Details", *CHARTS], ["v Verdict", "d Detach"]),
        (6, [], ["3", "x"], ["x Show", "space Pause", "enter Details", *CHARTS[:2]], ["v Verdict", "d Detach"]),
        (6, [], ["h"], ["h Go on", "space Pause", "enter Details", *CHARTS], ["v Verdict", "d Detach"]),
        (6, [PAUSED], [], ["space Resume", "enter Details", *CHARTS], ["v Verdict", "d Detach"]),
        (10, DONE, [], ["r Rerun", "R All", "v Verdict", "e CSV", "enter Details", *CHARTS[:2]], ["x Hide"]),
        (6, [], ["enter"], ["esc Back", "/ Filter", "S Slowest", "l Server log", "space Pause"], ["m Metric"]),
        (6, [], ["v"], ["esc Back", "M More", "m Metric", "space Pause"], []),
        (6, [], ["L"], ["esc Back", "space Pause"], []),
    ],
    ids=["starting", "running", "at rest", "hidden", "held", "paused", "done", "details", "verdict", "log"],
)
async def test_the_most_important_commands_have_room(
    done: int, events: list[AnyEvent], keys: list[str], words: list[str], where_wide: list[str]
) -> None:
    shorter = {"enter Details": "enter Open", "v Verdict": "v Why", "l Server log": "l Log"}
    for width, line in (await footers(done, events, *keys)).items():
        here = [*words, *where_wide] if width >= WIDE else [shorter.get(word, word) for word in words]
        for each in [*here, "? Help", "q Quit"]:
            assert f" {each}" in line
        assert "…" not in line


@pytest.mark.parametrize("phase", ["connecting", "starting", "running", "paused", "done", "stopping", "gone"])
@pytest.mark.parametrize("over", ["", "details", "log", "verdict"])
def test_every_command_is_ordered_once(phase: str, over: str) -> None:
    shown = {"details": True, "page": "" if over == "details" else over} if over else {}
    order = by_importance(Situation(phase=phase, **shown))  # type: ignore[arg-type]
    assert sorted(order) == sorted(c.id for c in COMMANDS)
    assert order[:2] == ["help", "quit"]
