"""Synthetic prompts of a mix: each is made where it is sent, from its number."""

from __future__ import annotations

import functools
import random

from llmtui.load.prompts import Message, Prompt
from llmtui.load.synthetic import text_of
from llmtui.model import Calibration
from llmtui.model.mixes import Mix

#: Of this many prompts in a row, each twentieth of the distribution has one, in random order: turns are more alike so.
STRATA = 20


class MixPrompts:
    """The prompts of a turn. What a prompt is depends on `seed` and its number alone, so all backends get the same."""

    def __init__(self, mix: Mix, seed: str, calibration: Calibration) -> None:
        text_of("", 1)  # the words are read before the turn begins
        self._mix = mix
        self._seed = seed
        self._calibration = calibration
        self._shares = functools.lru_cache(maxsize=8)(self._drawn)

    def prompt(self, number: int) -> Prompt:
        """The prompt with this number, and the limit of its answer. Its name has both lengths in tokens: "512/128"."""
        tokens, limit = self.lengths(number)
        text = text_of(f"{self._seed}/{number}", self._calibration.words(tokens))
        return Prompt(messages=[Message("user", text)], max_tokens=limit, name=f"{tokens}/{limit}")

    def lengths(self, number: int) -> tuple[int, int]:
        """Return the tokens of a prompt and of its answer. The two are drawn apart."""
        block, place = divmod(number - 1, STRATA)
        of_prompt, of_answer = self._shares(block)
        factor = self._calibration.scale / self._mix.divisor
        tokens, limit = self._mix.prompts.at(of_prompt[place]), self._mix.answers.at(of_answer[place])
        return max(1, round(tokens * factor)), max(1, round(limit * factor))

    def _drawn(self, block: int) -> tuple[list[float], list[float]]:
        draw = random.Random(f"{self._seed}/lengths {block}")
        return _strata(draw), _strata(draw)


def _strata(draw: random.Random) -> list[float]:
    """Return a random share from each stratum, in random order."""
    shares = [(place + draw.random()) / STRATA for place in range(STRATA)]
    draw.shuffle(shares)
    return shares
