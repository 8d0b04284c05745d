"""One line each for the frameworks that are not on this machine, and for the servers that are, and are not measured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from llmtui.config.frameworks import framework, word_of
from llmtui.config.lineup import chat_models
from llmtui.model import Absent, DiscoveredServer, Plan
from llmtui.text import sanitize
from llmtui.text.model_names import without_folder

#: The most models of a server that a line lists.
_LISTED = 3
#: What plain text says in brackets, where the monitor names a key.
TELLS = "llmtui init says how to get them"


def absent_line(plan: Plan, how: str = "") -> str:
    """Return "not here: HuggingFace, Llamafile", with `how` in brackets, or "" if nothing is absent.

    A framework whose server runs with another model is in `others_line`.
    """
    names = [sanitize(one.framework, 40) for one in truly_absent(plan.absent, plan.others)]
    return _line("not here", names, how)


def others_line(plan: Plan, how: str = "") -> str:
    """Return "also running: Ollama with llama3.2:3b, qwen3:8b", with `how` in brackets, or "" if none is."""
    return _line("also running", [server_text(server) for server in plan.others], how)


def others_as_text(plan: Plan) -> str:
    """Return `others_line` with the command that races them, for plain text."""
    return others_line(plan, f"to race them: {race_command(plan.others)}")


def race_command(servers: Sequence[DiscoveredServer]) -> str:
    """Return the command that races these servers: "llmtui ollama llama.cpp"; by address where a name is not enough."""
    titles = [server.framework for server in servers]
    words = [
        word_of(one.framework) if titles.count(one.framework) == 1 and framework(one.framework).port else one.url
        for one in servers
    ]
    return sanitize(shlex.join(["llmtui", *words]))


def truly_absent(absent: Sequence[Absent], others: Sequence[DiscoveredServer]) -> list[Absent]:
    """Return those of `absent` of which no server runs."""
    running = {server.framework for server in others}
    return [one for one in absent if one.framework not in running]


def server_text(server: DiscoveredServer) -> str:
    """A server and its models: "Ollama with llama3.2:3b, qwen3:8b and 4 more"."""
    models = chat_models(server)
    more = f" and {len(models) - _LISTED} more" if len(models) > _LISTED else ""
    names = ", ".join(sanitize(without_folder(model), 60) for model in models[:_LISTED])
    return f"{sanitize(server.framework, 40)} with {names}{more}"


def _line(head: str, parts: Sequence[str], how: str) -> str:
    return f"{head}: {', '.join(parts)}{f' ({how})' if how else ''}" if parts else ""
