"""What the levels of a load are called on an axis: by their streams or rate, and in a grid by their lengths too. Pure.

In a grid several levels have the same streams, so the axis has further rows: for the prompts, and for the streams.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from llmtui.model import Level


@dataclasses.dataclass(frozen=True)
class LevelLabels:
    """A label for each level, and what the labels count.

    `groups` are rows of titles below the labels, from the inner one to the outer one: neighbours with the same title
    are a group. `heads` say the same above columns, from the outer row to the inner one, each with its name. Both are
    empty without a grid.
    """

    labels: tuple[str, ...]
    counted: str
    groups: tuple[tuple[str, ...], ...] = ()
    heads: tuple[tuple[str, tuple[str, ...]], ...] = ()


def level_labels(levels: Sequence[Level], *, whole: bool = False) -> LevelLabels:
    """Return the labels of levels that are in ascending order. `whole`: each label says all of its level."""
    loads = tuple(f"{level.rate:g}" if level.open else str(level.streams) for level in levels)
    counted = "requests/s" if levels and levels[0].open else "streams"
    if not any(level.cell_title for level in levels):
        return LevelLabels(loads, counted)
    several = len(set(loads)) > 1
    prompts = tuple(str(level.prompt_tokens) for level in levels if level.prompt_tokens)
    answers = tuple(str(level.max_tokens) for level in levels if level.max_tokens)
    lengths = [(name, row) for name, row in (("prompt", prompts), ("answer", answers)) if row]
    heads = ((counted, loads), *lengths) if several else tuple(lengths)
    if whole:
        what = f"{'/'.join(name for name, _ in lengths)} tokens"
        labels = tuple(level.short_cell for level in levels)
        if several:
            labels = tuple(f"{load}x{cell}" for load, cell in zip(loads, labels, strict=True))
        return LevelLabels(labels, f"{counted} x {what}" if several else what, heads=heads)
    groups = [tuple(f"prompt {length}" for length in prompts)] if len(lengths) > 1 else []
    groups += [tuple(level.load_title for level in levels)] if several else []
    name, labels = lengths[-1]
    return LevelLabels(labels, f"{name} tokens", tuple(groups), heads)
