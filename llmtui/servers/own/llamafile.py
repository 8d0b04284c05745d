"""Mozilla's llamafile: the program of that name, or a `*.llamafile`, which has weights of its own inside.

0.9 and older have a server of their own, 0.10 and later that of llama.cpp. Arguments may be stored beside the weights:
ours replace them, or are put in at the place of `...` among them. Of two `-m`, the last one counts.
"""

from __future__ import annotations

import asyncio
import zipfile
import zlib
from typing import NamedTuple

from llmtui.config import frameworks
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, missing, thread_count
from llmtui.servers.model_cache import cache_folder, own_folder
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.own.versions import at_least
from llmtui.servers.recipe_parts import (
    LLAMA_VARIABLES,
    file_context,
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
MAX_ARGS_BYTES = 64 * 1024


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Return how to launch llamafile on the shared file. Raises StartError."""
    file = await shared_file(backend, config, report)
    threads, context = thread_count(config), await file_context(config, slots, report)
    inside = await asyncio.to_thread(contents, program)
    if inside.keeps_model:
        raise missing(f"{program} loads the weights inside it, whatever model it is given", "use another llamafile")
    command, own_env = started_by(program)
    version = version_number(await version_text(*command, "--version", env=own_env))
    url = local_url(port)
    argv = [*command, "--server", "-m", str(file.path), "-a", file.name, "--host", "127.0.0.1", "--port", str(port)]
    argv += ["-t", str(threads), "-tb", str(threads), "-c", str(slots * context), "-np", str(slots)]
    return Launch(
        argv=[*argv, *version_flags(version)],
        ready=Ready(
            url=url,
            model=file.name,
            version=f"llamafile {version}".rstrip(),
            weights=file.weights,
            threads=threads,
            note=BUILT_IN_NOTE if inside.weights else "",
            model_digest=file.digest,
            full_length=frameworks.LLAMAFILE.full_length,
            context_tokens=context,
            slots=slots,
        ),
        probe_url=url + "/health",
        env=thread_environment(threads) | offline_environment() | own_env,
        drop_env=LLAMA_VARIABLES,
        grace_s=1.0,
    )


class Contents(NamedTuple):
    """What is stored in a llamafile: whether it has weights, and whether its arguments name them after ours."""

    weights: bool
    keeps_model: bool


def contents(program: str) -> Contents:
    """Read the list of what is stored in the file, which is a zip archive as well."""
    try:
        with zipfile.ZipFile(program) as archive:
            weights = any(name.endswith(".gguf") for name in archive.namelist())
            with archive.open(".args") as file:
                arguments = file.read(MAX_ARGS_BYTES).decode("utf-8", "replace").splitlines()
    except KeyError:
        return Contents(weights, False)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return Contents(False, False)
    after = arguments[arguments.index("...") :] if "..." in arguments else []
    return Contents(weights, bool({"-m", "--model"} & set(after)))


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
