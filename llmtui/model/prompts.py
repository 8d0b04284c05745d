"""What is asked: one prompt, the prompts of a file, or synthetic ones of set lengths."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct


class Prompts(Struct, frozen=True, forbid_unknown_fields=True):
    """The prompts of a run (`[prompts]`): by default all requests have the prompt of `[run]`.

    `file` is the path of a file of prompts. `sample` says in which order they are asked.
    """

    file: str = ""
    sample: Literal["shuffled", "in order"] = "shuffled"

    @property
    def given(self) -> bool:
        """Whether requests have prompts of their own."""
        return bool(self.file)
