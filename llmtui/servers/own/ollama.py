"""Ollama's own server program on the shared model file, with a model store of llmtui and not the user's.

Seen with 0.33.0-rc2; what other versions do is read in their source.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, thread_count
from llmtui.servers.model_cache import cache_folder, lock, own_folder
from llmtui.servers.model_file import model_digest, read_gguf_info
from llmtui.servers.own.ollama_load import OWN_TEMPLATE, Loader, is_older
from llmtui.servers.own.ollama_store import Store, stored_model
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.placeholders import fill_fields, request_values
from llmtui.servers.recipe_parts import (
    LLAMA_VARIABLES,
    file_context,
    local_url,
    offline_environment,
    shared_file,
    thread_environment,
)

#: In the cache folder. No model file's name begins with a dot.
FOLDER = ".ollama"
#: Of versions that cannot use the template in the file. Short, because it is shown in the border of a narrow panel.
TEMPLATE_NOTE = "Ollama's own chat template"
#: Variables that the user set for a server of their own. Ollama prints the proxies, with their passwords, to its log.
DROPPED = (
    "OLLAMA_",
    *LLAMA_VARIABLES,
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Set the shared file up in llmtui's own store, and return how to launch Ollama on it. Raises StartError."""
    file = await shared_file(backend, config, report)
    info = await asyncio.to_thread(read_gguf_info, file.path)
    # Of the file that it loads, which may be another than the published one.
    digest = await model_digest(file.path, report)
    folder = own_folder(cache_folder() / FOLDER)
    store = Store(folder / "models")
    model = stored_model(file.name, digest, file.path, info.architecture, file.weights)
    threads, context = thread_count(config), await file_context(config, slots, report)
    # The request that loads the model has the same values as those that follow, or Ollama loads it again.
    values = request_values(config, local_url(port), model.name, slots)
    asked = msgspec.structs.replace(backend, options=fill_fields(backend.options, values))
    options, env = request_options(backend, threads, context), environment(port, folder, threads, context, slots)
    # It asks a running Ollama for its version: here one of llmtui, which does not run yet.
    version = version_number(await version_text(program, env=env), r"version is (\S+)")
    async with lock(store.folder, report):
        await asyncio.to_thread(store.set_up, model, version)
    return Launch(
        argv=[program, "serve"],
        ready=Ready(
            url=local_url(port),
            model=model.name,
            title=file.name,
            weights=file.weights,
            threads=threads,
            note=TEMPLATE_NOTE if is_older(version, OWN_TEMPLATE) else "",
            model_digest=file.digest,
            context_tokens=context,
            slots=slots,
            options=options,
        ),
        probe_url=local_url(port) + "/api/version",
        env=env,
        drop_env=DROPPED,
        load=Loader(store, model, asked, options, config.load_timeout_s, report).load,
        grace_s=2.0,
    )


def environment(port: int, folder: Path, threads: int, context: int, slots: int = 1) -> dict[str, str]:
    """Return the variables of an Ollama whose models, keys and settings are all in `folder`."""
    return (
        thread_environment(threads)
        | offline_environment()
        | {
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(folder / "models"),
            # It makes a key here. Its libraries are beside the program.
            "HOME": str(own_folder(folder / "home")),
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_NUM_PARALLEL": str(slots),
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_CONTEXT_LENGTH": str(context),
            # The chat template of the file itself, as with the other servers.
            "OLLAMA_GO_TEMPLATE": "0",
            # It would remove what another llmtui has just written. The store removes what is unused.
            "OLLAMA_NOPRUNE": "1",
            "GIN_MODE": "release",
        }
    )


def request_options(backend: Backend, threads: int, context: int) -> dict[str, Any]:
    """Return the options of every request. With others, Ollama loads the model again.

    Only its own protocol has them. With `/v1` the variables above set the context, and llama-server's own the threads.
    """
    # On the processor, as the other servers of the race.
    return {"num_ctx": context, "num_thread": threads, "num_gpu": 0} if backend.protocol == "ollama" else {}
