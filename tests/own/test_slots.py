"""Slots and context of the servers that llmtui launches for a load, and of those that run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from llmtui.cli.run_lines import state_line
from llmtui.engine.slots import OPEN_SLOTS, slots_note, slots_of
from llmtui.model import Backend, Embedded, Load, OwnServerName, Plan, RunConfig
from llmtui.runview.backend import BackendView
from llmtui.servers import hf_serve, recipe_parts, recipes
from llmtui.servers.recipe_parts import MAX_SLOTS, context_tokens
from llmtui.servers.recipes import recipe
from llmtui.wire.openai import OpenAIDialect
from tests import build
from tests.own.install import StandIns
from tests.servers.model_files import quiet

FILE = Path("/models/Tiny-1B.gguf")
CONFIG = RunConfig(threads=3)
LAUNCHED = Backend(name="a", launch=["server", "-np", "{slots}"])


def plan_of(load: Load, *backends: Backend) -> Plan:
    return msgspec.structs.replace(build.plan(*backends), load=load)


@pytest.mark.parametrize(
    ("load", "slots"),
    [
        (Load(), 1),
        (Load(concurrency=[1, 8, 4]), 8),
        (Load(concurrency=[10_000]), MAX_SLOTS),
        (Load(request_rate=[2.0, 50.0], max_concurrency=6), 6),
        (Load(request_rate=[2.0]), OPEN_SLOTS),
    ],
)
def test_slots_are_those_of_the_largest_level(load: Load, slots: int) -> None:
    assert slots_of(plan_of(load, LAUNCHED)) == slots


def test_a_level_above_the_most_slots_is_reported_if_llmtui_launches_a_server() -> None:
    load = Load(concurrency=[MAX_SLOTS, MAX_SLOTS + 1])
    assert slots_note(plan_of(load, LAUNCHED)) == (
        "a server that llmtui launches gets at most 256 slots: at 257 streams requests wait in its queue"
    )
    for backend in (Backend(name="a", url="http://127.0.0.1:1"), Backend(name="a", launch=["server", "-np", "4"])):
        assert slots_note(plan_of(load, backend)) == ""
    assert slots_note(plan_of(Load(concurrency=[MAX_SLOTS]), LAUNCHED)) == ""


@pytest.mark.parametrize(("slots", "tokens"), [(1, 2048), (2, 2048), (32, 2048), (48, 1280), (100, 512), (256, 512)])
def test_the_context_of_one_request(slots: int, tokens: int) -> None:
    assert context_tokens(CONFIG, slots) == tokens


def test_a_slot_always_has_room_for_prompt_and_answer() -> None:
    assert context_tokens(RunConfig(max_tokens=4000, prompt="x" * 100), 64) == 4608


def value_of(argv: Sequence[str], flag: str) -> str:
    return argv[list(argv).index(flag) + 1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model files that need not exist, and packages that need not be installed."""

    async def shared_file(*_: object) -> recipe_parts.SharedFile:
        return recipe_parts.SharedFile(FILE, "Q8_0", "Tiny-1B", (2,), "")

    async def hf_model(*_: object) -> hf_serve.HfModel:
        return hf_serve.HfModel(FILE.parent / "Tiny-1B", FILE.parent, "bfloat16", "BF16", "")

    monkeypatch.setattr(recipes, "shared_file", shared_file)
    monkeypatch.setattr(recipes, "hf_model", hf_model)
    monkeypatch.setattr(recipes, "_require", lambda *_: None)
    monkeypatch.setattr(recipes, "_version", lambda package: f"{package} 5.24.0")
    monkeypatch.setattr(recipes, "_entry", lambda script: f"run {script}")


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("llama.cpp", {"--slots": "8", "--ctx": "16384"}),
        ("mistral.rs", {"--slots": "8"}),
        ("transformers", {"--cb-num-blocks": "64", "--cb-block-size": "256", "--cb-max-batch-tokens": "520"}),
    ],
)
async def test_embedded_engines(name: Embedded, flags: dict[str, str]) -> None:
    launch = await recipe(Backend(name="x", embedded=name), CONFIG, 1234, quiet, 8)
    assert {flag: value_of(launch.argv, flag) for flag in flags} == flags
    assert (launch.ready.slots, launch.ready.threads) == (8, 3)
    one = await recipe(Backend(name="x", embedded=name), CONFIG, 1234, quiet)
    assert one.ready.slots == 1 and "--continuous-batching" not in one.argv


@pytest.mark.usefixtures("made")
async def test_an_old_transformers_answers_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "_version", lambda package: f"{package} 5.2.0")
    launch = await recipe(Backend(name="x", embedded="transformers"), CONFIG, 1234, quiet, 8)
    assert (launch.ready.slots, launch.ready.note) == (1, "one request at a time")
    assert "--continuous-batching" not in launch.argv


@pytest.mark.parametrize(
    ("server", "flags"),
    [
        ("llama-server", {"-np": "8", "-c": "16384"}),
        ("llamafile", {"-np": "8", "-c": "16384"}),
        ("mistralrs", {"--max-seqs": "8"}),
        ("vllm", {"--max-num-seqs": "8", "--max-model-len": "2048"}),
    ],
)
async def test_own_servers(
    server: OwnServerName, flags: dict[str, str], stand_ins: StandIns, tiny: Path, exported: Path
) -> None:
    stand_ins.install(server)
    launch = await recipe(Backend(name="x", server=server), RunConfig(model=str(tiny)), 1234, quiet, 8)
    assert {flag: value_of(launch.argv, flag) for flag in flags} == flags
    assert launch.ready.slots == 8


async def test_ollama_multiplies_the_context_by_itself(stand_ins: StandIns, tiny: Path) -> None:
    stand_ins.install("ollama")
    backend = Backend(name="x", server="ollama", protocol="ollama")
    launch = await recipe(backend, RunConfig(model=str(tiny)), 1234, quiet, 8)
    assert (launch.env["OLLAMA_NUM_PARALLEL"], launch.env["OLLAMA_CONTEXT_LENGTH"]) == ("8", "2048")
    assert launch.ready.options["num_ctx"] == 2048


@pytest.mark.parametrize(
    ("words", "framework", "filled"),
    [
        (["-c", "{context}", "-np", "{slots}"], "mine", ["-c", "16384", "-np", "8"]),
        (["-c", "{context}"], "llama.cpp", ["-c", "16384"]),
        (["--max-model-len", "{context}", "--max-num-seqs", "{slots}"], "vLLM", ["2048", "8"]),
    ],
)
async def test_a_command_gets_the_context_as_its_server_counts_it(
    words: list[str], framework: str, filled: list[str]
) -> None:
    launch = await recipe(Backend(name="x", framework=framework, launch=["sh", *words]), CONFIG, 1234, quiet, 8)
    assert [word for word in launch.argv[1:] if word in filled] == filled


@pytest.mark.parametrize(("told", "slots"), [("4", 4), ("0", None), ("-1", None), ('"x"', None), ("null", None)])
def test_a_running_server_says_how_many_slots_it_has(told: str, slots: int | None) -> None:
    body = b'{"default_generation_settings":{"n_ctx":512},"total_slots":%b}' % told.encode()
    info = OpenAIDialect().server_info("/props", body)
    assert (info.slots, info.context_tokens) == (slots, 512)


@pytest.mark.parametrize(("level", "slots", "words"), [(1, 8, "8 slots"), (1, 1, "1 slot"), (1, None, ""), (0, 1, "")])
def test_the_slots_are_shown_under_a_load(level: int, slots: int | None, words: str) -> None:
    view = BackendView(LAUNCHED, build.state("a", state="ready", slots=slots), levels=[1], level=level)
    assert view.slots_words == words
    assert state_line(view) == f"a: ready: {words + ', ' if words else ''}launched"
