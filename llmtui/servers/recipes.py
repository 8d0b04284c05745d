"""How each server is launched: the three embedded engines, the commands of a config, and own servers (see own/)."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmtui.config import frameworks
from llmtui.model import Backend, Embedded, RunConfig
from llmtui.servers import placeholders
from llmtui.servers.base import Launch, Ready, Report, StartError, missing, thread_count
from llmtui.servers.chat_template import takes_system
from llmtui.servers.hf_serve import hf_model, serve_launch
from llmtui.servers.model_file import model_digest, model_name, q8_model, read_gguf_info, shared_model
from llmtui.servers.own import launching
from llmtui.servers.own.programs import interpreter_of
from llmtui.servers.ports import occupant, port_in_use
from llmtui.servers.recipe_parts import (
    excluded,
    file_context,
    local_url,
    offline_environment,
    shared_file,
    thread_environment,
)

EMBEDDED = Path(__file__).with_name("embedded")

#: Short, because it is shown in the border of a narrow panel.
BRIDGE_NOTE = "via a Python bridge"


async def recipe(backend: Backend, config: RunConfig, port: int, report: Report, slots: int = 1) -> Launch:
    """Prepare the model file and return how to launch this backend. Raises StartError if something is missing.

    `slots` is how many requests the server should compute at a time.
    """
    launch = await _prepared(backend, config, port, report, slots)
    if not launch.ready.model_digest:
        return launch
    info = await asyncio.to_thread(read_gguf_info, await shared_model(config, report))
    ready = dataclasses.replace(launch.ready, takes_system=takes_system(info.chat_template))
    return dataclasses.replace(launch, ready=ready)


async def _prepared(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    if backend.server:
        launch = await launching.launch(backend, config, port, report, slots)
        path = (await shared_file(backend, config, report)).path if placeholders.uses(backend, "{model}") else ""
        return _with_env(launch, backend, placeholders.command_values(backend, config, port, str(path), slots))
    if not backend.embedded:
        return await _command(backend, config, port, report, slots)
    makers: dict[Embedded, Callable[[Backend, RunConfig, int, Report, int], Awaitable[Launch]]] = {
        "llama.cpp": _llamacpp,
        "mistral.rs": _mistralrs,
        "transformers": _transformers,
    }
    return await makers[backend.embedded](backend, config, port, report, slots)


def _with_env(launch: Launch, backend: Backend, values: Mapping[str, Any]) -> Launch:
    """Add the variables that the config sets, which go before llmtui's own."""
    configured = {name: placeholders.fill(value, values) for name, value in backend.env.items()}
    return dataclasses.replace(launch, env={**launch.env, **configured})


async def _llamacpp(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    _require(backend.embedded)
    file = await shared_file(backend, config, report)
    threads = thread_count(config)
    program = [sys.executable, "-P", str(EMBEDDED / "llamacpp.py"), f"--model={file.path}", f"--alias={file.name}"]
    context = await file_context(config, slots, report)
    program += ["--port", str(port), "--threads", str(threads), "--ctx", str(slots * context)]
    program += ["--slots", str(slots)]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        # The packages for Apple silicon have Metal built in, and mistral.rs cannot be told not to use it.
        program += ["--gpu-layers", "-1"]
    return Launch(
        argv=program,
        ready=Ready(
            url=local_url(port),
            model=file.name,
            version=_version("xllamacpp"),
            weights=file.weights,
            threads=threads,
            model_digest=file.digest,
            context_tokens=context,
            slots=slots,
            full_length=frameworks.LLAMA_CPP.full_length,
        ),
        probe_url=local_url(port) + "/health",
        env=thread_environment(threads) | offline_environment(),
        grace_s=1.0,
    )


async def _mistralrs(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    _require(backend.embedded)
    file = await shared_file(backend, config, report)
    threads = thread_count(config)
    program = [sys.executable, "-P", str(EMBEDDED / "mistralrs.py"), f"--model={file.path}", f"--alias={file.name}"]
    return Launch(
        argv=[*program, "--port", str(port), "--slots", str(slots)],
        ready=Ready(
            url=local_url(port),
            model=file.name,
            version=_version("mistralrs"),
            weights=file.weights,
            threads=threads,
            model_digest=file.digest,
            slots=slots,
            note=BRIDGE_NOTE,
            # It has no ignore_eos, so exclude the tokens that end an answer.
            full_length=excluded(file),
        ),
        probe_url=local_url(port) + "/health",
        env=thread_environment(threads) | offline_environment(),
        grace_s=1.0,
    )


async def _transformers(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    _require(backend.embedded)
    model = await hf_model(backend, config, report)
    versions = f"{_version('transformers')}, {_version('torch')}"
    return serve_launch([sys.executable, "-P", "-c", _entry("transformers")], versions, model, config, port, slots)


async def _command(backend: Backend, config: RunConfig, port: int, report: Report, slots: int) -> Launch:
    """Return the launch of a configured command, with its placeholders filled in."""
    model, weights, digest = backend.model, backend.weights, ""
    name = model_name(Path(model)) if model else ""
    if not model and placeholders.uses(backend, "{model}"):
        published = await shared_model(config, report)
        path, file_weights = await q8_model(published, report)
        model, weights = str(path), weights or file_weights
        digest, name = await model_digest(published, report), model_name(published)
    values = placeholders.command_values(backend, config, port, model, slots)
    argv = [placeholders.fill(word, values) for word in backend.launch]
    _require_command(argv[0])
    url = base_url(placeholders.fill(backend.url, values) if backend.url else local_url(port))
    if not chooses_port(backend):
        await _require_free(url, backend)
    default = "/api/version" if backend.protocol == "ollama" else "/health"
    launch = Launch(
        argv=argv,
        ready=Ready(
            url=url,
            model=backend.model or name,
            weights=weights,
            model_digest=digest,
            threads=thread_count(config) if placeholders.sets_threads(backend) else None,
        ),
        probe_url=_probe_url(url, placeholders.fill(backend.ready, values) or default, backend),
        # The default health path may not exist, so any reply but a server error counts.
        healthy_below=300 if backend.ready else 500,
        ports="any",
    )
    return _with_env(launch, backend, values)


def chooses_port(backend: Backend) -> bool:
    """Whether llmtui chooses the server's port."""
    return not backend.url or "{port}" in backend.url


def base_url(url: str) -> str:
    """Return the base of a server's URL, without a final slash and `/v1`, which the path of the endpoint includes."""
    return url.rstrip("/").removesuffix("/v1")


def _probe_url(url: str, ready: str, backend: Backend) -> str:
    if ready.startswith(("http://", "https://")):
        return ready
    if backend.protocol == "custom":
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.netloc}"
    return f"{url}/{ready.lstrip('/')}"


def _require(engine: Embedded) -> None:
    if absent := frameworks.absent_packages(engine):
        raise missing(f"not installed: {', '.join(absent)}", frameworks.engine(engine).install)


def _require_command(command: str) -> None:
    if path := shutil.which(command):
        interpreter = interpreter_of(path)
        if interpreter and not os.path.exists(interpreter):
            message = f"the first line of {command} names the program {interpreter!r}, which does not exist"
            raise missing(message, "correct that line and how it ends, or install the program")
        return
    if os.sep in command and Path(command).is_dir():
        raise missing(f"{command} is a folder", "name the program in it, in `launch`")
    if os.sep in command and Path(command).is_file():
        raise missing(f"{command} is not executable", f"chmod +x {command}")
    place = "does not exist" if os.sep in command else "is not installed or not on PATH"
    raise missing(f"{command} {place}", "install it, or correct `launch`")


async def _require_free(url: str, backend: Backend) -> None:
    """Raise StartError if the port is in use: another server would answer instead of the launched one."""
    if owner := await occupant(url):
        hint = f"stop that server, or remove `launch` from [[backend]] {backend.name} to measure it as it is"
        raise StartError(port_in_use(url, owner, hint))


def _entry(script: str) -> str:
    """Return a console script as a line of Python, because the script may not be in this environment's bin folder."""
    entries = list(importlib.metadata.entry_points(group="console_scripts", name=script))
    if not entries:
        raise missing(f"the command {script} is not installed", frameworks.HUGGINGFACE.install)
    return f"import sys; from {entries[0].module} import {entries[0].attr} as main; sys.exit(main())"


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"
