"""HuggingFace's own server program, `transformers serve`, of another Python environment."""

from __future__ import annotations

from llmtui.config.frameworks import HUGGINGFACE, absent_packages, own_server
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Report, missing
from llmtui.servers.hf_serve import hf_model, serve_launch
from llmtui.servers.own.programs import interpreter_of, version_number, version_text

#: Prints the versions without importing the packages, which takes seconds.
_VERSIONS = "from importlib.metadata import version; print(version('transformers'), version('torch'))"


async def launch(
    backend: Backend, config: RunConfig, port: int, program: str, report: Report, slots: int = 1
) -> Launch:
    """Return how to launch `transformers serve` on the shared file, exported as a folder. Raises StartError."""
    if absent := [
        package for package in absent_packages("transformers") if package in own_server("transformers").needs
    ]:
        what = f"to export the model for transformers, llmtui needs these packages itself: {', '.join(absent)}"
        raise missing(what, HUGGINGFACE.install)
    model = await hf_model(backend, config, report)
    return serve_launch([program], await _version(program), model, config, port, slots)


async def _version(program: str) -> str:
    interpreter = interpreter_of(program)
    versions = (await version_text(interpreter, "-I", "-c", _VERSIONS)).split() if interpreter else []
    if len(versions) == 2:
        return f"transformers {versions[0]}, torch {versions[1]}"
    return f"transformers {version_number(await version_text(program, 'version'))}".rstrip()
