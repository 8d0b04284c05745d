"""How each own server program is launched: the module of each, by the value of `server` in a config."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from llmtui.model import Backend, OwnServerName, RunConfig
from llmtui.servers.base import Launch, Report
from llmtui.servers.own import llama_server, llamafile, mistralrs, ollama, transformers, vllm
from llmtui.servers.own.programs import program_of

#: Prepares one server: backend, config, port, path of the program, report, slots. Raises StartError.
Maker: TypeAlias = Callable[[Backend, RunConfig, int, str, Report, int], Awaitable[Launch]]

MAKERS: dict[OwnServerName, Maker] = {
    "llama-server": llama_server.launch,
    "llamafile": llamafile.launch,
    "mistralrs": mistralrs.launch,
    "vllm": vllm.launch,
    "ollama": ollama.launch,
    "transformers": transformers.launch,
}


async def launch(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    """Return how to launch the server program of this backend. Raises StartError."""
    return await MAKERS[backend.server](backend, config, port, program_of(backend), report, slots)
