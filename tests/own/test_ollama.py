"""Ollama started on the shared model file: a real process, with a stand-in."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from llmtui.engine.health import _facts
from llmtui.model import Backend
from llmtui.servers import file_records, launcher
from llmtui.servers.base import Ready, StartError
from llmtui.servers.model_cache import cache_folder
from llmtui.servers.model_file import model_digest
from llmtui.servers.own import ollama_load
from llmtui.servers.own.ollama_load import is_older, load_request
from llmtui.servers.ports import free_port
from llmtui.wire.ollama import OllamaDialect
from tests.own.install import StandIns
from tests.own.ollama_starts import CONFIG, Starter, ask, digest, listening, times
from tests.servers.gguf_files import gguf_head, string, u32, with_weights
from tests.servers.model_files import cache, quiet

__all__ = ["cache"]

pytestmark = pytest.mark.usefixtures("cache")

Prepare = Callable[..., Starter]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-1B.Q8_0.gguf"
    head = gguf_head([("general.architecture", string("llama")), ("general.file_type", u32(7))])
    path.write_bytes(with_weights(head, 1000))
    return path


@pytest.fixture
async def prepare(tmp_path: Path, stand_ins: StandIns, model: Path) -> AsyncIterator[Prepare]:
    made: list[Starter] = []

    def install(*faults: str, version: str = "") -> Starter:
        made.append(Starter(tmp_path, stand_ins.install("ollama", *faults, version=version), model))
        return made[-1]

    yield install
    for starter in made:
        for server in starter.servers:
            await server.stop()


def requests(stand_ins: StandIns) -> list[tuple[str, str]]:
    return [(one["method"], one["path"]) for one in stand_ins.records("ollama", "request")]


async def test_it_is_loaded_on_the_file_itself(
    prepare: Prepare, stand_ins: StandIns, model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_llama = ("LLAMA_ARG_THREADS", "LLAMA_API_KEY")
    for name in ("OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_DEBUG", *of_llama, "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "the user's")
    home = os.environ["HOME"]
    before = times(model)
    ready = await prepare().start()
    assert ready.model == f"tiny-1b:{digest(model)[7:19]}"
    assert ready.title == "Tiny-1B"
    assert (ready.weights, ready.threads, ready.context_tokens) == ("Q8_0", 2, 2048)
    assert ready.model_digest == digest(model)
    assert ready.version == "0.33.0"
    assert ready.options == {"num_ctx": 2048, "num_thread": 2, "num_gpu": 0}
    environment = stand_ins.environment("ollama")
    assert environment["OLLAMA_HOST"] == ready.url.removeprefix("http://")
    assert environment["OLLAMA_MODELS"] == str(cache / ".ollama" / "models")
    assert environment["HOME"] == str(cache / ".ollama" / "home") != home
    constant = {
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_CONTEXT_LENGTH": "2048",
        "OLLAMA_GO_TEMPLATE": "0",
        "OLLAMA_NOPRUNE": "1",
        "GIN_MODE": "release",
    }
    assert {name: environment[name] for name in constant} == constant
    assert "the user's" not in environment.values()
    load = stand_ins.records("ollama", "request")[-1]
    assert load["path"] == "/api/generate"
    assert load["body"]["keep_alive"] == -1
    assert load["body"]["options"].items() >= ready.options.items()
    assert times(model) == before


async def test_a_request_does_not_load_it_again(prepare: Prepare, stand_ins: StandIns) -> None:
    """The stand-in loads again for other options, as the real one does; then `load_duration` is half a second."""
    starter = prepare()
    ready = await starter.start(options={"num_batch": 64, "think": False})
    backend = Backend(name="x", url=ready.url, options={**ready.options, "num_batch": 64, "think": False})
    request = OllamaDialect().request(backend, CONFIG, "hello", ready.model)
    answer = await ask(ready, "/api/chat", request.body)
    assert isinstance(load_ns := answer["load_duration"], int) and load_ns < 100_000_000
    load = next(one for one in stand_ins.records("ollama", "request") if one["path"] == "/api/generate")
    assert load["body"]["options"]["num_batch"] == 64
    assert load["body"]["think"] is False


async def test_the_configs_options_win(prepare: Prepare, stand_ins: StandIns) -> None:
    await prepare().start(options={"num_thread": 1, "num_ctx": 512})
    options = stand_ins.records("ollama", "request")[-1]["body"]["options"]
    assert (options["num_thread"], options["num_ctx"]) == (1, 512)


async def test_placeholders_are_filled_in_before_it_loads(prepare: Prepare, stand_ins: StandIns) -> None:
    await prepare().start(options={"num_thread": "{threads}", "num_ctx": "{context}"})
    options = stand_ins.records("ollama", "request")[-1]["body"]["options"]
    assert all(isinstance(options[name], int) for name in ("num_thread", "num_ctx"))


async def test_the_openai_protocol_loads_without_options(prepare: Prepare) -> None:
    backend = Backend(name="x", protocol="openai")
    assert load_request(backend, {}, "m") == {"model": "m", "keep_alive": -1}


async def test_two_at_once_share_the_store(prepare: Prepare) -> None:
    starter = prepare()
    first, second = await asyncio.gather(starter.start(), starter.start())
    assert first.model == second.model
    assert first.url != second.url


async def test_the_users_ollama_is_not_asked(prepare: Prepare, stand_ins: StandIns, tmp_path: Path) -> None:
    """It answers on 11434 or wherever OLLAMA_HOST says; llmtui's has a port and a store of its own."""
    theirs = stand_ins.install("ollama", folder=tmp_path, name="theirs")
    port = free_port()
    environment = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", "HOME": str(tmp_path / "user")}
    running = await asyncio.create_subprocess_exec(theirs, "serve", env=environment)
    try:
        await listening(port)
        await prepare().start()
        assert stand_ins.records("theirs", "request") == []
        assert running.returncode is None
    finally:
        running.kill()
        await running.wait()


async def test_another_ollama_on_its_port_loads_nothing(
    prepare: Prepare, stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the port in the moment before; it would answer the request to load a model, or to make one."""
    port = free_port()
    monkeypatch.setattr(launcher, "free_port", lambda: port)
    theirs = stand_ins.install("ollama", folder=tmp_path, name="theirs")
    environment = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", "HOME": str(tmp_path / "user")}
    running = await asyncio.create_subprocess_exec(theirs, "serve", env=environment)
    try:
        await listening(port)
        with pytest.raises(StartError, match=f"port {port} is in use"):
            await prepare().start()
        assert [one for one in stand_ins.records("theirs", "request") if one["method"] != "GET"] == []
    finally:
        running.kill()
        await running.wait()


def test_the_name_on_screen_is_the_files() -> None:
    assert _facts(Ready(url="", model="tiny-1b:abc", title="Tiny-1B"))["model"] == "Tiny-1B"
    assert _facts(Ready(url="", model="llama3.2"))["model"] == "llama3.2"


@pytest.mark.parametrize(
    ("version", "faults", "note"),
    [("0.24.0", [], "Ollama's own chat template"), ("0.33.0", ["blind"], "")],
    ids=["too old for the file's template", "unknown store"],
)
async def test_the_api_sets_it_up_from_a_copy(
    prepare: Prepare, stand_ins: StandIns, model: Path, cache: Path, version: str, faults: list[str], note: str
) -> None:
    before = times(model)
    starter = prepare(*faults, version=version)
    ready = await starter.start()
    assert ("POST", "/api/create") in requests(stand_ins)
    assert ready.note == note
    assert any("copying the model" in step for step in starter.steps)
    assert times(model) == before
    blob = cache / ".ollama" / "models" / "blobs" / digest(model).replace(":", "-")
    assert blob.is_symlink(), "the uploaded copy takes no space any more"
    # The second start uses what the first one made.
    stand_ins.record("ollama").unlink()
    await starter.start()
    assert ("POST", "/api/create") not in requests(stand_ins)


async def test_a_version_that_llmtui_does_not_know_is_tried(prepare: Prepare) -> None:
    ready = await prepare(version="0.4.7").start()
    assert ready.note == "version 0.4.7 is older than 0.5, which llmtui knows; Ollama's own chat template"
    assert ready.version == "0.4.7"


async def test_a_full_disk_while_the_api_sets_it_up(prepare: Prepare, cache: Path, model: Path) -> None:
    with pytest.raises(StartError) as raised:
        await prepare("full", version="0.24.0").start()
    assert "Ollama 0.24.0 cannot set up the model: write" in raised.value.failure.message
    assert "no space left on device" in raised.value.failure.message
    assert raised.value.failure.hint == "free some disk space"
    # Nothing of the upload is left.
    blobs = cache / ".ollama" / "models" / "blobs"
    assert [blob.name for blob in blobs.iterdir() if not blob.is_symlink() and blob.stat().st_size > 500] == []
    await prepare(version="0.24.0").start()


async def test_too_little_space_is_said_before_the_upload(
    prepare: Prepare, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StartError, match="the disk is full"):
        await prepare("blind").start()
    assert ("POST", "/api/create") not in requests(stand_ins)


async def test_a_model_that_it_cannot_load_is_its_own_words(prepare: Prepare, stand_ins: StandIns) -> None:
    with pytest.raises(StartError) as raised:
        await prepare("no_load").start()
    assert raised.value.failure.message == (
        "Ollama cannot load the model: llama-server process has terminated: exit status 1: "
        "error loading model: unknown model architecture: 'tiny'"
    )
    assert raised.value.failure.hint == "take a newer version of the server, or another model"
    assert raised.value.log_tail
    assert ("POST", "/api/create") not in requests(stand_ins), "a copy would not help"


async def test_a_vague_reason_is_completed_from_the_log(prepare: Prepare) -> None:
    with pytest.raises(StartError) as raised:
        await prepare("vague").start()
    assert raised.value.failure.message == (
        "Ollama cannot load the model: llama runner process has terminated: exit status 2: "
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99"
    )
    assert "smaller model" in raised.value.failure.hint


async def test_an_end_while_it_loads(prepare: Prepare) -> None:
    with pytest.raises(StartError, match=r"exited while loading \(killed by signal 9") as raised:
        await prepare("ends").start()
    assert raised.value.failure.kind == "server"


async def test_changed_times_of_the_file_renew_its_records(
    prepare: Prepare, cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Ollama changes the file's times after all, its content is read again and nothing is converted again."""
    ready = await prepare("touch").start()
    assert ready.model_digest == digest(model)
    monkeypatch.setattr(file_records, "read_digest", None)
    assert await model_digest(model, quiet) == digest(model)


async def test_the_record_of_a_cached_file_is_renewed(prepare: Prepare, model: Path) -> None:
    starter = prepare("touch")
    starter.model = own = cache_folder() / model.name
    shutil.copyfile(model, own)
    record = file_records.record_path(own)
    file_records.write_claim(record, "made from 1 2 3 4", file_records.state_of_own(own))
    await starter.start()
    assert file_records.read_claim(record, file_records.state_of_own(own)) == "made from 1 2 3 4"


async def test_changed_content_is_an_error(prepare: Prepare) -> None:
    with pytest.raises(StartError, match="was changed while Ollama loaded it"):
        await prepare("spoil").start()


async def test_kill_9_leaves_a_store_that_the_next_start_uses(prepare: Prepare, cache: Path) -> None:
    starter = prepare()
    await starter.start()
    pid = starter.servers[0].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await starter.servers[0].exited.wait()
    (cache / ".ollama" / "models" / "blobs" / "sha256-123").write_bytes(b"half an upload")
    await starter.start()
    assert not (cache / ".ollama" / "models" / "blobs" / "sha256-123").exists()


@pytest.mark.parametrize(
    ("version", "is_it"),
    [("0.29.9", True), ("0.30.0-rc1", False), ("0.33.0", False), ("1.0", False), ("0.0.0", False), ("main", False)],
)
def test_a_build_from_source_is_not_old(version: str, is_it: bool) -> None:
    assert is_older(version, ollama_load.OWN_TEMPLATE) == is_it
