"""The rerun key asks: alone, or in turns with the backend that it is compared with."""

from __future__ import annotations

import pytest

from llmtui.model import AnyEvent, BackendChanged, Rerun
from llmtui.runview.run import RunView
from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.views.rerun_choice import RerunChoice, choice_line, rerun_choice
from llmtui.ui.widgets.footer import Footer
from tests import build
from tests.reruns import rerun
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

KEYS = {command.id: key_word(command.key) for command in COMMANDS}
RACE = rerun(1, {"a": 1.0, "b": 1.1, "c": 1.3})


def race(*events: AnyEvent, names: str = "abc", **config: str) -> RunView:
    return build.run_view(build.plan(*names, iterations=10, **config), *events)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", RerunChoice("a", "b", others=True)),
        ("b", RerunChoice("b", "a", others=True)),
        ("c", RerunChoice("c", "a", others=True)),
    ],
)
def test_the_best_one_goes_along_or_the_next_best(name: str, expected: RerunChoice) -> None:
    assert rerun_choice(race(*RACE), name) == expected


def test_nothing_is_asked_where_nothing_is_compared() -> None:
    assert rerun_choice(race(), "a") is None, "no samples"
    assert rerun_choice(race(*rerun(1, {"a": 1.0}), names="a"), "a") is None, "one backend"
    assert rerun_choice(race(*rerun(1, {"a": 1.0}), names="ab"), "a") is None, "the only one with samples"
    assert rerun_choice(race(*RACE, order="sequential"), "b") is None, "no turns"
    failed = build.changed("b", state="failed", planned=10)
    assert rerun_choice(race(*rerun(1, {"a": 1.0}), failed, names="ab"), "b") == RerunChoice("b", "a")
    leader = build.changed("a", state="running", planned=10)
    assert rerun_choice(race(*RACE, leader), "b") is None, "the best one is still measured"


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("choice", [RerunChoice("mistral.rs", "llama.cpp"), RerunChoice("b" * 60, "c" * 60, True)])
def test_the_question_fits_and_is_answered_where_it_is_clicked(width: int, choice: RerunChoice) -> None:
    line, spots = choice_line(choice, KEYS, width)
    text = "".join(span for span, _ in line)
    assert len(text) <= width
    answers = {command: text[start:end] for start, end, command in spots}
    assert list(answers) == ["maximise", *(["rerun_all"] if choice.others else []), "rerun", "back"]
    for command, words in answers.items():
        assert words.startswith(KEYS[command])
    if width >= 80:
        assert f"rerun {choice.name[:6]}" in text and f"with {choice.partner[:6]}" in answers["maximise"]
        assert choice.others or "no star" in answers["rerun"]


@pytest.mark.slow
async def test_the_question_at_80x24_and_its_answers() -> None:
    link = FakeLink(canned.hello(done=10, running=False))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)

        async def press(*keys: str) -> str:
            for key in keys:
                await pilot.press(key)
                await settle(pilot)
            return screen_text(app).split("\n")[-1]

        assert (await press("2", "r")).rstrip() == " rerun mistral.rs:  enter with llama.cpp  R all  r alone  esc no"
        assert link.sent == []
        assert "q Quit" in await press("escape") and link.sent == []
        await press("r", "r")
        assert link.sent == [Rerun(backend="mistral.rs")]
        await press("r", "enter")
        assert link.sent[1:] == [Rerun(backend="mistral.rs", also=["llama.cpp"])]
        # Another key does what it always does, and so does the selection of another backend.
        await press("r", "m")
        assert app.view.metric == "ttft" and app.view.choice is None
        assert "q Quit" in await press("r", "1") and app.view.selected == "llama.cpp"
        await press("r")
        assert app.view.choice == RerunChoice("llama.cpp", "mistral.rs", others=True)
        await press("escape", "enter", "r")
        assert isinstance(app.screen, DetailsScreen) and "rerun llama.cpp:" in screen_text(app)
        spot = next(spot for spot in app.screen.query_one(Footer)._spots if spot[2] == "maximise")
        await pilot.click(app.screen.query_one(Footer), offset=(spot[0] + 1, 0))
        await settle(pilot)
        assert link.sent[2:] == [Rerun(backend="llama.cpp", also=["mistral.rs"])]
        # Chosen by name, a command is no answer.
        await press("r")
        app.choose_command("rerun")
        await settle(pilot)
        assert app.view.choice is not None and len(link.sent) == 3
        # Meanwhile another client reran it.
        link.put(BackendChanged(backend=canned.state("mistral.rs", state="running", attempt=2)))
        await settle(pilot, link)
        await press("enter")
        assert len(link.sent) == 3
        assert "mistral.rs is not at rest any more: nothing was rerun" in [n.message for n in app._notifications]


async def test_all_of_them_and_at_once_before_there_is_a_result() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("5", "r")
        await settle(pilot)
        assert link.sent == [Rerun(backend="Ollama")], "the best one is being measured"
        said = [n.message for n in app._notifications]
        assert said == ["Ollama is rerun alone, not in turns; for a star rerun all at the end"]
        link.put(canned.hello(done=10, running=False))
        await settle(pilot, link)
        await pilot.press("r", "R")
        await settle(pilot)
        assert link.sent[1:] == [Rerun()] and app.view.choice is None
