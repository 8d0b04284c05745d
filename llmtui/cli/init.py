"""`llmtui init`: writes a commented config.toml for the servers and engines that are found on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from llmtui import exit_codes
from llmtui.cli.output import report
from llmtui.config import frameworks
from llmtui.config.frameworks import ENGINES, OLLAMA, SCANNED_PORTS
from llmtui.config.schema import DEFAULT_FILE, ollama_url
from llmtui.engine.bringup import LOCAL_HOSTS
from llmtui.exit_codes import UsageError
from llmtui.format import plural
from llmtui.servers.discovery import NO_CHAT, DiscoveredServer, Model, scan
from llmtui.servers.recipes import absent_packages
from llmtui.store.atomic import write_atomic, write_new
from llmtui.text import sanitize

#: More models of one server than this are not listed.
LISTED = 20
#: What `init` lists as not running, and writes an example of: frameworks with a port of their own.
EXAMPLES = [one for one in frameworks.FRAMEWORKS if one.port]


def write_config(
    file: Path | None, *, force: bool = False, to_stdout: bool = False, urls: Sequence[str] | None = None
) -> int:
    """Look for servers at `urls` (None: the usual places) and write `file`. Return the exit code.

    Raises UsageError if there is such a file and `force` is not set, or if `file` can be none.
    """
    path = file or Path("config.toml")
    if not to_stdout and (problem := _unwritable(path, force=force)):
        raise UsageError(problem)
    elsewhere = ""
    if urls is None:
        urls, elsewhere = places(os.environ.get("OLLAMA_HOST", ""))
    try:
        seen = asyncio.run(scan(urls))
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    engines = [one.title for one in ENGINES if not absent_packages(one.engine)]
    for line in findings(seen, engines, elsewhere):
        report(line)
    found = [one for one in seen.values() if isinstance(one, DiscoveredServer)]
    text = config_text(found, engines, elsewhere)
    if to_stdout:
        sys.stdout.write(text)
        return exit_codes.OK
    try:
        write_atomic(path, text) if force else write_new(path, text)
    except FileExistsError:
        raise UsageError(_there_already(path)) from None
    except OSError as error:
        report(f"{sanitize(str(path))}: not written: {error.strerror or error}")
        return exit_codes.FAILED
    ready = len(engines) + sum(usable(one) for one in found)
    named = "" if path == Path("config.toml") else f" {sanitize(str(path))}"
    then = f"try it: llmtui check{named}, then: llmtui{named}" if ready else "nothing in it is enabled yet"
    report(f"{sanitize(str(path))} written, with {plural(ready, 'backend')}; {then}")
    return exit_codes.OK


def places(ollama_host: str) -> tuple[list[str], str]:
    """Where to ask on this machine, and where OLLAMA_HOST means another one ("" where it does not)."""
    ollama = ollama_url(ollama_host)
    urls = [f"http://127.0.0.1:{port}" for port in SCANNED_PORTS if port != OLLAMA.port]
    try:
        host, _ = urlsplit(ollama).hostname or "", urlsplit(ollama).port
    except ValueError:
        return [*urls, ollama_url("")], ""
    if host in LOCAL_HOSTS or host in _own_addresses():
        return [ollama, *(url for url in urls if url != ollama)], ""
    return urls, ollama


def _own_addresses() -> set[str]:
    try:
        return {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    except (psutil.Error, OSError):
        return set()


# --- The file. ---


def _there_already(path: Path) -> str:
    return f"{sanitize(str(path))}: is there already; --force replaces it, --print shows what would be written"


def _unwritable(path: Path, *, force: bool) -> str:
    """Why `path` is no file to write, known before any server is asked; "" when it is one."""
    if path.is_dir():
        return f"{sanitize(str(path))}: is a folder; name a file in it"
    if not path.absolute().parent.is_dir():
        return f"{sanitize(str(path))}: there is no folder {sanitize(str(path.absolute().parent))}"
    return _there_already(path) if os.path.lexists(path) and not force else ""


# --- What is said. ---


def _place(url: str) -> str:
    return sanitize(url.removeprefix("http://"), 80)


def _names(models: Sequence[Model], limit: int) -> str:
    told = ", ".join(sanitize(model.name, 60) for model in models[:limit])
    return told + (f" and {len(models) - limit} more" if len(models) > limit else "")


def findings(
    seen: Mapping[str, DiscoveredServer | str | None], engines: Sequence[str], elsewhere: str = ""
) -> list[str]:
    """What was found and what was not, a line each, and how to get the latter."""
    lines = []
    for engine in ENGINES:
        if engine.title in engines:
            lines.append(f"found {engine.title}, installed here: llmtui starts it itself")
        else:
            lines.append(f"not installed: {engine.title}: {engine.install}")
    for url, one in seen.items():
        if isinstance(one, DiscoveredServer):
            told = f"found {one.framework} {sanitize(one.version, 40)}".rstrip() + f" at {_place(url)}"
            lines.append(f"{told}: {remark(one)}")
        elif one:
            lines.append(f"{_place(url)}: {one}")
    there = {one.framework for one in seen.values() if isinstance(one, DiscoveredServer)}
    for example in EXAMPLES:
        if example.title not in there and not (example is OLLAMA and elsewhere):
            lines.append(f"not running: {example.title}: {example.start_hint(example.port)}")
    if elsewhere:
        lines.append(f"OLLAMA_HOST means another machine, {_place(elsewhere)}: not asked, written as an example")
    return lines


def usable(found: DiscoveredServer) -> bool:
    """Whether it can be asked for a chat as it stands."""
    return not found.locked and not (found.models and found.models[0].fitness == NO_CHAT)


def remark(found: DiscoveredServer) -> str:
    """What to know of a server that was found: which model it will be asked for, or what is missing."""
    if found.locked:
        return "it wants a key, see api_key in the config"
    if found.loading:
        return "it is loading its model"
    if not found.models:
        return (
            f"it has no model yet: {OLLAMA.pull_hint()}"
            if found.protocol == "ollama"
            else "it names no model: set `model`"
        )
    first, *others = found.models
    if first.fitness == NO_CHAT:
        return f"it has no model for a chat, only {_names(found.models, 3)}"
    return sanitize(first.name, 60) + (f", and {plural(len(others), 'other model')}" if others else "")


# --- The text of the config. ---


def toml_string(text: str) -> str:
    """`text` as a basic string of TOML 1.0: all that is not plainly printable is escaped. Raises ValueError for what
    TOML cannot hold (half of a surrogate pair)."""
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
    """Whether the config can hold this name. `${` would have a variable of the environment sent to the server."""
    with contextlib.suppress(ValueError):
        return bool(toml_string(model)) and "${" not in model and 0 < len(model) <= 500
    return False


def config_text(found: Sequence[DiscoveredServer], engines: Sequence[str], elsewhere: str = "") -> str:
    """The whole config: the usual course of a run, what was found, and the rest as examples behind comment signs."""
    parts = [
        "# Written by `llmtui init` for what was found on this machine. `llmtui check` reaches every backend of it.\n"
        "# Every key is explained by: llmtui explain config\n",
        _course(),
    ]
    if engines:
        parts.append("# Engines that llmtui starts and stops, on its own small model or on `model` of [run].\n")
    examples = []
    for engine in ENGINES:
        block = _block(engine.title, {"language": engine.language, "embedded": engine.engine})
        if engine.title in engines:
            parts.append(block)
        else:
            examples.append(_example(engine.install, block))
    taken = {engine.title for engine in ENGINES}
    for one in found:
        name = _free(one, taken)
        taken.add(name)
        parts.append(_server(one, name))
    there = {one.framework for one in found}
    for example in EXAMPLES:
        if example.title not in there:
            url = elsewhere if example is OLLAMA and elsewhere else f"http://127.0.0.1:{example.port}"
            keys = _keys(example.title, url, example.protocol)
            if example.example_model:
                keys["model"] = example.example_model
            why = "the machine that OLLAMA_HOST names" if url == elsewhere else example.start_hint(example.port)
            name = f"{example.title} server" if example.engine else example.title
            examples.append(_example(why, _block(name, keys)))
    models = {one.models[0].name for one in found if usable(one) and one.models}
    if len(models) + bool(engines) > 1:
        parts.insert(
            2, "# Not all of these serve the same model: then the faster one may just have the smaller model.\n"
        )
    if examples:
        parts.append("# --- Not found. To race them too, take the comment signs away. ---\n")
    return "\n".join(parts + examples)


def _course() -> str:
    """[run] and [ui] as the built-in config has them, comments and all."""
    text = DEFAULT_FILE.read_text("utf-8")
    match = re.search(r"^\[run\]\n.*?(?=^(# ---|\[\[))", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[0].rstrip() + "\n"


def _free(found: DiscoveredServer, taken: set[str]) -> str:
    port = urlsplit(found.url).port
    server = f"{found.framework} server"
    for name in (found.framework, server, f"{server} {port}"):
        if name not in taken:
            return name
    number = 2
    while (name := f"{server} {port} {number}") in taken:
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


def _server(found: DiscoveredServer, name: str) -> str:
    """A server that was found: enabled where it can be asked, its other models in a comment."""
    keys = _keys(found.framework, found.url, found.protocol)
    models = found.models
    chosen = next((m for m in models if may_be_written(m.name)), None) if usable(found) else None
    if chosen is not None and chosen is not models[0] and chosen.fitness > models[0].fitness:
        chosen = None  # its server's own choice is better than one that is unfit
    if chosen is not None:
        keys["model"] = chosen.name
    head = f"# Found: {found.framework} {sanitize(found.version, 40)}".rstrip() + ".\n"
    if found.framework == frameworks.UNKNOWN.title:
        head = "# Found: it speaks OpenAI's protocol; say in `framework` what it is.\n"
    text = head + _block(name, keys)
    if found.locked:
        why = head[2:-1] + " It wants a key: export it as SERVER_KEY."
        return _example(why, _block(name, {**keys, "api_key": "${SERVER_KEY}"}))
    if not usable(found):
        return text + f"enabled = false  # {remark(found)}\n"
    if not models:
        text += f"# {remark(found)}\n"
    others = [m for m in models if m is not chosen]
    if chosen is not None and others:
        lines = [
            f"#   {sanitize(m.name, 100)}" + ("  (not for a chat)" if m.fitness == NO_CHAT else "")
            for m in others[:LISTED]
        ]
        lines += [f"#   and {len(others) - LISTED} more"] if len(others) > LISTED else []
        text += "# It has also:\n" + "\n".join(lines) + "\n"
    return text
