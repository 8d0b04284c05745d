"""The launch of each kind of backend: command, environment and URL, or what is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from llmtui.model import Backend, Embedded, RunConfig
from llmtui.servers import hf_serve, recipe_parts, recipes
from llmtui.servers.base import Report, StartError, allowed_cores, thread_count
from llmtui.servers.recipes import recipe
from tests.servers.model_files import quiet


@pytest.fixture(autouse=True)
def prepared_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Provide a shared model and installed engines."""
    original = tmp_path / "Tiny-1B.Q4_1.gguf"

    async def shared(config: RunConfig, report: Report) -> Path:
        return original

    async def encoded(path: Path, report: Report) -> tuple[Path, str]:
        return tmp_path / "Tiny-1B.Q8_0-abc.gguf", "Q8_0"

    async def exported(path: Path, report: Report) -> Path:
        return tmp_path / "hf" / "Tiny-1B"

    (tmp_path / "hf").mkdir()
    original.write_bytes(bytes.fromhex("47475546 03000000 0000000000000000 0100000000000000"))
    key = b"general.file_type"
    with original.open("ab") as file:
        file.write(len(key).to_bytes(8, "little") + key + (4).to_bytes(4, "little") + (3).to_bytes(4, "little"))
    monkeypatch.setattr(recipes, "shared_model", shared)
    monkeypatch.setattr(recipe_parts, "shared_model", shared)
    monkeypatch.setattr(recipes, "q8_model", encoded)
    monkeypatch.setattr(recipe_parts, "q8_model", encoded)
    monkeypatch.setattr(hf_serve, "shared_model", shared)
    monkeypatch.setattr(hf_serve, "hf_folder", exported)
    monkeypatch.setattr(recipes, "_require", lambda *_: None)
    monkeypatch.setattr(recipes, "_version", lambda package: f"{package} 1.0")
    monkeypatch.setattr(recipes, "_entry", lambda script: f"run {script}")


EMBEDDED: list[Embedded] = ["llama.cpp", "mistral.rs", "transformers"]


@pytest.mark.parametrize("name", EMBEDDED)
async def test_every_engine_gets_the_same_threads_and_name(name: Embedded) -> None:
    launch = await recipe(Backend(name="x", embedded=name), RunConfig(threads=3), 1234, quiet)
    assert launch.ready.threads == 3
    assert {launch.env[key] for key in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}
    assert launch.ready.model == "Tiny-1B"
    assert launch.ready.url == "http://127.0.0.1:1234"
    assert launch.probe_url == "http://127.0.0.1:1234/health"
    assert launch.ready.weights == ("BF16" if name == "transformers" else "Q8_0")
    assert "1234" in launch.argv
    assert launch.argv[0] == sys.executable
    assert launch.env["HF_HUB_OFFLINE"] == "1"
    assert bool(launch.ready.note) == (name == "mistral.rs")


async def test_weights_of_the_file_are_used_if_configured() -> None:
    launch = await recipe(Backend(name="x", embedded="llama.cpp", weights="q4_1"), RunConfig(), 1, quiet)
    assert launch.ready.weights == "Q4_1"
    assert any(word.endswith("Tiny-1B.Q4_1.gguf") for word in launch.argv)


async def test_transformers_can_compute_in_f32() -> None:
    launch = await recipe(Backend(name="x", embedded="transformers", weights="f32"), RunConfig(), 1, quiet)
    assert (launch.ready.weights, launch.argv[-1]) == ("F32", "float32")


@pytest.mark.parametrize("name", EMBEDDED)
async def test_weights_that_cannot_be_made_are_an_error(name: Embedded) -> None:
    with pytest.raises(StartError, match="weights 'Q5_0' cannot be made") as caught:
        await recipe(Backend(name="mine", embedded=name, weights="Q5_0"), RunConfig(), 1, quiet)
    assert "[[backend]] mine" in caught.value.failure.hint


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [
        ("llama.cpp", "xllamacpp", "pip install -e '.[local]'"),
        ("mistral.rs", "mistralrs", "pip install -e '.[local]'"),
        ("transformers", "torch", "pip install -e '.[hf]'"),
    ],
)
async def test_a_package_that_is_not_installed_is_an_error(
    name: Embedded, package: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == package else object())
    with pytest.raises(StartError) as caught:
        await recipe(Backend(name="x", embedded=name), RunConfig(), 1, quiet)
    assert caught.value.failure.kind == "missing"
    assert caught.value.failure.message == f"not installed: {package}"
    assert caught.value.failure.hint.startswith(hint)


async def test_a_command_can_use_the_shared_model() -> None:
    launch = ["sh", "-m", "{model}", "-t", "{threads}", "--port={port}"]
    backend = Backend(name="x", launch=launch, url="http://localhost:{port}/v1")
    made = await recipe(backend, RunConfig(threads=2), 4321, quiet)
    assert made.argv[2].endswith("Tiny-1B.Q8_0-abc.gguf")
    assert list(made.argv[3:]) == ["-t", "2", "--port=4321"]
    assert (made.ready.weights, made.ready.threads) == ("Q8_0", 2)
    assert made.ready.model == "Tiny-1B" and made.ready.model_digest.startswith("sha256:")
    assert made.ready.url == "http://localhost:4321"


async def test_the_health_check_of_a_custom_server_is_at_its_root() -> None:
    backend = Backend(
        name="x", launch=["sh"], protocol="custom", url="http://127.0.0.1:{port}/generate?x=1", ready="/up"
    )
    made = await recipe(backend, RunConfig(), 4321, quiet)
    assert made.ready.url == "http://127.0.0.1:4321/generate?x=1"
    assert made.probe_url == "http://127.0.0.1:4321/up"


def test_one_core_is_left_free() -> None:
    assert thread_count(RunConfig(threads=5)) == 5
    assert thread_count(RunConfig()) == max(1, allowed_cores() - 1)


@pytest.mark.parametrize("name", EMBEDDED)
async def test_every_engine_has_fields_for_full_length(name: Embedded) -> None:
    launch = await recipe(Backend(name="x", embedded=name), RunConfig(max_tokens=7), 1, quiet)
    assert (
        launch.ready.full_length
        == {
            "llama.cpp": {"ignore_eos": True},
            "mistral.rs": {"logit_bias": {}},  # the file has no tokens that end an answer
            "transformers": {"generation_config": '{"min_new_tokens": 7}'},
        }[name]
    )


async def test_the_context_has_room_for_prompt_and_answer() -> None:
    launch = await recipe(
        Backend(name="x", embedded="llama.cpp"), RunConfig(max_tokens=4000, prompt="x" * 100), 1, quiet
    )
    assert launch.argv[launch.argv.index("--ctx") + 1] == "4356"
