"""Sentences about each backend at each level of a load."""

from __future__ import annotations

from collections.abc import Callable

from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.run import RunView
from llmtui.text import sanitize


def at_each_level(run_view: RunView, words: Callable[[LevelFigures], str]) -> list[str]:
    """Return "BACKEND at LEVEL: ..." for each backend and level of which `words` says something: plain text."""
    sentences = []
    for level in run_view.levels_shown:
        for name, backend_view in run_view.backends.items():
            if said := words(backend_view.at_level(level.number)):
                sentences.append(f"{sanitize(name)} at {level.title}: {said}")
    return sentences
