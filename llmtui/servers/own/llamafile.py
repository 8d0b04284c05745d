"""Mozilla's llamafile: the program of that name, or a `*.llamafile`, which has weights of its own inside.

0.9 and older have a server of their own, 0.10 and later that of llama.cpp. A file with weights inside starts with the
arguments that are stored in it and then ours: of two `-m`, the last one counts, so it loads the shared file.
"""

from __future__ import annotations

from pathlib import Path

from llmtui.config import frameworks
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, thread_count
from llmtui.servers.model_cache import cache_folder, own_folder
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.own.versions import at_least
from llmtui.servers.recipe_parts import (
    SLOTS,
    context_tokens,
    local_url,
    offline_environment,
    shared_file,
    thread_environment,
)

#: The first version with llama.cpp's server, which refuses --nobrowser.
NEW_SERVER = "0.10"
#: How an executable for several systems (APE) begins. The kernel does not run one, or gives it to another program.
_MAGIC = (b"MZqFpD", b"jartsr")
BUILT_IN_NOTE = "without the weights inside it"


async def launch(backend: Backend, config: RunConfig, port: int, program: str, report: Report) -> Launch:
    """Return how to launch llamafile on the shared file. Raises StartError."""
    file = await shared_file(backend, config, report)
    threads, context = thread_count(config), context_tokens(config)
    command, own_env = started_by(program)
    version = version_number(await version_text(*command, "--version", env=own_env))
    url = local_url(port)
    argv = [*command, "--server", "-m", str(file.path), "-a", file.name, "--host", "127.0.0.1", "--port", str(port)]
    argv += ["-t", str(threads), "-tb", str(threads), "-c", str(context), "-np", str(SLOTS)]
    has_weights = Path(program).suffix == ".llamafile"
    return Launch(
        argv=[*argv, *version_flags(version)],
        ready=Ready(
            url=url,
            model=file.name,
            version=f"llamafile {version}".rstrip(),
            weights=file.weights,
            threads=threads,
            note=BUILT_IN_NOTE if has_weights else "",
            model_digest=file.digest,
            full_length=frameworks.LLAMAFILE.full_length,
            context_tokens=context,
        ),
        probe_url=url + "/health",
        env=thread_environment(threads) | offline_environment() | own_env,
        drop_env=("LLAMA_ARG_",),
        grace_s=1.0,
    )


def version_flags(version: str) -> list[str]:
    """Return the flags that keep it off the graphics card and from opening a browser."""
    return ["-ngl", "0"] if at_least(version, NEW_SERVER) else ["--gpu", "disable", "--nobrowser"]


def started_by(program: str) -> tuple[list[str], dict[str, str]]:
    """Return how to start the file, and variables for it.

    The kernel refuses an executable for several systems ("Exec format error"), or runs it with Wine. It is a shell
    script too, which unpacks a small loader into TMPDIR, else into the home folder.
    """
    try:
        with open(program, "rb") as file:
            magic = file.read(6)
    except OSError:
        magic = b""
    if magic not in _MAGIC:
        return [program], {}
    return ["/bin/sh", program], {"TMPDIR": str(own_folder(cache_folder() / ".llamafile"))}
