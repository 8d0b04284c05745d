"""llama.cpp's own server program, llama-server."""

from __future__ import annotations

from llmtui.config import frameworks
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, thread_count
from llmtui.servers.own.programs import version_number, version_text
from llmtui.servers.recipe_parts import (
    LLAMA_VARIABLES,
    file_context,
    local_url,
    offline_environment,
    shared_file,
    thread_environment,
)


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Return how to launch llama-server on the shared file. Raises StartError."""
    file = await shared_file(backend, config, report)
    threads = thread_count(config)
    context = await file_context(config, slots, report)
    argv = [program, "-m", str(file.path), "-a", file.name, "--host", "127.0.0.1", "--port", str(port)]
    argv += ["-t", str(threads), "-tb", str(threads), "-c", str(slots * context), "-np", str(slots)]
    # The other servers on the shared file compute on the processor too.
    argv += ["--device", "none", "--no-webui", "--offline"]
    # "version: 0.5.0 (build 10488, commit abc)", older ones "version: 5000 (abc)". Built without git: build 0 or 1.
    text = await version_text(program)
    build = version_number(text, r"build (\d{2,})") or version_number(text, r"version: (\S+)")
    return Launch(
        argv=argv,
        ready=Ready(
            url=local_url(port),
            model=file.name,
            version=f"llama-server {build}".rstrip(),
            weights=file.weights,
            threads=threads,
            model_digest=file.digest,
            full_length=frameworks.LLAMA_CPP.full_length,
            context_tokens=context,
            slots=slots,
        ),
        probe_url=local_url(port) + "/health",
        env=thread_environment(threads) | offline_environment(),
        drop_env=LLAMA_VARIABLES,
        grace_s=1.0,
    )
