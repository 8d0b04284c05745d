"""`llmtui explain`: every topic prints, and its tables name what the code has."""

from __future__ import annotations

import os
import re
from importlib import resources

import msgspec
import pytest
from click.testing import CliRunner

from llmtui.cli import explain
from llmtui.cli.app import cli
from llmtui.config.frameworks import FRAMEWORKS
from llmtui.config.schema import UiConfig
from llmtui.export.load_columns import ITERATION_COLUMNS, RESULT_COLUMNS
from llmtui.model import Backend, Load, Prompts, RunConfig, Slo, Workers
from llmtui.stats.checks import CODES
from llmtui.stats.metrics import METRICS
from llmtui.ui.actions.registry import COMMANDS


@pytest.mark.parametrize("topic", explain.TOPICS)
def test_every_topic_prints_within_80_columns(topic: str) -> None:
    result = CliRunner().invoke(cli, ["explain", topic])
    assert result.exit_code == 0
    assert result.output.startswith("# ")
    assert "<!--" not in result.output
    assert max(map(len, result.output.splitlines())) <= explain.WIDTH


def test_without_a_topic_it_lists_the_topics() -> None:
    result = CliRunner().invoke(cli, ["explain"])
    assert result.exit_code == 0
    assert re.findall(r"^  (\w+) ", result.output, re.MULTILINE) == list(explain.TOPICS)
    assert max(map(len, result.output.splitlines())) <= explain.WIDTH


@pytest.mark.parametrize(("lines", "paged"), [(24, True), (1000, False)])
def test_a_page_longer_than_the_screen_goes_to_the_pager(
    lines: int, paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, lines)))
    monkeypatch.setattr("click.echo_via_pager", pages.append)
    assert explain.explain("csv") == 0
    assert pages == [explain.page("csv")] * paged


def test_a_shell_completes_commands_and_topics() -> None:
    def complete(*words: str) -> str:
        env = {"COMP_WORDS": " ".join(("llmtui", *words)), "COMP_CWORD": str(len(words))}
        return CliRunner().invoke(cli, env={**env, "_LLMTUI_COMPLETE": "bash_complete"}, prog_name="llmtui").output

    assert complete("exp").split() == ["plain,explain", "plain,export"]
    assert complete("explain", "me").split() == ["plain,measure"]


def test_every_shipped_page_is_a_topic() -> None:
    pages = {file.name for file in (resources.files("llmtui") / "docs").iterdir()}
    assert pages == {f"{topic}.md" for topic in explain.TOPICS} | {"meanings.toml"}


def test_a_section_of_a_page_has_a_name() -> None:
    result = CliRunner().invoke(cli, ["explain", "power"])
    assert result.exit_code == 0 and result.output.startswith("# Power and energy\n")
    assert result.output.splitlines()[2:] and "## " not in result.output
    for word in ("LLMTUI_POWER=off", "llmtui[gpu]", "chmod a+r", "0.1 s", "Above idle", "was checked on the hardware"):
        assert word in " ".join(result.output.split()), word
    assert "llmtui explain power" in CliRunner().invoke(cli, ["explain"]).output


def test_an_unknown_topic_is_refused_and_the_nearest_one_named() -> None:
    result = CliRunner().invoke(cli, ["explain", "mesure"])
    assert result.exit_code == 2
    assert "did you mean 'measure'?" in result.output
    result = CliRunner().invoke(cli, ["explain", "\x1b[2J"])
    assert result.exit_code == 2
    assert "\x1b" not in result.output and "security" in result.output


def _terms(text: str) -> list[str]:
    """The first words of a table's rows."""
    return [line[4:].split()[0] for line in text.splitlines() if re.match(r"    \S", line)]


def test_the_config_tables_have_every_key() -> None:
    tables = (
        (explain.run_keys, RunConfig),
        (explain.load_keys, Load),
        (explain.slo_keys, Slo),
        (explain.prompts_keys, Prompts),
        (explain.ui_keys, UiConfig),
        (explain.backend_keys, Backend),
    )
    for table, struct in tables:
        hidden = ("secrets", "facts", "trace_turn", "cells", "measured_by")
        names = [field.name for field in msgspec.structs.fields(struct) if field.name not in hidden]
        assert _terms(table()) == names


def test_the_column_tables_have_every_column_in_order() -> None:
    assert _terms(explain.result_columns()) == [column.name for column in RESULT_COLUMNS]
    assert _terms(explain.iteration_columns()) == [column.name for column in ITERATION_COLUMNS]


def test_the_other_tables_have_every_entry() -> None:
    assert _terms(explain.check_codes()) == list(CODES)
    assert sorted(re.findall(r"^    .{8}(\w+)  ", explain.monitor_keys(), re.MULTILINE)) == sorted(
        command.id for command in COMMANDS
    )
    metrics, ports = explain.metrics() + explain.load_metrics(), explain.default_ports()
    assert all(f"    {metric.title}" in metrics for metric in METRICS.values())
    assert all(f"    {one.title}  " in ports and str(one.port or "") in ports for one in FRAMEWORKS)


def test_no_meaning_is_left_over() -> None:
    sections = {
        "run": {field.name for field in msgspec.structs.fields(RunConfig)},
        "load": {field.name for field in msgspec.structs.fields(Load)} - {"trace_turn", "cells"},
        "slo": {field.name for field in msgspec.structs.fields(Slo)},
        "prompts": {field.name for field in msgspec.structs.fields(Prompts)} - {"facts"},
        "workers": {field.name for field in msgspec.structs.fields(Workers)},
        "ui": {field.name for field in msgspec.structs.fields(UiConfig)},
        "backend": {field.name for field in msgspec.structs.fields(Backend)} - {"secrets", "measured_by"},
    }
    assert {name: set(words) for name, words in explain.meanings().items()} == sections
