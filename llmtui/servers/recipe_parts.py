"""What the launch of each server on the shared model file has in common: the file, threads, context and environment."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Report, StartError, missing
from llmtui.servers.model_file import model_digest, model_name, q8_model, read_gguf_info, shared_model

#: The smallest context size of one request, unless several slots share `SHARED_TOKENS`.
CONTEXT_TOKENS = 2048
#: The context of all slots in tokens, unless the requests need more: a slot takes memory for its whole context.
SHARED_TOKENS = 65_536
#: More than any model has.
MAX_CONTEXT = 2**31
#: llama.cpp rounds the context of a slot up to a multiple of this.
CONTEXT_STEP = 256
#: The most slots that llmtui gives to a server: llama.cpp refuses more.
MAX_SLOTS = 256
#: Variables by which llama.cpp's server, also inside other programs, takes settings and a key that it then asks for.
LLAMA_VARIABLES = ("LLAMA_ARG_", "LLAMA_API_KEY")
#: A logit bias that excludes a token.
EXCLUDED = -1000.0


@dataclass(frozen=True)
class SharedFile:
    """The model file that a server loads. `digest` ("sha256:...") is that of the file as published."""

    path: Path
    weights: str
    name: str
    end_tokens: tuple[int, ...]
    digest: str


async def shared_file(backend: Backend, config: RunConfig, report: Report) -> SharedFile:
    """Return the file to load: Q8_0 unless the config asks for the weights of the file as it is. Raises StartError."""
    path = await shared_model(config, report)
    info = await asyncio.to_thread(read_gguf_info, path)
    original = info.file_type
    wanted = backend.weights.upper()
    if wanted and wanted == original:
        loaded, weights = path, original
    elif wanted in ("", "Q8_0"):
        loaded, weights = await q8_model(path, report)
    else:
        raise wrong_weights(backend, f"Q8_0 or {original} (the file as it is)")
    digest = await model_digest(path, report)
    return SharedFile(loaded, weights, model_name(path), info.end_tokens, digest)


def excluded(file: SharedFile) -> dict[str, Any]:
    """Return the request field that excludes the tokens that end an answer, for servers without ignore_eos."""
    return {"logit_bias": {str(token): EXCLUDED for token in file.end_tokens}}


def wrong_weights(backend: Backend, allowed: str) -> StartError:
    """Return the error for weights that cannot be made from the model file."""
    message = f"weights {backend.weights!r} cannot be made from the model file"
    return missing(message, f"set weights to {allowed} in [[backend]] {backend.name}, or leave it out")


def context_tokens(config: RunConfig, slots: int = 1) -> int:
    """Return the context size of one request, where a server has this many slots.

    It holds the answer, the prompt at one token per character, and room for the chat template, or what the config says.
    """
    needed = config.context_tokens or config.max_tokens + len(config.prompt) + 256
    if slots == 1:
        return max(CONTEXT_TOKENS, needed)
    share = min(CONTEXT_TOKENS, SHARED_TOKENS // slots)
    return CONTEXT_STEP * max(share // CONTEXT_STEP, math.ceil(needed / CONTEXT_STEP))


async def file_context(config: RunConfig, slots: int, report: Report) -> int:
    """Return the context size of one request in a server of the shared file: at most what its model was trained for."""
    info = await asyncio.to_thread(read_gguf_info, await shared_model(config, report))
    return min(context_tokens(config, slots), info.context_length or MAX_CONTEXT)


def local_url(port: int) -> str:
    """Return the URL of a server on this port of 127.0.0.1."""
    return f"http://127.0.0.1:{port}"


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
