"""Backends of a config that give the framework alone or the URL alone: what else they are, as far as the file says."""

from __future__ import annotations

import msgspec

from llmtui.config.errors import ConfigError, show, suggestion
from llmtui.config.frameworks import FRAMEWORKS, UNKNOWN, engine, framework, framework_of_server
from llmtui.config.places import Place
from llmtui.model import Backend


def named(backend: Backend, where: Place) -> Backend:
    """Return a backend that has no name in the file, with what the record of its framework says. Raises ConfigError.

    One with a URL stays without a name: the answers of the server name it (see lineup.py).
    """
    if backend.url:
        return backend
    if not (backend.framework or backend.on_shared_file):
        raise ConfigError(
            f"{where}: 'framework' is missing; give one such as 'ollama', or give url, or name and launch"
        )
    if backend.server:
        facts = framework_of_server(backend.server)
    else:
        facts = engine(backend.embedded) if backend.embedded else framework(backend.framework)
    if facts is UNKNOWN:
        if backend.launch:
            raise ConfigError(f"{where}: 'name' is missing")
        guess = suggestion(backend.framework, [one.title for one in FRAMEWORKS])
        raise ConfigError(f"{where.key('framework')}: llmtui cannot look for {show(backend.framework)}{guess}")
    return msgspec.structs.replace(
        backend,
        name=facts.title,
        framework=backend.framework or facts.title,
        language=backend.language or facts.language,
        protocol=facts.protocol if backend.protocol == "openai" else backend.protocol,
    )
