"""What every launch of `transformers serve` has in common, embedded or from another environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Report
from llmtui.servers.model_cache import own_folder
from llmtui.servers.model_file import hf_folder, model_digest, shared_model
from llmtui.servers.recipe_parts import wrong_weights


@dataclass(frozen=True)
class HfModel:
    """The shared model as a folder that transformers loads. `dtype` is its name of `weights`."""

    folder: Path
    home: Path
    dtype: str
    weights: str
    digest: str


async def hf_model(backend: Backend, config: RunConfig, report: Report) -> HfModel:
    """Return the folder to load: BF16 unless the config asks for F32. Raises StartError."""
    dtype = {"": "bfloat16", "BF16": "bfloat16", "F32": "float32"}.get(backend.weights.upper())
    if dtype is None:
        raise wrong_weights(backend, "bf16 or f32")
    path = await shared_model(config, report)
    folder = await hf_folder(path, report)
    # No model name begins with a dot. Without a hub folder, the request for the models fails with status 500.
    home = own_folder(folder.parent / ".home")
    own_folder(home / "hub")
    weights = "F32" if dtype == "float32" else "BF16"
    return HfModel(folder, home, dtype, weights, await model_digest(path, report))


def serve_arguments(model: HfModel, port: int) -> list[str]:
    """Return the arguments of `transformers serve`, in the folder of the model's folder."""
    return [model.folder.name, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", model.dtype]


def hf_environment(model: HfModel) -> dict[str, str]:
    """Return the variables that keep transformers to the folder of the model."""
    return {"HF_HOME": str(model.home)}


def min_new_tokens(config: RunConfig) -> dict[str, Any]:
    """Return the request fields that make transformers go on to `max_tokens`."""
    return {"generation_config": json.dumps({"min_new_tokens": config.max_tokens})}
