"""README, manual and the lists of faults and benchmarks say what the program does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from llmtui.cli import explain
from llmtui.cli.app import cli
from llmtui.cli.words import AtPath, wanted
from llmtui.config.schema import parse
from llmtui.model import RunConfig
from llmtui.model.errors import UsageError
from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
MAX_BYTES = 9216


def _documents() -> dict[str, str]:
    """The README and every page of the manual, by name."""
    return {"README": README} | {topic: explain.page(topic) for topic in explain.TOPICS}


def _commands() -> Iterator[tuple[str, str]]:
    """Every command of llmtui in an indented block or in backquotes, with the document it is in."""
    for name, text in _documents().items():
        blocks = re.findall(r"^ {4}(llmtui\b.*)$", text, re.MULTILINE)
        for line in [*blocks, *re.findall(r"`(llmtui\b[^`\n]*)`", text)]:
            yield from ((name, part) for part in line.split("&&") if part.strip() != "llmtui")


def test_it_is_short() -> None:
    assert len(README.encode()) <= MAX_BYTES


def test_every_document_has_short_lines() -> None:
    for file in (ROOT / "README.md", ROOT / "tests/faults/README.md", ROOT / "tests/bench/README.md"):
        long = [line for line in file.read_text("utf-8").splitlines() if len(line) > 120 and line[:1] != "|"]
        assert not long


def test_the_two_set_up_lines_are_complete() -> None:
    lines = README.splitlines()
    assert "    python3 -m venv .venv && .venv/bin/pip install -e '.[local]' && .venv/bin/llmtui" in lines
    first = next(line for line in lines if "pip install -e '.[local]'" in line)
    assert first.endswith("&& .venv/bin/llmtui")
    tests = next(line for line in lines if "pip install -e '.[local,dev]'" in line)
    assert "-m 'not real'" in tests and "-m real" in tests


def test_every_command_parses() -> None:
    commands = list(dict.fromkeys(_commands()))
    assert len(commands) > 20
    for document, command in commands:
        _parse(document, command)


def _look(path: str) -> AtPath:
    return "model" if path.endswith(".gguf") else "file" if path.endswith(".toml") else "nothing"


def _parse(document: str, command: str) -> None:
    """Let click parse `command` without running it; a placeholder in capitals is any value."""
    # Prose and console blocks explain a command after two or more spaces.
    words = [w for w in shlex.split(re.split(r" {2,}| > ", command.strip())[0])[1:] if not re.fullmatch(r"[\[(].*", w)]
    if not words or words[0] in ("--help", "COMMAND"):
        return
    name = words[0] if words[0] in cli.commands else "monitor"
    arguments = words[1:] if words[0] in cli.commands else words
    if "--help" in arguments:
        return
    parser = cli.commands[name]
    try:
        context = parser.make_context(name, list(arguments), parent=click.Context(cli))
        if "words" in context.params:
            words = [word for word in context.params["words"] if not word.isupper()]
            wanted(words, _look, cli.commands, context.params["model"])
    except click.MissingParameter:
        pass  # prose names a command without its arguments
    except click.BadOptionUsage as error:
        assert "requires an argument" in str(error), f"{document}: {command}: {error}"
    except (click.UsageError, UsageError) as error:
        raise AssertionError(f"{document}: {command}: {error}") from error


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for command in ("llmtui run --no-such-option", "llmtui show one two", "llmtui olama", "llmtui run list"):
        with pytest.raises(AssertionError):
            _parse("test", command)


def test_every_example_config_is_valid() -> None:
    examples = 0
    for name, text in _documents().items():
        for example in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
            # What an example is about may stand alone.
            backends = "[[backend]]" in example
            parse(example, source=name, folder=Path("/"), environ={"VLLM_KEY": "x"}, backends=backends)
            examples += 1
    assert examples >= 1


def test_the_keys_are_keys_of_the_monitor() -> None:
    registered = {key_word(command.key) for command in COMMANDS} | {"1", "9"}
    section = README.partition("## Keys")[2].partition("\n## ")[0]
    keys = [key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`(.+?)`", row)]
    assert len(keys) > 10
    assert set(keys) <= registered


def test_the_settings_are_keys_of_run_with_their_defaults() -> None:
    section = README.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE)
    defaults = {field.name: field.default for field in msgspec.structs.fields(RunConfig)}
    assert len(rows) == 6
    for key, default in rows:
        assert key in defaults
        if re.fullmatch(r"[0-9]+", default):
            assert float(default) == defaults[key]


def test_the_topics_are_those_of_the_manual() -> None:
    section = README.partition("## More")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert [word for word in re.findall(r"`(\w+)`", section) if word in explain.TOPICS] == list(explain.TOPICS)


def test_every_link_and_picture_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link


def test_every_row_of_the_fault_table_has_its_test() -> None:
    tests = ROOT / "tests"
    sources = "\n".join(file.read_text("utf-8") for file in tests.rglob("*.py"))
    table = re.findall(
        r"^\| (?!fault|---).*\| `(.*?)` \|$", (tests / "faults/README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(table) > 40
    for name in table:
        function, _, row = name.partition("[")
        assert (ROOT / name).is_file() or f"def {function}(" in sources, name
        assert f'"{row.rstrip("]").replace("-", " ")}"' in sources.replace("-", " ") or not row, name


def test_every_benchmark_is_explained() -> None:
    text = (ROOT / "tests/bench/README.md").read_text("utf-8")
    for file in (ROOT / "tests/bench").glob("*.py"):
        if "__main__" in file.read_text("utf-8"):
            assert f"tests.bench.{file.stem}" in text, file.stem


#: What a quoted message has in place of its variable parts, or took from the system or a server.
_VARIABLE = re.compile(
    r"\.\.\.|…|[0-9][0-9.,]*(?: ?(?:s|MB|GB)\b)?|'[^']*'|http://\w+|HOST(?::PORT)?|\b[A-Z]+\b|[():;]"
    r"|Network is unreachable|Out of memory & luck|error: cannot load model|ollama"
)


def _fragments(message: str) -> list[str]:
    parts = (part.strip(" .,/") for part in _VARIABLE.split(message))
    return [part for part in parts if len(part) >= 8 and not part.startswith("llmtui ")]


def test_every_quoted_message_is_one_of_the_program() -> None:
    table = (ROOT / "tests/faults/README.md").read_text("utf-8")
    cells = [row.split(" | ")[1] for row in re.findall(r"^\| (?!fault).*", table, re.MULTILINE) if "---" not in row]
    heads = re.findall(r"^`.*", explain.page("faults"), re.MULTILINE)
    messages = [message for text in [*cells, *heads] for message in re.findall(r"`([^`]+)`", text)]
    assert len(messages) > 60
    code = "\n".join(file.read_text("utf-8") for file in (ROOT / "llmtui").rglob("*.py"))
    # A message may be written in several adjacent literals.
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    for message in messages:
        for fragment in _fragments(message):
            words = fragment.split()
            pairs = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(len(words))]
            assert any(all(part in code for part in pair) for pair in pairs), f"{message!r}: {fragment!r}"
