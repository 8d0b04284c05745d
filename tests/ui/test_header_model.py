"""The header names the model of the race: several servers may have several names for it."""

from __future__ import annotations

import pytest

from llmtui.ui.views.header import model_name
from tests import build


@pytest.mark.parametrize(
    ("models", "shown"),
    [
        (
            ["/home/me/.cache/llmtui/SmolLM2-135M-Instruct.Q8_0-957bbd52da38.gguf", "SmolLM2-135M-Instruct"],
            "SmolLM2-135M-Instruct",
        ),
        (["smollm2:135m", "SmolLM2-135M-Instruct"], "smollm2:135m"),
        (["llama3.2:3b", "llama3.2:1b", "Llama-3.2-1B-Instruct"], "2 models"),
        (["", "llama3.2:3b"], "llama3.2:3b"),
        (["", ""], ""),
    ],
)
def test_the_shortest_name_of_the_one_model_or_the_number_of_models(models: list[str], shown: str) -> None:
    names = "abc"[: len(models)]
    events = [build.changed(name, model=model) for name, model in zip(names, models, strict=True)]
    assert model_name(build.run_view(build.plan(*names), *events)) == shown
