"""Fills in {port}, {model}, {threads}, {context} and {slots} in what a config says about a backend.

Other words in braces stay as they are. What is filled in is not searched again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmtui.config.frameworks import LLAMA_CPP, LLAMAFILE, framework_of
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import thread_count
from llmtui.servers.recipe_parts import context_tokens

#: What gives a server of llama.cpp its slots: a flag, or a variable.
_DIVIDING = frozenset({"-np", "--parallel", "LLAMA_ARG_N_PARALLEL"})
_PLACEHOLDER = re.compile(r"\{(port|model|threads|context|slots)\}")


def launch_values(config: RunConfig, port: int, model: str, slots: int = 1) -> dict[str, Any]:
    """Return the values for a command and its environment. `model` is the path of the model file, or its name."""
    return {**_of_run(config, slots), "port": port, "model": model}


def command_values(backend: Backend, config: RunConfig, port: int, model: str, slots: int) -> dict[str, Any]:
    """Return the values for the command of a backend: a server of llama.cpp divides its context among its slots."""
    values = launch_values(config, port, model, slots)
    if framework_of(backend) in (LLAMA_CPP, LLAMAFILE) or not _DIVIDING.isdisjoint((*backend.launch, *backend.env)):
        values["context"] *= slots
    return values


def request_values(config: RunConfig, url: str, model: str, slots: int = 1) -> dict[str, Any]:
    """Return the values for the requests to the server at `url`. `model` is the model's name."""
    parts = urlsplit(url)
    return {**_of_run(config, slots), "port": parts.port or (443 if parts.scheme == "https" else 80), "model": model}


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Return `text` with the values filled in."""
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)


def fill_fields(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the fields of a request with the values filled in. A text that is only a placeholder becomes a number.

    A name without a value stays.
    """
    if isinstance(template, str):
        if (whole := _PLACEHOLDER.fullmatch(template)) is not None:
            return values.get(whole[1], template)
        return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template)
    if isinstance(template, list):
        return [fill_fields(item, values) for item in template]
    if isinstance(template, dict):
        return {key: fill_fields(item, values) for key, item in template.items()}
    return template


def uses(backend: Backend, name: str) -> bool:
    """Whether the command of a backend or its environment has this placeholder, such as "{model}"."""
    return any(name in text for text in (*backend.launch, *backend.env.values()))


def sets_threads(backend: Backend) -> bool:
    """Whether a backend gets the number of threads of the run, by its command, its environment or its requests."""
    return uses(backend, "{threads}") or "{threads}" in repr((backend.options, backend.body))


def _of_run(config: RunConfig, slots: int) -> dict[str, Any]:
    return {"threads": thread_count(config), "context": context_tokens(config, slots), "slots": slots}
