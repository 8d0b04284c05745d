"""What every launch of `transformers serve` has in common, embedded or from another environment."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Launch, Ready, Report, thread_count
from llmtui.servers.model_cache import own_folder
from llmtui.servers.model_file import hf_folder, model_digest, shared_model
from llmtui.servers.own.versions import at_least
from llmtui.servers.recipe_parts import (
    CONTEXT_STEP,
    context_tokens,
    local_url,
    offline_environment,
    thread_environment,
    wrong_weights,
)

#: The first version whose continuous batching llmtui knows.
BATCHING = "5.24"
#: Short, because it is shown in the border of a narrow panel.
ONE_AT_A_TIME = "one request at a time"
#: The most tokens of a batch, beside one of each slot. A longer prompt is computed in parts.
BATCH_TOKENS = 512


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


def hf_environment(model: HfModel) -> dict[str, str]:
    """Return the variables that keep transformers to the folder of the model."""
    return {"HF_HOME": str(model.home)}


def serve_launch(
    program: Sequence[str], version: str, model: HfModel, config: RunConfig, port: int, slots: int = 1
) -> Launch:
    """Return how to launch `transformers serve` on this folder. `program` is the command of transformers.

    `version` is "transformers 5.24.0, torch 2.13.0", or as much of it as is known.
    """
    batches = slots > 1 and at_least(version.partition(",")[0].removeprefix("transformers").strip(), BATCHING)
    threads = thread_count(config)
    argv = [*program, "serve", model.folder.name, "--host", "127.0.0.1", "--port", str(port)]
    return Launch(
        argv=[*argv, "--device", "cpu", "--dtype", model.dtype, *(_batching(config, slots) if batches else [])],
        env=thread_environment(threads) | offline_environment() | hf_environment(model),
        ready=Ready(
            url=local_url(port),
            model=model.folder.name,
            version=version,
            weights=model.weights,
            threads=threads,
            model_digest=model.digest,
            slots=slots if batches else 1,
            note=ONE_AT_A_TIME if slots > 1 and not batches else "",
            full_length={"generation_config": json.dumps({"min_new_tokens": config.max_tokens})},
        ),
        # The model's name is the path as given, so a relative one keeps it short.
        cwd=model.folder.parent,
        probe_url=local_url(port) + "/health",
        grace_s=1.0,
    )


def _batching(config: RunConfig, slots: int) -> list[str]:
    """Return the flags for continuous batching. Without a size, its cache takes nine tenths of the memory."""
    blocks = slots * math.ceil(context_tokens(config, slots) / CONTEXT_STEP)
    return [
        "--continuous-batching",
        *("--cb-block-size", str(CONTEXT_STEP)),
        *("--cb-num-blocks", str(blocks)),
        *("--cb-max-batch-tokens", str(BATCH_TOKENS + slots)),
    ]
