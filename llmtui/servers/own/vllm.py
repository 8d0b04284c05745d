"""vLLM's own server, `vllm serve`. It loads a folder of transformers, which llmtui exports from the shared file."""

from __future__ import annotations

import importlib.util

from llmtui.config import frameworks
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, missing, thread_count
from llmtui.servers.model_file import hf_folder, model_digest, model_name, shared_model
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.recipe_parts import (
    SLOTS,
    context_tokens,
    local_url,
    offline_environment,
    thread_environment,
    wrong_weights,
)

#: What the export needs in llmtui's own environment.
EXPORTERS = ("torch", "transformers", "gguf")
#: It imports PyTorch before it prints its version (seconds).
VERSION_S = 60.0
#: OpenMP's own number of threads counts, and no thread is bound to a core, as in the other servers. Its processes find
#: each other by the address of this machine alone.
SETTINGS = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_HOST_IP": "127.0.0.1", "VLLM_NO_USAGE_STATS": "1"}


async def launch(backend: Backend, config: RunConfig, port: int, program: str, report: Report) -> Launch:
    """Return how to launch vLLM on the exported folder. Raises StartError."""
    dtype = {"": "bfloat16", "BF16": "bfloat16", "F32": "float32"}.get(backend.weights.upper())
    if dtype is None:
        raise wrong_weights(backend, "bf16 or f32")
    if absent := [one for one in EXPORTERS if importlib.util.find_spec(one) is None]:
        message = f"vLLM needs the model as a folder, and llmtui has no {', '.join(absent)} to export it"
        raise missing(message, frameworks.HUGGINGFACE.install)
    path = await shared_model(config, report)
    folder = await hf_folder(path, report)
    threads, context = thread_count(config), context_tokens(config)
    report("asking vLLM for its version", None)
    version = version_number(await version_text(program, limit_s=VERSION_S))
    url = local_url(port)
    name = model_name(path)
    argv = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--max-model-len", str(context), "--max-num-seqs", str(SLOTS), "--served-model-name", name]
    return Launch(
        argv=[*argv, "--dtype", dtype, "--no-enable-prefix-caching"],
        ready=Ready(
            url=url,
            model=name,
            version=f"vLLM {version}".rstrip(),
            weights="F32" if dtype == "float32" else "BF16",
            threads=threads,
            model_digest=await model_digest(path, report),
            full_length=frameworks.VLLM.full_length,
            context_tokens=context,
        ),
        probe_url=url + "/health",
        env=thread_environment(threads) | offline_environment() | SETTINGS,
        # A key or a port from there would change the server that llmtui asks.
        drop_env=("VLLM_",),
        # PyTorch opens a port on all interfaces, by which the processes of one engine find each other.
        ports="inner",
    )
