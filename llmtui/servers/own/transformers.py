"""HuggingFace's own server program, `transformers serve`, of another Python environment."""

from __future__ import annotations

from llmtui.config.frameworks import HUGGINGFACE, absent_packages, own_server
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, missing, thread_count
from llmtui.servers.hf_serve import hf_environment, hf_model, min_new_tokens, serve_arguments
from llmtui.servers.own.programs import interpreter_of, version_number, version_text
from llmtui.servers.recipe_parts import local_url, offline_environment, thread_environment

#: Prints the versions without importing the packages, which takes seconds.
_VERSIONS = "from importlib.metadata import version; print(version('transformers'), version('torch'))"


async def launch(backend: Backend, config: RunConfig, port: int, program: str, report: Report) -> Launch:
    """Return how to launch `transformers serve` on the shared file, exported as a folder. Raises StartError."""
    if absent := [
        package for package in absent_packages("transformers") if package in own_server("transformers").needs
    ]:
        what = f"to export the model for transformers, llmtui needs these packages itself: {', '.join(absent)}"
        raise missing(what, HUGGINGFACE.install)
    model = await hf_model(backend, config, report)
    threads = thread_count(config)
    return Launch(
        argv=[program, "serve", *serve_arguments(model, port)],
        env=thread_environment(threads) | offline_environment() | hf_environment(model),
        ready=Ready(
            url=local_url(port),
            model=model.folder.name,
            version=await _version(program),
            weights=model.weights,
            threads=threads,
            model_digest=model.digest,
            full_length=min_new_tokens(config),
        ),
        # The model's name is the path as given, so a relative one keeps it short.
        cwd=model.folder.parent,
        probe_url=local_url(port) + "/health",
        grace_s=1.0,
    )


async def _version(program: str) -> str:
    interpreter = interpreter_of(program)
    versions = (await version_text(interpreter, "-I", "-c", _VERSIONS)).split() if interpreter else []
    if len(versions) == 2:
        return f"transformers {versions[0]}, torch {versions[1]}"
    return f"transformers {version_number(await version_text(program, 'version'))}".rstrip()
