"""Opens the prompts of a turn."""

from __future__ import annotations

from llmtui.load.mixes import MixPrompts
from llmtui.load.prompt_files.source import FilePrompts
from llmtui.load.prompts import PromptSource
from llmtui.model import Calibration, Prompts
from llmtui.model.mixes import parse_mix


def open_source(
    prompts: Prompts, seed: str, calibration: Calibration | None = None, start: float = 0.0
) -> PromptSource | None:
    """Return the prompts of a turn, in an order that `seed` decides; None if all requests ask the prompt of the run.

    `calibration` is for those of a mix. Turns with another `start` ask others: of a file it is the place in the
    shuffled order at which the turn begins, as a share of all prompts. Raises PromptFileError.
    """
    if prompts.mix:
        return MixPrompts(parse_mix(prompts.mix), f"{seed}/{start}", calibration or Calibration())
    return FilePrompts(prompts, seed, start) if prompts.file else None
