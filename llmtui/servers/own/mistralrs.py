"""The server of mistral.rs: `mistralrs serve`, before version 0.7 the program `mistralrs-server`.

It listens on all interfaces unless it is told a host.
"""

from __future__ import annotations

import os

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, thread_count
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.own.versions import at_least
from llmtui.servers.recipe_parts import (
    SharedFile,
    excluded,
    local_url,
    offline_environment,
    shared_file,
    thread_environment,
)

HOST = "127.0.0.1"
#: Since this version a file needs no folder, and a request may ask for an answer of full length.
FILE_ALONE = "0.9.1"
#: Since this version its web page is there unless it is told not to be.
NO_UI = "0.8.2"


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Return how to launch mistral.rs on the shared file. Raises StartError."""
    file = await shared_file(backend, config, report)
    threads = thread_count(config)
    version = version_number(await version_text(program))
    old = os.path.basename(program) == "mistralrs-server"
    url = local_url(port)
    return Launch(
        argv=[program, *(old_arguments(file, port, slots) if old else arguments(file, port, version, slots))],
        ready=Ready(
            url=url,
            model=file.name,
            version=f"mistral.rs {version}".rstrip(),
            weights=file.weights,
            threads=threads,
            model_digest=file.digest,
            slots=slots,
            full_length={"ignore_eos": True} if at_least(version, FILE_ALONE) and not old else excluded(file),
            # It knows its model by this name, and by its path.
            options={"model": "default"},
        ),
        probe_url=url + "/health",
        env=thread_environment(threads) | offline_environment(),
        # A user's own MCP servers and settings do not take part.
        drop_env=("MISTRALRS_", "MCP_CONFIG_PATH"),
        grace_s=1.0,
    )


def arguments(file: SharedFile, port: int, version: str, slots: int = 1) -> list[str]:
    """Return the arguments of `mistralrs` of this version ("" if unknown)."""
    model = ["-f", str(file.path)]
    if not at_least(version, FILE_ALONE):
        model = ["--format", "gguf", "-m", str(file.path.parent), "-f", file.path.name]
    page = ["--no-ui"] if at_least(version, NO_UI) else []
    return ["serve", *model, "--host", HOST, "-p", str(port), "--cpu", *page, *_common(slots)]


def old_arguments(file: SharedFile, port: int, slots: int = 1) -> list[str]:
    """Return the arguments of `mistralrs-server`."""
    model = ["gguf", "-m", str(file.path.parent), "-f", file.path.name]
    return ["--serve-ip", HOST, "-p", str(port), "--cpu", *_common(slots), *model]


def _common(slots: int) -> list[str]:
    return ["--max-seqs", str(slots), "--prefix-cache-n", "0"]
