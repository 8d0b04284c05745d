"""How each server is launched: the three embedded engines, and the commands of a config."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from llmtui.config import frameworks
from llmtui.model import Backend, Embedded, RunConfig
from llmtui.servers.base import Launch, Ready, Report, StartError, missing, thread_count
from llmtui.servers.model_cache import own_folder
from llmtui.servers.model_file import hf_folder, model_digest, model_name, q8_model, read_gguf_info, shared_model
from llmtui.servers.ports import occupant, port_in_use

EMBEDDED = Path(__file__).with_name("embedded")
#: The smallest context size.
CONTEXT_TOKENS = 2048
#: A logit bias that excludes a token.
EXCLUDED = -1000.0

#: Short, because it is shown in the border of a narrow panel.
BRIDGE_NOTE = "via a Python bridge"


async def recipe(backend: Backend, config: RunConfig, port: int, report: Report) -> Launch:
    """Prepare the model file and return how to launch this backend. Raises StartError if something is missing."""
    if not backend.embedded:
        return await _command(backend, config, port, report)
    makers: dict[Embedded, Callable[[Backend, RunConfig, int, Report], Awaitable[Launch]]] = {
        "llama.cpp": _llamacpp,
        "mistral.rs": _mistralrs,
        "transformers": _transformers,
    }
    launch = await makers[backend.embedded](backend, config, port, report)
    digest = await model_digest(await shared_model(config, report), report)
    return dataclasses.replace(launch, ready=dataclasses.replace(launch.ready, model_digest=digest))


def context_tokens(config: RunConfig) -> int:
    """Return the context size: the answer, the prompt at one token per character, and room for the chat template."""
    return max(CONTEXT_TOKENS, config.max_tokens + len(config.prompt) + 256)


def thread_environment(threads: int) -> dict[str, str]:
    """Return the variables that set the number of threads of every numeric library.

    OMP_WAIT_POLICY is not set: with two threads, PASSIVE makes llama.cpp take 2.6x as long, transformers 1.5x.
    """
    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
    )
    return {name: str(threads) for name in names} | {"TOKENIZERS_PARALLELISM": "false"}


def offline_environment() -> dict[str, str]:
    """Return the variables that keep an engine off the network and its output short and without colors."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "RUST_BACKTRACE": "0",
        # Otherwise a failed assertion in llama.cpp starts a debugger, if installed, to print the stack.
        "GGML_NO_BACKTRACE": "1",
    }


async def _llamacpp(backend: Backend, config: RunConfig, port: int, report: Report) -> Launch:
    _require(backend.embedded)
    path, weights, name, _end = await _q8(backend, config, report)
    threads = thread_count(config)
    program = [sys.executable, "-P", str(EMBEDDED / "llamacpp.py"), f"--model={path}", f"--alias={name}"]
    program += ["--port", str(port), "--threads", str(threads), "--ctx", str(context_tokens(config))]
    return Launch(
        argv=program,
        ready=Ready(
            url=_local(port),
            model=name,
            version=_version("xllamacpp"),
            weights=weights,
            threads=threads,
            full_length=frameworks.LLAMA_CPP.full_length,
        ),
        probe_url=_local(port) + "/health",
        env=thread_environment(threads) | offline_environment(),
        grace_s=1.0,
    )


async def _mistralrs(backend: Backend, config: RunConfig, port: int, report: Report) -> Launch:
    _require(backend.embedded)
    path, weights, name, end_tokens = await _q8(backend, config, report)
    threads = thread_count(config)
    program = [sys.executable, "-P", str(EMBEDDED / "mistralrs.py"), f"--model={path}", f"--alias={name}"]
    return Launch(
        argv=[*program, "--port", str(port)],
        ready=Ready(
            url=_local(port),
            model=name,
            version=_version("mistralrs"),
            weights=weights,
            threads=threads,
            note=BRIDGE_NOTE,
            # It has no ignore_eos, so exclude the tokens that end an answer.
            full_length={"logit_bias": {str(token): EXCLUDED for token in end_tokens}},
        ),
        probe_url=_local(port) + "/health",
        env=thread_environment(threads) | offline_environment(),
        grace_s=1.0,
    )


async def _transformers(backend: Backend, config: RunConfig, port: int, report: Report) -> Launch:
    _require(backend.embedded)
    dtype = {"": "bfloat16", "BF16": "bfloat16", "F32": "float32"}.get(backend.weights.upper())
    if dtype is None:
        raise _wrong_weights(backend, "bf16 or f32")
    folder = await hf_folder(await shared_model(config, report), report)
    # No model name begins with a dot. Without a hub folder, the request for the models fails with status 500.
    home = own_folder(folder.parent / ".home")
    own_folder(home / "hub")
    threads = thread_count(config)
    return Launch(
        argv=[
            *(sys.executable, "-P", "-c", _entry("transformers"), "serve"),
            *(folder.name, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", dtype),
        ],
        env=thread_environment(threads) | offline_environment() | {"HF_HOME": str(home)},
        ready=Ready(
            url=_local(port),
            model=folder.name,
            version=f"{_version('transformers')}, {_version('torch')}",
            weights="F32" if dtype == "float32" else "BF16",
            threads=threads,
            full_length={"generation_config": json.dumps({"min_new_tokens": config.max_tokens})},
        ),
        # The model's name is the path as given, so a relative one keeps it short.
        cwd=folder.parent,
        probe_url=_local(port) + "/health",
        grace_s=1.0,
    )


async def _q8(backend: Backend, config: RunConfig, report: Report) -> tuple[Path, str, str, tuple[int, ...]]:
    """Return the file to load, its weights, the model's name, and the tokens that end an answer.

    The weights are Q8_0 unless the config asks for those of the file.
    """
    path = await shared_model(config, report)
    info = await asyncio.to_thread(read_gguf_info, path)
    original = info.file_type
    wanted = backend.weights.upper()
    if wanted and wanted == original:
        return path, original, model_name(path), info.end_tokens
    if wanted not in ("", "Q8_0"):
        raise _wrong_weights(backend, f"Q8_0 or {original} (the file as it is)")
    converted, weights = await q8_model(path, report)
    return converted, weights, model_name(path), info.end_tokens


async def _command(backend: Backend, config: RunConfig, port: int, report: Report) -> Launch:
    """Return the launch of a configured command, with `{port}`, `{model}` and `{threads}` filled in."""
    threads = thread_count(config)
    model, weights = backend.model, backend.weights
    if not model and any("{model}" in word for word in backend.launch):
        path, file_weights = await q8_model(await shared_model(config, report), report)
        model, weights = str(path), weights or file_weights
    values = {"{port}": str(port), "{model}": model, "{threads}": str(threads)}

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    argv = [fill(word) for word in backend.launch]
    _require_command(argv[0])
    url = base_url(fill(backend.url) if backend.url else _local(port))
    if not chooses_port(backend):
        await _require_free(url, backend)
    default = "/api/version" if backend.protocol == "ollama" else "/health"
    return Launch(
        argv=argv,
        ready=Ready(
            url=url,
            model=backend.model or (model_name(Path(model)) if model else ""),
            weights=weights,
            threads=threads if any("{threads}" in word for word in backend.launch) else None,
        ),
        probe_url=_probe_url(url, fill(backend.ready) or default, backend),
        # The default health path may not exist, so any reply but a server error counts.
        healthy_below=300 if backend.ready else 500,
    )


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


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _require(engine: Embedded) -> None:
    if absent := frameworks.absent_packages(engine):
        raise missing(f"not installed: {', '.join(absent)}", frameworks.engine(engine).install)


def _require_command(command: str) -> None:
    if path := shutil.which(command):
        interpreter = _interpreter(path)
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


def _interpreter(path: str) -> str:
    """Return the program in the first line of a script, "" if it has none."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return ""
    words = line[2:].strip(b" \t\n").split(b" ") if line.startswith(b"#!") else []
    return words[0].decode("utf-8", "replace") if words else ""


async def _require_free(url: str, backend: Backend) -> None:
    """Raise StartError if the port is in use: another server would answer instead of the launched one."""
    if owner := await occupant(url):
        hint = f"stop that server, or remove `launch` from [[backend]] {backend.name} to measure it as it is"
        raise StartError(port_in_use(url, owner, hint))


def _wrong_weights(backend: Backend, allowed: str) -> StartError:
    message = f"weights {backend.weights!r} cannot be made from the model file"
    return missing(message, f"set weights to {allowed} in [[backend]] {backend.name}, or leave it out")


def _entry(script: str) -> str:
    """Return a console script as a line of Python, because the script may not be in this environment's bin folder."""
    entries = list(importlib.metadata.entry_points(group="console_scripts", name=script))
    if not entries:
        raise missing(f"the command {script} is not installed", frameworks.HUGGINGFACE.install)
    return f"import sys; from {entries[0].module} import {entries[0].attr} as main; sys.exit(main())"


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"
