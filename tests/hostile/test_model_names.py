"""Names of model files that look like paths, options or special syntax."""

# ruff: noqa: ASYNC240 - no other task of these tests waits for a file.

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmtui.model import Backend, RunConfig
from llmtui.servers import model_file as modelfile
from llmtui.servers import recipes
from llmtui.servers.model_file import hf_folder, model_digest, model_name, q8_model
from tests.hostile.conversions import HEAD, conversions, sha256, source
from tests.servers.model_files import cache, quiet

__all__ = ["cache", "conversions", "source"]  # fixtures


@given(st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=250))
@example("..Q8_0.gguf")
@example("...Q8_0.gguf")
@example("-Q8_0.gguf")
@example("--help.gguf")
@example(".-.-.gguf")
@example("\x1b[31mred\n.gguf")
@example("\udcff\udc9b31m.gguf")
@example("ß" * 127)
@example(" . ")
def test_model_names_are_neither_paths_nor_options(filename: str) -> None:
    name = model_name(Path("/models", filename))
    assert name
    assert name.isprintable()
    assert "/" not in name
    assert not name.startswith((".", "-", " "))
    assert len(name.encode()) <= modelfile.MAX_NAME_BYTES


@pytest.mark.parametrize("filename", ["..Q8_0.gguf", "...Q8_0.gguf", ".Q8_0.gguf", "..gguf", "-.gguf"])
async def test_a_name_of_dots_does_not_remove_a_parent_folder(
    filename: str, cache: Path, source: Path, conversions: list[list[str]]
) -> None:
    named = source.rename(source.with_name(filename))
    other = cache / "other.gguf"
    cache.mkdir(parents=True)
    other.touch()
    made = await hf_folder(named, quiet)
    assert other.exists()
    assert made.parent.parent == cache
    assert made.is_dir()
    assert made.resolve().name == made.name


@pytest.mark.parametrize("filename", ["home.gguf", "log.gguf", ".log.gguf", "repo@revision.gguf", "repo:file.gguf"])
async def test_reserved_names_are_usable_as_model_names(
    filename: str, cache: Path, source: Path, conversions: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = source.rename(source.with_name(filename))
    monkeypatch.setattr(recipes, "_entry", lambda _: "pass")
    monkeypatch.setattr(recipes, "_version", lambda _: "1.0")
    monkeypatch.setattr(recipes, "_require", lambda *_: None)
    for _ in range(2):
        launch = await recipes.recipe(Backend(name="x", embedded="transformers"), RunConfig(model=str(named)), 1, quiet)
    assert len(conversions) == 1, "it was made once, and nothing else was put into it"
    assert not {"@", ":"} & set(launch.ready.model)
    assert launch.cwd is not None
    assert (launch.cwd / launch.ready.model / "config.json").is_file()
    assert Path(launch.env["HF_HOME"], "hub").is_dir()
    assert Path(launch.env["HF_HOME"]) != launch.cwd / launch.ready.model


@pytest.mark.parametrize("engine", ["llama.cpp", "mistral.rs"])
async def test_names_and_paths_are_passed_as_values_of_options(
    engine: str, tmp_path: Path, source: Path, conversions: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = source.rename(source.with_name("--port.gguf"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMTUI_CACHE", "-cache")
    monkeypatch.setattr(recipes, "_require", lambda *_: None)
    monkeypatch.setattr(recipes, "_version", lambda _: "1.0")
    backend = Backend(name="x", embedded=engine)  # type: ignore[arg-type]
    launch = await recipes.recipe(backend, RunConfig(model=str(named)), 1, quiet)
    (made,) = (tmp_path / "-cache" / "models").glob("*.gguf")
    assert f"--model={made}" in launch.argv
    assert "--alias=port" in launch.argv
    for argv in (conversions[0], list(launch.argv)):
        assert argv[0] == sys.executable
    assert all(Path(word).is_absolute() for word in conversions[0][-2:])


async def test_the_longest_file_name_leaves_room_for_a_suffix(
    cache: Path, source: Path, conversions: list[list[str]]
) -> None:
    named = source.rename(source.with_name("ß" * 125 + ".gguf"))
    made, _ = await q8_model(named, quiet)
    assert made.is_file()
    assert (await hf_folder(named, quiet)).is_dir()


async def test_a_file_name_that_is_not_utf_8_is_usable(cache: Path, source: Path, conversions: list[list[str]]) -> None:
    named = source.rename(source.with_name(os.fsdecode(b"m\xff.gguf")))
    made, _ = await q8_model(named, quiet)
    assert made.name.startswith("m.Q8_0-")
    assert await model_digest(named, quiet) == sha256(HEAD)
