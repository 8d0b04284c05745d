"""Opens the prompts of a turn."""

from __future__ import annotations

import random

import msgspec

from llmtui.load.mixes import MixPrompts
from llmtui.load.prompts import Message, Prompt, PromptSource
from llmtui.model import Calibration, Prompts
from llmtui.model.mixes import parse_mix


def open_source(prompts: Prompts, seed: str, calibration: Calibration | None = None) -> PromptSource | None:
    """Return the prompts of a turn, in an order that `seed` decides; None if all requests ask the prompt of the run.

    `calibration` is for those of a mix.
    """
    if prompts.mix:
        return MixPrompts(parse_mix(prompts.mix), seed, calibration or Calibration())
    return FilePrompts(prompts, seed) if prompts.file else None


class _Line(msgspec.Struct):
    prompt: str
    max_tokens: int = 0


class FilePrompts:
    """The prompts of a file of JSON Lines."""

    def __init__(self, prompts: Prompts, seed: str) -> None:
        with open(prompts.file, "rb") as file:
            self._lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
        if prompts.sample == "shuffled":
            random.Random(seed).shuffle(self._lines)

    def prompt(self, number: int) -> Prompt:
        """The prompt of a line."""
        line, data = self._lines[(number - 1) % len(self._lines)]
        of = msgspec.json.decode(data, type=_Line)
        return Prompt(messages=[Message("user", of.prompt)], max_tokens=of.max_tokens, name=f"line {line}")
