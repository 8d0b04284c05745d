"""`server`, `program` and `env` in a config."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from llmtui.config.frameworks import OWN_SERVERS, framework_of
from llmtui.config.schema import Config, ConfigError, parse
from llmtui.model import Backend, OwnServerName
from llmtui.servers.own.launching import MAKERS

FOLDER = Path("/configs")


def parsed(text: str, **environ: str) -> Config:
    return parse(text, source="c.toml", folder=FOLDER, environ=environ)


def only(text: str, **environ: str) -> Backend:
    (backend,) = parsed(f"[[backend]]\n{text}", **environ).backend
    return backend


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(f"[[backend]]\n{text}")
    return str(caught.value)


def test_every_word_has_a_record_and_a_launch() -> None:
    words = {word for word in typing.get_args(OwnServerName) if word}
    assert {own.server for own in OWN_SERVERS} == words
    assert set(MAKERS) == words


def test_a_server_without_a_name() -> None:
    backend = only('server = "ollama"')
    assert (backend.name, backend.framework, backend.language) == ("Ollama", "Ollama", "Go")
    assert (backend.protocol, backend.start, backend.program) == ("ollama", "server", "")


def test_a_server_with_a_name_has_the_framework_of_its_program() -> None:
    backend = only('name = "mine"\nserver = "llama-server"')
    assert (backend.name, backend.framework, backend.language) == ("mine", "llama.cpp", "C++")
    assert framework_of(backend).no_prefix_cache == {"cache_prompt": False}


def test_a_server_is_not_of_another_known_framework() -> None:
    text = refusal('server = "ollama"\nframework = "llama.cpp"')
    assert "framework = 'llama.cpp' cannot be combined with server = 'ollama', which is Ollama's" in text
    assert only('server = "ollama"\nframework = "OLLAMA"').server == "ollama"
    assert only('server = "ollama"\nframework = "my fork"').framework == "my fork"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("llama.cpp", "llama-server"),
        ("lama-server", "llama-server"),
        ("mistral.rs", "mistralrs"),
        ("HuggingFace", "transformers"),
        ("hf", "transformers"),
        ("vLLM", "vllm"),
        ("Ollama", "ollama"),
    ],
)
def test_the_word_that_was_meant(word: str, meant: str) -> None:
    message = refusal(f'server = "{word}"')
    assert message.startswith("c.toml:2: backend 1: server: expected one of 'ollama', 'llamafile', ")
    assert message.endswith(f"; did you mean {meant!r}?")


def test_no_guess_for_another_word() -> None:
    assert refusal('server = "nginx"').endswith(", got 'nginx'")
    assert refusal('embedded = "huggingface"').endswith("; did you mean 'transformers'?")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ('url = "http://127.0.0.1:1"', "remove url"),
        ('launch = ["x"]', "remove launch"),
        ('embedded = "llama.cpp"', "remove embedded"),
        ('model = "x.gguf"', "set it in [run], for all that llmtui starts on one file"),
        ('ready = "/health"', "remove ready"),
    ],
)
def test_what_cannot_be_combined_with_server(key: str, hint: str) -> None:
    name = key.partition(" ")[0]
    expected = f"c.toml:3: backend 1 ('x'): {name} cannot be combined with server = 'ollama'; {hint}"
    message = refusal(f'name = "x"\n{key}\nserver = "ollama"')
    assert message == expected


def test_another_protocol() -> None:
    assert "protocol = 'tgi' cannot be combined with server = 'ollama'" in refusal(
        'server = "ollama"\nprotocol = "tgi"'
    )


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/opt/x/ollama", "/opt/x/ollama"),
        ("~/x/ollama", "/home/me/x/ollama"),
        ("./x/../ollama", "/configs/ollama"),
        ("x/ollama", "/configs/x/ollama"),
        ("ollama-dev", "ollama-dev"),
    ],
)
def test_the_path_of_a_program(written: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert only(f'server = "ollama"\nprogram = "{written}"').program == path


def test_program_and_env_need_a_server_that_llmtui_starts() -> None:
    assert "program requires server" in refusal('framework = "ollama"\nprogram = "/x"')
    assert "program requires server" in refusal('name = "x"\nlaunch = ["y"]\nprogram = "/x"')
    assert "program cannot be combined with embedded" in refusal('embedded = "llama.cpp"\nprogram = "/x"')
    assert "env requires launch or server" in refusal('framework = "ollama"\nenv = { A = "1" }')
    assert "env requires launch or server" in refusal('name = "x"\nurl = "http://127.0.0.1:1"\nenv = { A = "1" }')
    assert "env cannot be combined with embedded" in refusal('embedded = "llama.cpp"\nenv = { A = "1" }')
    assert only('name = "x"\nlaunch = ["y"]\nenv = { A = "1" }').env == {"A": "1"}


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ('{ "A=B" = "1" }', "env: expected the name of an environment variable, got 'A=B'"),
        ('{ "" = "1" }', "env: expected the name of an environment variable, got ''"),
        ('{ A = "a\\u0000b" }', "env.A: contains a NUL character"),
        ("{ A = 1 }", "env: expected text in quotes, got {'A': 1}"),
        ('"A=1"', "env: expected a table, got 'A=1'"),
    ],
)
def test_impossible_variables(env: str, reason: str) -> None:
    assert refusal(f'server = "ollama"\nenv = {env}').endswith(reason)


def test_keys_in_env_are_redacted() -> None:
    text = '[[backend]]\nserver = "ollama"\nenv = { HF_TOKEN = "${T}", MODE = "${M}", MY_API_KEY = "s3cr3t-K9xq" }'
    config = parsed(text, T="hf_abcdefghij0123456789", M="fast")
    (backend,) = config.backend
    assert backend.env == {"HF_TOKEN": "hf_abcdefghij0123456789", "MODE": "fast", "MY_API_KEY": "s3cr3t-K9xq"}
    (shown,) = config.plan().public().backends
    assert shown.env == {"HF_TOKEN": "***", "MODE": "fast", "MY_API_KEY": "***"}
    assert (shown.server, shown.secrets) == ("ollama", [])


def test_each_server_without_a_name_gets_one() -> None:
    text = """
    [[backend]]
    embedded = "llama.cpp"
    [[backend]]
    server = "llama-server"
    [[backend]]
    server = "llama-server"
    program = "/opt/new/llama-server"
    [[backend]]
    server = "ollama"
    """
    assert [one.name for one in parsed(text).backend] == ["llama.cpp", "llama-server", "llama-server 2", "Ollama"]


def test_a_name_in_the_file_goes_first() -> None:
    text = (
        '[[backend]]\nserver = "ollama"\n[[backend]]\nname = "Ollama"\nurl = "http://127.0.0.1:1"\nprotocol = "ollama"'
    )
    assert [one.name for one in parsed(text).backend] == ["ollama", "Ollama"]
