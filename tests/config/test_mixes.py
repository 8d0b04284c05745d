"""`[prompts] mix` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.config.schema import Config, ConfigError, changed, parse

BACKEND = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def config(text: str) -> Config:
    return parse(text + BACKEND, source="c.toml", folder=Path("/x"), environ={})


def test_a_mix() -> None:
    assert config('[prompts]\nmix = "chat/8"\n').plan().prompts.mix == "chat/8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('mix = "chats"', "c.toml:2: [prompts]: mix: expected 'chat', 'code' or 'long', perhaps divided"),
        (
            'mix = "chat"\nfile = "p.jsonl"',
            "c.toml:2: [prompts]: mix: a file is given too; prompts come from a file or",
        ),
        ("mix = 4", "c.toml:2: [prompts]: mix: expected text in quotes, got 4"),
        ('mixture = "chat"', "c.toml:2: [prompts]: unknown key 'mixture'"),
    ],
)
def test_bad_mixes(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(f"[prompts]\n{text}\n")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "mix"),
    [
        ({"mix": "long"}, "long"),
        ({"random_input_len": 512, "random_output_len": 128}, "D(512,128)"),
        ({"random_input_len": 512}, "D(512,64)"),
        ({"random_input_len": 512, "max_tokens": 32}, "D(512,32)"),
    ],
)
def test_options_of_the_command_line(options: dict[str, Any], mix: str) -> None:
    prompts = changed(config('[prompts]\nfile = "p.jsonl"\n'), options).prompts
    assert (prompts.mix, prompts.file) == (mix, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": "X(1,2)"}, "--mix: expected 'chat'"),
        ({"mix": "chat", "random_input_len": 5}, "--random-input-len: --mix is given too"),
        ({"random_input_len": 0}, "--random-input-len: expected a prompt of at least 1 token, got 0"),
        ({"random_output_len": 99}, "--random-output-len: --random-input-len is missing"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(config(""), options)
    assert str(caught.value).startswith(message)


def test_the_context_of_launched_servers() -> None:
    assert config("[run]\ncontext_tokens = 4096\n").run.context_tokens == 4096
    with pytest.raises(ConfigError) as caught:
        config("[run]\ncontext_tokens = 3\n")
    assert str(caught.value) == "c.toml:2: [run]: context_tokens: expected 0 (as needed) or 64 to 10000000, got 3"
