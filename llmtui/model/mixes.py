"""Mixes: the lengths of synthetic prompts and their answers, in tokens. Pure."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from typing import Literal

from llmtui.model.base import Struct

#: The shares at which the lengths of a published mix are known. Between two of them the logarithm is interpolated;
#: below the first and above the last it goes on with the same slope, so that the longest is a little above the p99.
_SHARES = (0.1, 0.5, 0.9, 0.99)
#: Lengths of public traces, prompts and answers at `_SHARES`. In these traces the two are not correlated.
_PUBLISHED = {
    "chat": ((207, 1_020, 2_735, 4_142), (54, 129, 424, 601)),
    "code": ((147, 1_469, 5_194, 7_436), (7, 13, 55, 252)),
    "long": ((964, 6_909, 27_367, 85_401), (24, 350, 597, 1_120)),
}
#: What they are of.
TRACES = {
    "chat": "Azure's conversations of 2023",
    "code": "Azure's code completions of 2023",
    "long": "Mooncake's conversations of 2025",
}
#: The longest prompt or answer, in tokens, and by how much the lengths of a mix can be divided.
MOST_TOKENS = 1_000_000
MOST_DIVISOR = 1_000
#: A normal distribution is cut off this many standard deviations from its mean.
_CUT_OFF = 3.0

FORMS = "'chat', 'code' or 'long', perhaps divided as in 'chat/8', 'D(512,128)', 'N(480,240)/(300,150)' or "
FORMS += "'U(50,100)/(200,250)', all in tokens, prompt before answer"

_NUMBER = r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*"
_NAMED = re.compile(rf"({'|'.join(_PUBLISHED)})(?:\s*/{_NUMBER})?")
_FIXED = re.compile(rf"D\s*\({_NUMBER},{_NUMBER}\)")
_PAIRS = re.compile(rf"([NU])\s*\({_NUMBER},{_NUMBER}\)\s*/\s*\({_NUMBER},{_NUMBER}\)")


class Lengths(Struct, frozen=True):
    """Lengths in tokens: `values` are those at `_SHARES`, the one length, mean and deviation, or least and most."""

    kind: Literal["published", "fixed", "normal", "uniform"]
    values: tuple[float, ...]

    def at(self, share: float) -> float:
        """Return the length below which this share of all lengths lies, at least 1 token."""
        values = self.values
        if self.kind == "fixed":
            length = values[0]
        elif self.kind == "uniform":
            length = values[0] + share * (values[1] - values[0])
        elif self.kind == "normal":
            mean, deviation = values
            edge = statistics.NormalDist().cdf(-_CUT_OFF)
            length = mean + deviation * statistics.NormalDist().inv_cdf(min(max(share, edge), 1 - edge))
        else:
            length = _published(values, share)
        return max(1.0, length)

    @property
    def longest(self) -> float:
        """The longest one."""
        return self.at(1.0)


class Mix(Struct, frozen=True):
    """The lengths of a run's prompts and answers. `divisor` divides those of a published mix."""

    name: str
    prompts: Lengths
    answers: Lengths
    divisor: float = 1.0

    @property
    def scalable(self) -> bool:
        """Whether its lengths may be made shorter to fit a context: not if the user set them."""
        return self.prompts.kind == "published"

    @property
    def longest(self) -> int:
        """The most tokens that a request may have, prompt and answer."""
        return math.ceil((self.prompts.longest + self.answers.longest) / self.divisor)


def parse_mix(text: str) -> Mix:
    """Return the mix with this name, or of these lengths. Raises ValueError with what is wrong."""
    name = text.strip()
    if (named := _NAMED.fullmatch(name)) is not None:
        divisor = float(named[2] or 1)
        if not 1 <= divisor <= MOST_DIVISOR:
            raise ValueError(f"expected a divisor from 1 to {MOST_DIVISOR}, got {named[2]}")
        prompts, answers = (Lengths("published", values) for values in _PUBLISHED[named[1]])
        return Mix(name, prompts, answers, divisor)
    if (fixed := _FIXED.fullmatch(name)) is not None:
        return _checked(Mix(name, Lengths("fixed", (float(fixed[1]),)), Lengths("fixed", (float(fixed[2]),))))
    if (pairs := _PAIRS.fullmatch(name)) is not None:
        kind: Literal["normal", "uniform"] = "normal" if pairs[1] == "N" else "uniform"
        first, second, third, fourth = map(float, pairs.groups()[1:])
        for least, most in ((first, second), (third, fourth)) if kind == "uniform" else ():
            if least > most:
                raise ValueError(f"the least length of U({least:g},{most:g}) is above the most; swap them")
        return _checked(Mix(name, Lengths(kind, (first, second)), Lengths(kind, (third, fourth))))
    raise ValueError(f"expected {FORMS}")


def _checked(mix: Mix) -> Mix:
    for what, lengths in (("prompt", mix.prompts), ("answer", mix.answers)):
        if lengths.values[0] < 1 or lengths.longest > MOST_TOKENS:
            raise ValueError(f"expected lengths of 1 to {MOST_TOKENS} tokens, and those of the {what} are not")
    return mix


def _published(values: tuple[float, ...], share: float) -> float:
    """Interpolate the logarithm of the length."""
    points = list(zip(_SHARES, map(math.log, values), strict=True))
    for (low, start), (high, end) in itertools.pairwise(points):
        if share <= high or high == _SHARES[-1]:
            return math.exp(start + (share - low) * (end - start) / (high - low))
    raise AssertionError("the last pair returns")
