"""Options of other load tools: those that mean the same work, the others are answered with llmtui's own."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from llmtui.cli import rivals
from llmtui.cli.app import cli
from llmtui.model.errors import UsageError

COMMANDS = ("monitor", "run", "serve", "check")


def options_of(command: str) -> set[str]:
    return {name for param in cli.commands[command].params for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--concurrency", "1,4,16"], "concurrency", "1,4,16"),
        (["--max-concurrency", "8"], "max_concurrency", "8"),
        (["--request-rate", "2"], "request_rate", "2"),
        (["--arrival", "gamma"], "arrival", "gamma"),
        (["--burstiness", "0.5"], "burstiness", 0.5),
        (["--prompts", "x"], "prompts", "x"),
        (["--dataset", "x"], "prompts", "x"),
        (["--dataset-path", "x"], "prompts", "x"),
        (["--input-file", "x"], "prompts", "x"),
        (["--requests", "40"], "requests", 40),
        (["--num-prompts", "40"], "requests", 40),
        (["--request-count", "40"], "requests", 40),
        (["--duration", "20"], "duration_s", 20.0),
        (["--benchmark-duration", "20"], "duration_s", 20.0),
        (["--iterations", "10"], "iterations", 10),
        (["--rounds", "10"], "iterations", 10),
    ],
)
def test_the_names_that_users_of_other_tools_type_work(
    command: str, arguments: list[str], key: str, value: object
) -> None:
    context = cli.commands[command].make_context(command, list(arguments))
    assert context.params[key] == value


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--sla", "--slo ttft=0.2"),
        ("--dataset-name", "--prompts FILE"),
        ("--traffic-scenario", "--mix"),
        ("--num-warmups", "--warmup N"),
        ("--warmup-request-count", "--warmup N"),
        ("--base-url", "http://HOST:PORT"),
        ("--endpoint", "http://HOST:PORT"),
        ("--backend", "protocol"),
        ("--ramp-up-strategy", "--concurrency 1,4,16"),
        ("--profile", "--concurrency LIST"),
        ("--profile", "--search knee"),
        ("--search-recipe", "--search slo"),
        ("--sla-variable", "--search slo"),
        ("--rate", "--request-rate LIST"),
        ("--streaming", "streamed"),
        ("--tokenizer", "needs none"),
    ],
)
def test_an_option_of_another_tool_is_answered_with_ours(option: str, answer: str) -> None:
    with pytest.raises(UsageError) as caught:
        cli.commands["run"].make_context("run", [option, "1"])
    message = str(caught.value)
    assert message.startswith(f"there is no {option}; ") and answer in message


def test_an_option_of_no_tool_has_the_usual_message() -> None:
    with pytest.raises(click.NoSuchOption):
        cli.commands["run"].make_context("run", ["--no-such-thing"])
    result = CliRunner().invoke(cli, ["run", "--concurency", "4"])
    assert result.exit_code == 2 and "--concurrency" in result.output


def test_the_answers_name_only_options_that_exist_and_hide_none() -> None:
    every = options_of("run")
    assert not set(rivals._OF) & {name for command in COMMANDS for name in options_of(command)}
    for option in rivals._OF:
        message = rivals.instead_of(option)
        assert message == message.strip() and "\n" not in message and len(message) < 200
        named = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", message.removeprefix(f"there is no {option}; "))
        assert set(named) <= every, option
