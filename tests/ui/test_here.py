"""What is on this machine: the line of the main screen, and the page that starts a race."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from llmtui.cli.races import Races, write_group
from llmtui.config.lineup import Group, groups, missing
from llmtui.config.schema import UiConfig, load
from llmtui.model import Absent, Backend, DiscoveredServer, Found, Plan, RunConfig, Shutdown
from llmtui.model.discovered import Model
from llmtui.ui.app import MonitorApp
from llmtui.ui.here import Here
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.here import other_lines, presence_line, race_lines
from tests import build
from tests.cli.server_pages import LLAMACPP, Pages, openai, reply
from tests.scripted import CLOSE, scripted
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import screen_text, settle

BUILT_IN = "SmolLM2-135M-Instruct"


def server(framework: str, port: int, *models: str) -> DiscoveredServer:
    protocol: Any = "ollama" if framework == "Ollama" else "openai"
    return DiscoveredServer(
        framework=framework, url=f"http://127.0.0.1:{port}", protocol=protocol, models=[Model(name=m) for m in models]
    )


OLLAMA = server("Ollama", 11434, "llama3.2:3b", "qwen3:8b", "smollm2:135m")
LLAMA = server("llama.cpp", 8080, "Qwen3-8B-Q4_K_M.gguf")
FOUND = Found(servers=[OLLAMA, LLAMA], engines=["llama.cpp", "mistral.rs"])


def text(line: Any) -> str:
    return "".join(part for part, _ in line)


# --- Pure. ---


def test_races_are_grouped_by_model_the_largest_first() -> None:
    races = groups(FOUND, "")
    assert [(race.model, [(b.name, b.embedded or b.model) for b in race.backends]) for race in races] == [
        (BUILT_IN, [("llama.cpp", "llama.cpp"), ("mistral.rs", "mistral.rs"), ("Ollama", "smollm2:135m")]),
        ("qwen3:8b", [("Ollama", "qwen3:8b"), ("llama.cpp", "Qwen3-8B-Q4_K_M.gguf")]),
        ("llama3.2:3b", [("Ollama", "llama3.2:3b")]),
    ]


def test_engines_race_the_file_of_the_run_and_a_server_beside_its_engine_has_another_name() -> None:
    races = groups(FOUND, "/models/Qwen3-8B-Q8_0.gguf")
    assert [b.name for b in races[0].backends] == ["llama.cpp", "mistral.rs", "Ollama", "llama.cpp server"]
    assert groups(FOUND, "qwen3:8b")[0].model == "qwen3:8b", "engines cannot load a name"


def test_what_is_missing_is_neither_running_nor_installed() -> None:
    assert {one.framework: one.reason for one in missing(FOUND)} == {
        "Llamafile": "not running",
        "LM Studio": "not running",
        "vLLM": "not running",
        "HuggingFace": "not installed",
    }


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_line_says_as_much_as_fits(width: int) -> None:
    absent = [Absent(framework="HuggingFace"), Absent(framework="Llamafile"), Absent(framework="Ollama")]
    plan = msgspec.structs.replace(build.plan("a"), absent=absent, others=[OLLAMA])
    line = text(presence_line(plan, width, "i")).strip()
    assert line.startswith(
        "also running: Ollama" if width < 200 else "not here: HuggingFace, Llamafile (i tells how to"
    )
    if width >= 80:
        assert "not here: HuggingFace, Llamafile" in line and "i races them" in line
    if width == 200:
        assert "also running: Ollama with llama3.2:3b, qwen3:8b, smollm2:135m (i races them)" in line
    alone = msgspec.structs.replace(plan, others=[])
    line = text(presence_line(alone, width, "i")).strip()
    assert line.startswith("not here: HuggingFace, Llamafile, Ollama (i")
    assert presence_line(build.plan("a"), width, "i") == ()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_of_the_page_is_too_long_or_hides_signs(width: int) -> None:
    hostile = server("vLLM", 1, "\x1b[31mred\n", "x" * 400, "模型" * 30)
    found = msgspec.structs.replace(FOUND, servers=[hostile, OLLAMA], problems={"http://127.0.0.1:8080": "a web page"})
    lines = race_lines(groups(found, ""), 1, width) + other_lines(found, width)
    assert all(text(line).isprintable() for line in lines)
    assert all(width_of(line) <= width for line in race_lines(groups(found, ""), 1, width))


def test_the_selected_race_is_shown_whole() -> None:
    found = msgspec.structs.replace(FOUND, engines=["llama.cpp", "mistral.rs", "transformers"])
    races = groups(found, "")
    at = next(i for i, one in enumerate(races) if any(b.on_shared_file for b in one.backends))
    shown = " ".join(" ".join(text(line) for line in race_lines(races, at, 60)).split())
    assert "llmtui starts llama.cpp, mistral.rs, HuggingFace" in shown
    assert len(race_lines(races, at, 60)) > len(race_lines(races, at, 200)) == len(races)


def test_a_race_is_written_as_a_config(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    race = groups(FOUND, "")[0]
    assert write_group(race, RunConfig()) == "wrote config.toml; to race it again: llmtui config.toml"
    assert write_group(race, RunConfig()) == "wrote config-2.toml; to race it again: llmtui config-2.toml"
    written = load(tmp_path / "config-2.toml").backend
    assert [(b.name, b.embedded, b.url, b.model, b.protocol) for b in written] == [
        (b.name, b.embedded, b.url, b.model, b.protocol) for b in race.backends
    ]


@pytest.mark.parametrize("model", ["", "/models/my own.gguf"])
def test_a_written_config_has_the_settings_of_the_run(
    model: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunConfig(
        model=model, prompt='Say "hi"\nin [run] \\1', iterations=7, temperature=0.5, restarts=2, full_length=False
    )
    engines = groups(Found(engines=["llama.cpp"]), model)[0]
    write_group(engines, run)
    assert load(tmp_path / "config.toml").run == run
    servers = groups(msgspec.structs.replace(FOUND, engines=[]), model)[0]
    write_group(servers, run)
    assert load(tmp_path / "config-2.toml").run == msgspec.structs.replace(run, model="")


# --- On the screen. ---


async def _nothing() -> Found:
    return FOUND


def monitor(link: FakeLink, here: Here, plan: Plan | None = None) -> MonitorApp:
    return MonitorApp(plan or canned.plan(), link, ui=UiConfig(), here=here)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_the_main_screen_has_the_line(size: tuple[int, int]) -> None:
    plan = msgspec.structs.replace(canned.plan(), absent=[Absent(framework="TGI")], others=[LLAMA])
    link = FakeLink(canned.hello(done=3))
    link.queue.get_nowait()
    link.put(msgspec.structs.replace(canned.hello(done=3), plan=plan))
    app = monitor(link, Here(_nothing), plan)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        shown = screen_text(app)
        assert "also running: llama.cpp" in shown and "not here: TGI" in shown and "i " in shown


@pytest.mark.slow
async def test_a_race_that_is_being_measured_is_stopped_only_after_a_question() -> None:
    link = FakeLink(canned.hello(done=3))
    here = Here(_nothing)
    app = monitor(link, here)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("i")
        await settle(pilot)
        assert here.found is None, "nothing is asked while the run is measured"
        await pilot.press("r")
        await settle(pilot)
        assert here.found is None and any("looking would disturb it" in n.message for n in app._notifications)
        await pilot.press("enter")
        await settle(pilot)
        assert "a run is in progress: enter stops it and starts this race" in screen_text(app)
        await pilot.press("escape")
        await settle(pilot)
        assert "a run is in progress: enter" not in screen_text(app) and here.chosen is None
        await pilot.press("enter", "enter")
        await settle(pilot)
    assert here.chosen is not None
    assert link.sent[-1] == Shutdown()


class Machine:
    """llama-server and Ollama on free ports."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.urls: list[str] = []

    async def add(self, pages: Pages) -> None:
        server = await self._stack.enter_async_context(
            scripted([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", CLOSE])
        )
        for path, answer in pages.items():
            server.by_path[f"GET {path} ".encode()] = [[answer, CLOSE]]
        self.urls.append(server.url)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with AsyncExitStack() as stack:
        made = Machine(stack)
        await made.add({**LLAMACPP, **openai("Qwen3-8B-Q4_K_M.gguf", owner="llamacpp")})
        await made.add(
            {
                "/": reply(b"Ollama is running", head="Content-Type: text/plain"),
                "/api/version": reply({"version": "0.32.15"}),
                "/api/tags": reply({"models": [{"name": n} for n in ("llama3.2:3b", "qwen3:8b", "mistral:7b")]}),
            }
        )
        yield made


async def test_what_runs_is_raced_with_two_keys(machine: Machine) -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    races = Races(UiConfig(), "", machine.urls)
    here = races.here()
    app = monitor(link, here)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("i")
        async with asyncio.timeout(10):
            while here.found is None:
                await pilot.pause(0.02)
        await settle(pilot)
        assert "qwen3:8b" in screen_text(app)
        here.selected = [race.model for race in here.races(app.run_view.plan)].index("Qwen3-8B-Q4_K_M.gguf")
        await pilot.press("enter")
        await settle(pilot)
    plan = races.next_plan(app.run_view.plan, here)
    assert plan is not None and plan.config == app.run_view.plan.config
    assert plan.source == f"llmtui {' '.join(machine.urls)} --model Qwen3-8B-Q4_K_M.gguf"
    assert [(b.name, b.url, b.model) for b in plan.backends] == [
        ("llama.cpp", machine.urls[0], "Qwen3-8B-Q4_K_M.gguf"),
        ("Ollama", machine.urls[1], "qwen3:8b"),
    ]
    assert plan.others == []


async def test_a_server_of_the_config_is_raced_with_its_key() -> None:
    server = Backend(name="box", framework="vLLM", url="http://127.0.0.1:8000/v1", api_key="secret", model="a:1b")
    plan = msgspec.structs.replace(canned.plan(), backends=[server])
    here = Here()
    here.chosen = next(race for race in here.races(plan.public()) if race.model == "a:1b")
    following = Races(UiConfig(), "").next_plan(plan, here)
    assert following is not None
    assert [(b.name, b.url, b.api_key, b.model) for b in following.backends] == [
        ("vLLM", "http://127.0.0.1:8000/v1", "secret", "a:1b")
    ]
    assert "secret" not in following.source


async def test_with_nothing_to_race_the_page_opens_by_itself(machine: Machine) -> None:
    races = Races(UiConfig(), "", machine.urls)
    here = races.here()

    async def never() -> Any:
        await asyncio.Event().wait()

    app = MonitorApp(msgspec.structs.replace(canned.plan(), backends=[]), never, ui=UiConfig(), here=here)
    async with app.run_test(size=(80, 24)) as pilot:
        async with asyncio.timeout(10):
            while here.found is None:
                await pilot.pause(0.02)
        await settle(pilot)
        assert "choose a race" in screen_text(app) and "qwen3:8b" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
    assert isinstance(here.chosen, Group)


async def test_a_monitor_that_cannot_start_races_says_so() -> None:
    link = FakeLink(canned.hello(done=10), canned.run_done())
    app = monitor(link, Here(), msgspec.structs.replace(canned.plan(), backends=[Backend(name="a", url="http://h:1")]))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("i", "enter")
        await settle(pilot)
        assert any("this monitor cannot start races" in n.message for n in app._notifications)
