"""A mix of synthetic prompts in words. Pure."""

from __future__ import annotations

import math

from llmtui.model.mixes import TRACES, Lengths, Mix, parse_mix


def mix_sentence(name: str) -> str:
    """Say how long the prompts and the answers of a mix are; "" without one, or for one that cannot be read."""
    try:
        mix = parse_mix(name)
    except ValueError:
        return ""
    trace = TRACES.get(mix.name.partition("/")[0].strip())
    like = f" (lengths as in {trace})" if trace else ""
    prompts, answers = _words(mix, mix.prompts), _words(mix, mix.answers)
    return f"synthetic prompts of the mix {mix.name}{like}: prompts of {prompts} tokens, answers of {answers}"


def _words(mix: Mix, lengths: Lengths) -> str:
    """ "512", or "69 to 1,085 (median 255)"."""
    least, middle, most = (lengths.at(share) / mix.divisor for share in (0.0, 0.5, 1.0))
    if lengths.kind == "fixed":
        return f"{most:,.0f}"
    return f"{max(1, round(least)):,} to {math.ceil(most):,} (median {max(1, round(middle)):,})"
