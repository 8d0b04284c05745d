"""Paths in `launch`: a config launches the same server from any working folder."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from llmtui.config.launch import as_now
from llmtui.config.schema import ConfigError, parse
from llmtui.model import Backend


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config's folder, beside the working folder; the home folder is that of the test."""
    for path in ("conf/models", "work", "home"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("conf/server.sh", "conf/serve.py", "conf/models/x.gguf", "work/local.sh", "work/serve.py"):
        (tmp_path / path).touch()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "conf"


def launch(folder: Path, *words: str, model: str = "") -> Backend:
    text = f'[[backend]]\nname = "a"\nlaunch = {json.dumps(words)}\nmodel = "{model}"\n'
    return parse(text, source="c.toml", folder=folder, environ={}).backend[0]


def test_a_program_with_a_slash_is_that_in_the_folder_of_the_config(folder: Path) -> None:
    assert launch(folder, "./server.sh").launch == [f"{folder}/server.sh"]
    assert launch(folder, "models/../server.sh").launch == [f"{folder}/server.sh"]
    # As before, if there is none.
    assert launch(folder, "./local.sh").launch == [f"{folder.parent}/work/local.sh"]
    assert launch(folder, "./none.sh").launch == [f"{folder}/none.sh"]


def test_a_program_without_a_slash_is_left_for_path(folder: Path) -> None:
    assert launch(folder, "server.sh", "serve", "a/b", "1.5").launch == ["server.sh", "serve", "a/b", "1.5"]


def test_words_that_name_a_file_beside_the_config(folder: Path) -> None:
    # warpdotdev/warp, pull request 9239: `node ./src/server.js` in a config of another folder.
    words = ["python", "./serve.py", "-m", "models/x.gguf", "--x=./serve.py", "{port}"]
    expected = ["python", f"{folder}/serve.py", "-m", f"{folder}/models/x.gguf", "--x=./serve.py", "{port}"]
    assert launch(folder, *words).launch == expected
    assert launch(folder, "python", json.dumps({"a/b": "x" * 5_000})).launch[1].startswith('{"a/b"')


def test_a_tilde_is_the_home_folder_in_every_word(folder: Path) -> None:
    # anthropics/claude-code issue 37580 (arguments), Science-Discovery/Aether issue 1082 (the program).
    home = folder.parent / "home"
    backend = launch(folder, "~/bin/llama-server", "-m", "~/x.gguf", "a~/b", "{model}", model="~/models/y.gguf")
    assert backend.launch == [f"{home}/bin/llama-server", "-m", f"{home}/x.gguf", "a~/b", "{model}"]
    assert backend.model == f"{home}/models/y.gguf"


def test_a_model_is_a_path_only_where_it_is_filled_in(folder: Path) -> None:
    assert launch(folder, "vllm", "{model}", model="models/x.gguf").model == f"{folder}/models/x.gguf"
    assert launch(folder, "vllm", "{model}", model="org/name-1.5").model == "org/name-1.5"
    assert launch(folder, "llama-server", model="models/x.gguf").model == "models/x.gguf"


def test_a_home_folder_that_is_unknown_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigError, match=r"launch: no home folder for '~/x'; write the whole path"):
        launch(folder, "~/x")


def test_a_command_of_0_1_0_is_the_same_as_now(folder: Path) -> None:
    words = ["./server.sh", "-m", "models/x.gguf", "~/y", "{port}", "{model}"]
    now = launch(folder, *words, model="models/x.gguf")
    old = Backend(name="a", framework="a", launch=words, model="models/x.gguf")
    assert as_now(old, now, folder) == now
    for other in (["./other.sh", *words[1:]], words[1:]):
        assert as_now(msgspec.structs.replace(old, launch=other), now, folder).launch != now.launch
