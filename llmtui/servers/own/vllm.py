"""vLLM's own server, `vllm serve`. It loads a folder of transformers, which llmtui exports from the shared file."""

from __future__ import annotations

import importlib.util

from llmtui.config import frameworks
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, missing, thread_count
from llmtui.servers.hf_serve import HfModel, hf_environment, hf_model
from llmtui.servers.own.programs import interpreter_of, version_number, version_text
from llmtui.servers.recipe_parts import file_context, local_url, offline_environment, thread_environment

#: Prints the version without importing PyTorch, which takes seconds.
_VERSION = "from importlib.metadata import version; print(version('vllm'))"
#: How long it may take with PyTorch (seconds).
VERSION_S = 60.0


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Return how to launch vLLM on the exported folder. Raises StartError."""
    if absent := absent_packages():
        what = f"to export the model for vLLM, llmtui needs these packages itself: {', '.join(absent)}"
        raise missing(what, frameworks.HUGGINGFACE.install)
    model = await hf_model(backend, config, report)
    threads, context = thread_count(config), await file_context(config, slots, report)
    report("asking vLLM for its version", None)
    url, name = local_url(port), model.folder.name
    argv = [program, "serve", str(model.folder), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--max-model-len", str(context), "--max-num-seqs", str(slots), "--served-model-name", name]
    return Launch(
        argv=[*argv, "--dtype", model.dtype, "--no-enable-prefix-caching"],
        ready=Ready(
            url=url,
            model=name,
            version=f"vLLM {await _version(program)}".rstrip(),
            weights=model.weights,
            threads=threads,
            model_digest=model.digest,
            full_length=frameworks.VLLM.full_length,
            context_tokens=context,
            slots=slots,
        ),
        probe_url=url + "/health",
        env=thread_environment(threads) | offline_environment() | environment(model),
        # A key or a port from there would change the server that llmtui asks.
        drop_env=("VLLM_",),
        # PyTorch opens a port on all interfaces, by which the processes of one engine find each other.
        ports="inner",
    )


def absent_packages() -> list[str]:
    """Return the packages with which llmtui exports the model and that are not installed."""
    return [one for one in frameworks.own_server("vllm").needs if importlib.util.find_spec(one) is None]


def environment(model: HfModel) -> dict[str, str]:
    """Return the variables of vLLM: OpenMP's own number of threads counts, and its files stay in llmtui's cache.

    No thread is bound to a core, as in the other servers. Its processes use this machine's own address.
    """
    return hf_environment(model) | {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(model.home / "vllm"),
        "VLLM_CONFIG_ROOT": str(model.home / "vllm"),
    }


async def _version(program: str) -> str:
    interpreter = interpreter_of(program)
    version = version_number(await version_text(interpreter, "-I", "-c", _VERSION)) if interpreter else ""
    return version or version_number(await version_text(program, limit_s=VERSION_S))
