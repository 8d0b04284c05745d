"""The checks of `server`, `embedded`, `program` and `env`, and the names of backends with `server` and no name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from llmtui.config import launch
from llmtui.config.errors import ConfigError, show
from llmtui.config.frameworks import UNKNOWN, framework, framework_of_server
from llmtui.config.places import Place
from llmtui.model import Backend

#: The most threads of a server.
MAX_THREADS = 4096
#: Settings that cannot be combined with these.
_NOT_WITH_SERVER = ("url", "launch", "embedded", "model", "ready", "answer", "body")
_NOT_WITH_EMBEDDED = ("url", "launch", "model", "program", "env")


def on_shared_file(backend: Backend, folder: Path, where: Place) -> Backend:
    """Check a backend that llmtui starts on the model file of the race, and complete it. Raises ConfigError."""
    kind, value = ("server", backend.server) if backend.server else ("embedded", backend.embedded)
    for key in _NOT_WITH_SERVER if backend.server else _NOT_WITH_EMBEDDED:
        if getattr(backend, key):
            hint = "set it in [run], for all that llmtui starts on one file" if key == "model" else f"remove {key}"
            raise ConfigError(f"{where.entry(key)}: {key} cannot be combined with {kind} = {value!r}; {hint}")
    if not backend.server:
        return backend
    check_env(backend, where)
    facts = framework_of_server(backend.server)
    if framework(backend.framework) not in (UNKNOWN, facts):
        raise ConfigError(
            f"{where.entry('framework')}: framework = {backend.framework!r} cannot be combined with "
            f"server = {value!r}, which is {facts.title}'s; remove framework"
        )
    if backend.protocol not in ("openai", facts.protocol):
        raise ConfigError(
            f"{where.entry('protocol')}: protocol = {backend.protocol!r} cannot be combined with server = {value!r}, "
            f"which llmtui asks by {facts.protocol!r}; remove protocol"
        )
    return msgspec.structs.replace(
        backend,
        language=backend.language or facts.language,
        protocol=facts.protocol,
        program=launch.program_path(backend.program, folder, where.key("program")),
    )


def check_env(backend: Backend, where: Place) -> None:
    """Raise ConfigError for `env` or `program` of a server that llmtui does not start, or an impossible variable."""
    if backend.program and not backend.server:
        raise ConfigError(f"{where.entry('program')}: program requires server; add server, or write it in launch")
    if backend.env and not (backend.server or backend.launch):
        raise ConfigError(
            f"{where.entry('env')}: env requires launch or server: llmtui cannot set the environment of a server that "
            "it does not start; remove env"
        )
    for name, value in backend.env.items():
        if not name or "=" in name or "\0" in name:
            raise ConfigError(f"{where.key('env')}: expected the name of an environment variable, got {show(name)}")
        if "\0" in value:
            raise ConfigError(f"{where.key('env').field(name)}: contains a NUL character")


def check_threads(backend: Backend, where: Place) -> None:
    """Raise ConfigError for `threads` out of range, or of a server that llmtui does not start."""
    if not 0 <= backend.threads <= MAX_THREADS:
        raise ConfigError(
            f"{where.key('threads')}: expected 0 (those of [run]) to {MAX_THREADS}, got {show(backend.threads)}"
        )
    if backend.threads and not backend.launched:
        raise ConfigError(
            f"{where.entry('threads')}: threads requires launch, server or embedded: llmtui cannot set those of a "
            "server that it does not start; remove threads"
        )


def distinct(backends: list[Backend], unnamed: Collection[int]) -> list[Backend]:
    """Return `backends` with other names for those with `server` that got the name of another: "llama-server 2".

    `unnamed` are the indexes of those whose name is not in the config.
    """
    automatic = {index for index in unnamed if backends[index].server}
    taken = {backend.name for index, backend in enumerate(backends) if index not in automatic}
    result = list(backends)
    for index in sorted(automatic):
        name = _free(backends[index], taken)
        taken.add(name)
        result[index] = msgspec.structs.replace(backends[index], name=name)
    return result


def _free(backend: Backend, taken: Collection[str]) -> str:
    for name in (backend.name, backend.server):
        if name not in taken:
            return name
    number = 2
    while (name := f"{backend.server} {number}") in taken:
        number += 1
    return name
