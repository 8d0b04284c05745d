"""`llmtui explain TOPIC`: the manual, from the Markdown files in `llmtui/docs`.

A line `<!-- table: NAME -->` in a page is replaced by a table from the program's own registries, so that the manual
names every config key, column, metric, check and key that the code has. What the registries do not say, such as the
meaning of a config key, is in `docs/meanings.toml`.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
import textwrap
import tomllib
import typing
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any, Literal

import click
import msgspec

from llmtui import exit_codes

WIDTH = 80
_INDENT = "    "
_TERM_WIDTH = 26

#: Every topic with the line that `llmtui explain` prints for it, in reading order.
TOPICS: dict[str, str] = {
    "measure": "TTFT, ITL, rounds, warm-ups: what each number means",
    "loads": "streams and rates, turns, percentiles: what each number means",
    "cluster": "workers on other machines: SSH, Slurm, Kubernetes, security",
    "prompts": "prompts of a file: formats, order, what is reported",
    "verdict": "when a difference is real, and the fairness checks",
    "config": "every key of config.toml, with an example",
    "servers": "running servers, own programs, embedded engines, your own model",
    "runs": "detach, attach, resume, history, compare, exit codes",
    "keys": "every key of the monitor, and how to change one",
    "csv": "every column of the CSV files, and the other formats",
    "python": "read runs in Python and notebooks: llmtui.read_run",
    "report": "the HTML report, metrics for Prometheus, CI, JSON Schema",
    "formats": "hyperfine and Parquet files, and files of other tools read as runs",
    "accuracy": "how far off llmtui's own numbers are",
    "faults": "error messages: what happened and what to do",
    "platforms": "containers, macOS, WSL2, ARM: what was tried, what is not seen",
    "security": "what llmtui protects, and what it does not",
}

#: Names that print one section of a page: the topic, and the title of the section.
SECTIONS = {"power": ("measure", "Power and energy")}

#: Names that print a JSON Schema instead of a page, for programs.
SCHEMAS = ("json", "jsonl")


def explain(topic: str | None) -> int:
    """Print the page of `topic`, or the list of topics. Return the exit code: 2 for an unknown topic."""
    if topic is None:
        click.echo(topic_list(), nl=False)
        return exit_codes.OK
    if topic in SCHEMAS:
        click.echo(schema(topic), nl=False)
        return exit_codes.OK
    if topic not in TOPICS and topic not in SECTIONS:
        from llmtui.config.errors import suggestion
        from llmtui.text import sanitize

        message = f"llmtui: no topic {sanitize(topic, 80)!r}{suggestion(topic, [*TOPICS, *SECTIONS, *SCHEMAS])}"
        click.echo(message, err=True)
        return exit_codes.USAGE
    text = section(topic) if topic in SECTIONS else page(topic)
    if sys.stdout.isatty() and text.count("\n") >= shutil.get_terminal_size().lines:
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)
    return exit_codes.OK


def topic_list() -> str:
    """The topics, a line each, and how to read one."""
    lines = [f"  {name:10}{line}" for name, line in TOPICS.items()]
    more = "llmtui explain power prints a part of measure: energy, and how sure it is."
    schemas = "llmtui explain json, and jsonl, print JSON Schemas for programs."
    return "\n".join(["llmtui explain TOPIC prints the manual on:", "", *lines, "", more, schemas, ""])


def schema(name: str) -> str:
    """The JSON Schema of a run ("json") or of one of its JSON lines ("jsonl"), as an indented document."""
    from llmtui.export.schema import lines_schema, run_schema

    return json.dumps(run_schema() if name == "json" else lines_schema(), indent=2, ensure_ascii=False) + "\n"


def page(topic: str) -> str:
    """The page of `topic`, with its tables filled in. Raises KeyError for an unknown table."""
    source = (_docs() / f"{topic}.md").read_text("utf-8")
    return re.sub(r"<!-- table: (\w+) -->", lambda match: TABLES[match[1]](), source)


def section(name: str) -> str:
    """One of `SECTIONS`, with its title as that of a page."""
    topic, title = SECTIONS[name]
    text = page(topic).partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return f"# {title}\n{text}"


def _docs() -> Any:
    return resources.files("llmtui") / "docs"


@functools.cache
def meanings() -> dict[str, dict[str, str]]:
    """The meanings of config keys, by section and name."""
    return tomllib.loads((_docs() / "meanings.toml").read_text("utf-8"))


# --- Tables. ---


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Terms and their meanings in two columns, 80 characters wide, as a Markdown code block."""
    lines: list[str] = []
    for term, meaning in rows:
        hanging = _INDENT + " " * (_TERM_WIDTH + 2)
        first = f"{_INDENT}{term:{_TERM_WIDTH}}  "
        if len(term) > _TERM_WIDTH:
            lines.append(_INDENT + term)
            first = hanging
        lines.append(textwrap.fill(meaning, WIDTH, initial_indent=first, subsequent_indent=hanging))
    return "\n".join(line.rstrip() for line in lines)


def _config_keys(section: str, struct: type[msgspec.Struct], internal: frozenset[str]) -> str:
    """The keys of one section of config.toml with their defaults, allowed values and meanings."""
    words = meanings()[section]
    fields = [field for field in msgspec.structs.fields(struct) if field.name not in internal]
    return definitions((_default(field), words[field.name] + _allowed(field.type)) for field in fields)


def _default(field: Any) -> str:
    """A key and its default, as TOML; the key alone if it has no default worth a line."""
    name: str = field.name
    match field.default:
        case bool(value):
            return f"{name} = {str(value).lower()}"
        case str(value) if len(value) <= 20:
            return f'{name} = "{value}"'
        case int(value):
            return f"{name} = {value}"
        case float(value):
            return f"{name} = {value:g}"
    return name


def _allowed(kind: Any) -> str:
    """The values of a Literal, as words behind the meaning; "" for any other type."""
    if typing.get_origin(kind) is not Literal:
        return ""
    return " One of " + ", ".join(f'"{value}"' for value in typing.get_args(kind) if value) + "."


def run_keys() -> str:
    """The keys of [run]."""
    from llmtui.model import RunConfig

    return _config_keys("run", RunConfig, frozenset())


def load_keys() -> str:
    """The keys of [load]."""
    from llmtui.model import Load

    return _config_keys("load", Load, frozenset({"trace_turn", "cells"}))


def slo_keys() -> str:
    """The keys of [slo]."""
    from llmtui.model import Slo

    return _config_keys("slo", Slo, frozenset())


def prompts_keys() -> str:
    """The keys of [prompts]."""
    from llmtui.model import Prompts

    return _config_keys("prompts", Prompts, frozenset({"facts"}))


def workers_keys() -> str:
    """The keys of [workers]."""
    from llmtui.model import Workers

    return _config_keys("workers", Workers, frozenset())


def ui_keys() -> str:
    """The keys of [ui]."""
    from llmtui.config.schema import UiConfig

    return _config_keys("ui", UiConfig, frozenset())


def backend_keys() -> str:
    """The keys of [[backend]]."""
    from llmtui.model import Backend

    return _config_keys("backend", Backend, frozenset({"secrets", "measured_by"}))


def result_columns() -> str:
    """The columns of the results CSV."""
    from llmtui.export.load_columns import RESULT_COLUMNS

    return definitions((column.name, column.doc) for column in RESULT_COLUMNS)


def iteration_columns() -> str:
    """The columns of the iterations CSV."""
    from llmtui.export.load_columns import ITERATION_COLUMNS

    return definitions((column.name, column.doc) for column in ITERATION_COLUMNS)


def turn_columns() -> str:
    """The columns of the turns CSV."""
    from llmtui.export.load_columns import TURN_COLUMNS

    return definitions((column.name, column.doc) for column in TURN_COLUMNS)


def metrics() -> str:
    """The metrics of a request with their units and definitions."""
    return _metrics(of_turn=False)


def load_metrics() -> str:
    """The metrics of a whole turn of a load."""
    return _metrics(of_turn=True)


def _metrics(*, of_turn: bool) -> str:
    from llmtui.stats.metrics import METRICS

    listed = [metric for metric in METRICS.values() if metric.of_turn == of_turn]
    return definitions((m.title if m.rate else f"{m.title}, {m.unit}", m.doc) for m in listed)


def check_codes() -> str:
    """The fairness checks."""
    from llmtui.stats.checks import CODES

    return definitions(CODES.items())


def monitor_keys() -> str:
    """The keys of the monitor, by section."""
    from llmtui.ui.actions.command import SECTIONS
    from llmtui.ui.actions.keys import key_word
    from llmtui.ui.actions.registry import COMMANDS

    return "\n\n".join(
        f"## {title}\n\n" + definitions((f"{key_word(c.key):8}{c.id}", c.help) for c in COMMANDS if c.group == group)
        for group, title in SECTIONS.items()
    )


def default_ports() -> str:
    """The frameworks that llmtui recognizes, with their default ports."""
    from llmtui.config.frameworks import FRAMEWORKS

    return definitions((one.title, str(one.port or "no default: set url")) for one in FRAMEWORKS)


def own_servers() -> str:
    """The server programs that llmtui can start, and on which versions that was checked."""
    from llmtui.config.frameworks import OWN_SERVERS

    return definitions(
        (one.server, f"{one.checked} ({one.how})" + (f", {one.read} (read)" if one.read else "")) for one in OWN_SERVERS
    )


#: What a page may ask for with `<!-- table: NAME -->`.
TABLES: dict[str, Callable[[], str]] = {
    "run_keys": run_keys,
    "load_keys": load_keys,
    "slo_keys": slo_keys,
    "prompts_keys": prompts_keys,
    "workers_keys": workers_keys,
    "ui_keys": ui_keys,
    "backend_keys": backend_keys,
    "result_columns": result_columns,
    "iteration_columns": iteration_columns,
    "turn_columns": turn_columns,
    "metrics": metrics,
    "load_metrics": load_metrics,
    "check_codes": check_codes,
    "monitor_keys": monitor_keys,
    "default_ports": default_ports,
    "own_servers": own_servers,
}
