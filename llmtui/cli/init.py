"""`llmtui init`: finds the servers and engines on this machine, and writes a commented config for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from llmtui import exit_codes
from llmtui.cli.output import STDOUT, report, write_output
from llmtui.cli.present import look, places
from llmtui.config import frameworks
from llmtui.config.frameworks import ENGINES, OLLAMA
from llmtui.config.lineup import BUILT_IN_MODEL, Group
from llmtui.config.schema import DEFAULT_FILE, load
from llmtui.model import DiscoveredServer, Found, Program, RunConfig
from llmtui.model.discovered import NO_CHAT, Model
from llmtui.model.errors import UsageError
from llmtui.servers.own.programs import find
from llmtui.store.atomic import write_atomic, write_new
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.text.model_names import same_model

#: The most models of a server that are listed.
LISTED = 20
#: Frameworks with a port of their own. Those that are not running become examples in the config.
EXAMPLES = [one for one in frameworks.FRAMEWORKS if one.port]


def write_config(
    file: Path | None, *, force: bool = False, to_stdout: bool = False, urls: Sequence[str] | None = None
) -> int:
    """Look for servers at `urls` (None: the usual places) and write `file`. Return the exit code.

    Raises UsageError if the file exists and `force` is not set, or if it cannot be a file.
    """
    path = file or Path("config.toml")
    if not to_stdout and (problem := _unwritable(path, force=force)):
        raise UsageError(problem)
    elsewhere = ""
    if urls is None:
        urls, elsewhere = places(os.environ.get("OLLAMA_HOST", ""))
    try:
        found = asyncio.run(look(urls, elsewhere))
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    for line in findings(found):
        report(line)
    text = config_text(found)
    if to_stdout:
        write_output(STDOUT, text)
        return exit_codes.OK
    try:
        write_atomic(path, text) if force else write_new(path, text)
    except FileExistsError:
        raise UsageError(_there_already(path)) from None
    except OSError as error:
        report(f"cannot write {sanitize(str(path))}: {error.strerror or error}")
        return exit_codes.FAILED
    ready = len(_startable(found)) + sum(server.usable for server in found.servers)
    named = "" if path == Path("config.toml") else f" {sanitize(str(path))}"
    then = f"try: llmtui check{named}, then: llmtui{named}" if ready else "none is enabled yet"
    report(f"wrote {sanitize(str(path))} with {plural(ready, 'backend')}; {then}")
    return exit_codes.OK


# --- The file. ---


def _there_already(path: Path) -> str:
    return f"{sanitize(str(path))} already exists; use --force to overwrite it, or --print to see the new config"


def _unwritable(path: Path, *, force: bool) -> str:
    """Why `path` cannot be written, checked before any server is contacted; "" if it can."""
    if path.is_dir():
        return f"{sanitize(str(path))} is a folder; name a file in it"
    if not path.absolute().parent.is_dir():
        return f"cannot write {sanitize(str(path))}: the folder {sanitize(str(path.absolute().parent))} does not exist"
    return _there_already(path) if os.path.lexists(path) and not force else ""


# --- Messages. ---


def _place(url: str) -> str:
    return sanitize(url.removeprefix("http://"), 80)


def _names(models: Sequence[Model], limit: int) -> str:
    names = ", ".join(sanitize(model.name, 60) for model in models[:limit])
    return names + (f" and {len(models) - limit} more" if len(models) > limit else "")


def findings(found: Found) -> list[str]:
    """A line for each server, program and engine: what it is, or how to install or start it."""
    lines = []
    programs = _programs(found)
    for title, program in programs.items():
        lines.append(f"found {program.server} ({sanitize(program.path, 100)}): llmtui starts it as {title}")
    for engine in ENGINES:
        if engine.title in programs:
            continue  # of each framework its own program, else its engine
        if engine.engine in found.engines:
            lines.append(f"found {engine.title} (installed): llmtui starts it")
        else:
            lines.append(f"not installed: {engine.title}; try: {engine.install}")
    for server in found.servers:
        head = f"found {server.framework} {sanitize(server.version, 40)}".rstrip() + f" at {_place(server.url)}"
        lines.append(f"{head}: {remark(server)}")
    lines += [f"{_place(url)}: {problem}" for url, problem in found.problems.items()]
    running = {server.framework for server in found.servers}
    for example in EXAMPLES:
        if example.title not in {*running, *programs} and not (example is OLLAMA and found.elsewhere):
            lines.append(f"not running: {example.title}; {example.start_hint(example.port)}")
    if found.elsewhere:
        lines.append(
            f"OLLAMA_HOST is another machine, {_place(found.elsewhere)}: not contacted, but in the config as an example"
        )
    return lines


def _programs(found: Found) -> dict[str, Program]:
    """Return the server programs on this machine by the name of their framework."""
    return {frameworks.framework_of_server(program.server).title: program for program in found.programs}


def _startable(found: Found) -> dict[str, dict[str, str]]:
    """Return the keys of what llmtui can start here, by name: of each framework its own program, else its engine."""
    programs = _programs(found)
    keys = {}
    for one in frameworks.FRAMEWORKS:
        if one.title in programs:
            keys[one.title] = {"language": one.language, "server": programs[one.title].server}
        elif one.engine and one.engine in found.engines:
            keys[one.title] = {"language": one.language, "embedded": one.engine}
    return keys


def remark(server: DiscoveredServer) -> str:
    """The model of a server that the config will name, or what the server lacks."""
    if server.locked:
        return "requires a key: see api_key in the config"
    if server.loading:
        return "still loading its model"
    if not server.models:
        return (
            f"it has no model yet: {OLLAMA.pull_hint()}"
            if server.protocol == "ollama"
            else "reports no model: set `model`"
        )
    first, *others = server.models
    if first.fitness == NO_CHAT:
        return f"no chat model, only {_names(server.models, 3)}"
    return sanitize(first.name, 60) + (f", and {plural(len(others), 'other model')}" if others else "")


# --- The config. ---


def toml_string(text: str) -> str:
    """`text` as a basic string of TOML 1.0, with unprintable characters escaped. Raises ValueError for a surrogate."""
    text.encode()
    escaped = "".join(_escaped(character) for character in text)
    return f'"{escaped}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04X}" if number < 0x10000 else f"\\U{number:08X}"


def may_be_written(model: str) -> bool:
    """Whether the config can contain this name. A "${" would send a variable of the environment to the server."""
    with contextlib.suppress(ValueError):
        return bool(toml_string(model)) and "${" not in model and 0 < len(model) <= 500
    return False


def config_text(found: Found) -> str:
    """The config: the default [run] and [ui], what is on this machine by model, and commented-out examples."""
    parts = [
        "# Written by `llmtui init`. To try every backend: llmtui check\n# All keys: llmtui explain config\n",
        _run_and_ui(),
    ]
    startable = _startable(found)
    groups: dict[str, list[str]] = {BUILT_IN_MODEL: []} if startable else {}
    taken = {engine.title for engine in ENGINES} | startable.keys()
    for one in found.servers:
        name = _free(one, taken)
        taken.add(name)
        chosen = _chosen(one, found, built_in=bool(startable))
        has = chosen.name if chosen is not None else ""
        group = next((known for known in groups if has and same_model(known, has)), has)
        groups.setdefault(group, []).append(_server(one, name, chosen))
    started = [_block(name, keys) for name, keys in startable.items()]
    if started:
        why = (
            "# Programs and engines that llmtui starts and stops, with its own small model or with `model` of [run].\n"
        )
        groups[BUILT_IN_MODEL] = [why, *started, *groups[BUILT_IN_MODEL]]
    usable = [model for model in groups if model]
    if len(usable) > 1:
        parts.append("# These backends serve different models: a faster one may just have a smaller model.\n")
    for model in sorted(groups, key=lambda model: (not model, -len(groups[model]))):
        if len(usable) > 1:
            parts.append(
                f"# --- {f'Model {sanitize(model, 100)}' if model else 'Servers that report no model for a chat'} ---\n"
            )
        parts += groups[model]
    if examples := _examples(found, startable):
        parts += ["# --- Not found. Uncomment a block to add its backend. ---\n", *examples]
    return "\n".join(parts)


def _examples(found: Found, startable: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Commented-out blocks of what is not here, with what gets it."""
    examples = []
    for engine in ENGINES:
        if engine.title not in startable:
            block = _block(engine.title, {"language": engine.language, "embedded": str(engine.engine)})
            examples.append(_example(engine.install, block))
    running = {one.framework for one in found.servers}
    for example in EXAMPLES:
        if example.title in running or (example.title in startable and not example.engine):
            continue
        url = found.elsewhere if example is OLLAMA and found.elsewhere else f"http://127.0.0.1:{example.port}"
        keys = _keys(example.title, url, example.protocol)
        if example.example_model:
            keys["model"] = example.example_model
        why = "the machine that OLLAMA_HOST names" if url == found.elsewhere else example.start_hint(example.port)
        name = f"{example.title} server" if example.engine else example.title
        examples.append(_example(why, _block(name, keys)))
    return examples


def _chosen(server: DiscoveredServer, found: Found, *, built_in: bool) -> Model | None:
    """Return the model of a server that the config names, None if it names none.

    Of the most suitable ones it is the built-in model, if others race that (`built_in`), else the one that most servers
    have, else the server's first.
    """
    if not server.usable or not server.models:
        return None
    # The server's default is better than a less suitable model.
    fit = [one for one in server.models if may_be_written(one.name) and one.fitness == server.models[0].fitness]

    def rank(one: Model) -> tuple[bool, int]:
        others = sum(any(same_model(one.name, each.name) for each in other.models) for other in found.servers)
        return built_in and same_model(one.name, BUILT_IN_MODEL), others

    return max(fit[:LISTED], key=rank, default=None)


def group_text(group: Group, run: RunConfig) -> str:
    """The config of one race: its backends, with the settings of `run` and the default [ui]."""
    if not any(backend.on_shared_file for backend in group.backends):
        run = msgspec.structs.replace(run, model="")  # it is for what llmtui starts
    parts = [f"# A race of {sanitize(group.model, 100)}, found on this machine.\n# All keys: llmtui explain config\n"]
    parts.append(_with_run(_run_and_ui(), run))
    for backend in group.backends:
        if backend.server:
            keys = {"language": backend.language, "server": str(backend.server)}
            if backend.program and backend.program != find(frameworks.own_server(backend.server)):
                keys["program"] = backend.program
        elif backend.embedded:
            keys = {"language": backend.language, "embedded": str(backend.embedded)}
        else:
            keys = _keys(backend.framework, backend.url, backend.protocol)
            keys |= {"model": backend.model} if may_be_written(backend.model) else {}
        parts.append(_block(backend.name, keys))
    return "\n".join(parts)


def _with_run(text: str, run: RunConfig) -> str:
    """Return `text`, the default [run] and [ui], with the settings of `run`."""
    default = load(DEFAULT_FILE, backends=False).run
    for key in RunConfig.__struct_fields__:
        if (value := getattr(run, key)) == getattr(default, key):
            continue
        line = f"{key} = {toml_string(value) if isinstance(value, str) else json.dumps(value)}"
        if found := re.search(rf"^(?:# )?{key} = .*$", text, re.MULTILINE):
            text = text[: found.start()] + line + text[found.end() :]
        else:
            text = text.replace("[run]\n", f"[run]\n{line}\n", 1)
    return text


def _run_and_ui() -> str:
    """[run] and [ui] of the built-in config, with their comments."""
    text = DEFAULT_FILE.read_text("utf-8")
    match = re.search(r"^\[run\]\n.*?(?=^(# ---|\[\[))", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[0].rstrip() + "\n"


def _free(server: DiscoveredServer, taken: set[str]) -> str:
    port = urlsplit(server.url).port
    base = f"{server.framework} server"
    for name in (server.framework, base, f"{base} {port}"):
        if name not in taken:
            return name
    number = 2
    while (name := f"{base} {port} {number}") in taken:
        number += 1
    return name


def _keys(framework: str, url: str, protocol: str) -> dict[str, str]:
    language = frameworks.framework(framework).language
    keys = {"framework": framework, "language": language, "protocol": protocol, "url": url}
    return {key: value for key, value in keys.items() if value}


def _block(name: str, keys: Mapping[str, str]) -> str:
    lines = [f"{key} = {toml_string(value)}" for key, value in {"name": name, **keys}.items()]
    return "\n".join(["[[backend]]", *lines]) + "\n"


def _example(why: str, block: str) -> str:
    return f"# {why}\n" + "".join(f"# {line}\n" for line in block.splitlines())


def _server(server: DiscoveredServer, name: str, chosen: Model | None) -> str:
    """The block of a server with the model `chosen`, its other models in a comment; disabled if it cannot be used."""
    keys = _keys(server.framework, server.url, server.protocol)
    models = server.models
    if chosen is not None:
        keys["model"] = chosen.name
    head = f"# Found: {server.framework} {sanitize(server.version, 40)}".rstrip() + ".\n"
    if server.framework == frameworks.UNKNOWN.title:
        head = "# Found: a server with OpenAI's protocol; set `framework` to its name.\n"
    text = head + _block(name, keys)
    if server.locked:
        why = head[2:-1] + " It requires a key: export it as SERVER_KEY."
        return _example(why, _block(name, {**keys, "api_key": "${SERVER_KEY}"}))
    if not server.usable:
        return text + f"enabled = false  # {remark(server)}\n"
    if not models:
        text += f"# {remark(server)}\n"
    others = [m for m in models if m is not chosen]
    if chosen is not None and others:
        lines = [
            f"#   {sanitize(m.name, 100)}" + ("  (no chat model)" if m.fitness == NO_CHAT else "")
            for m in others[:LISTED]
        ]
        lines += [f"#   and {len(others) - LISTED} more"] if len(others) > LISTED else []
        text += "# Its other models:\n" + "\n".join(lines) + "\n"
    return text
