"""Which backend keeps the objectives of a load at which level, a sentence for each backend."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.levels import LISTED
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.stats.attainment import Answer
from llmtui.stats.checks.base import listed
from llmtui.text import sanitize
from llmtui.text.format import plural

_WORDS: dict[Answer, str] = {"yes": "keeps the objectives", "no": "misses the objectives", "undecided": "undecided"}


def objective_sentences(run_view: RunView) -> list[str]:
    """Return one sentence for each backend with judged requests: plain text; [] without objectives.

    "a: keeps the objectives at 1 stream (99.2% kept, 95%: 97.1% to 100%), misses the objectives at 4 streams (...)".
    """
    slo = run_view.plan.slo
    if not slo.limits:
        return []
    sentences = []
    for name, backend_view in run_view.backends.items():
        at = [(level, backend_view.at_level(level.number)) for level in run_view.levels_shown]
        judged = [(figures.keeps(slo.share), _kept(figures), level.title) for level, figures in at if figures.shares]
        groups = itertools.groupby(judged, key=lambda each: each[0])
        parts = [
            f"{_WORDS[answer]} at {listed(_at([each[1:] for each in group], len(judged)))}" for answer, group in groups
        ]
        undetermined = sum(figures.undetermined for _, figures in at)
        if undetermined:
            of = plural(sum(figures.kept + figures.missed for _, figures in at) + undetermined, "request")
            parts.append(f"{undetermined} of {of} undetermined")
        if parts:
            sentences.append(f"{sanitize(name)}: {', '.join(parts)}")
    return sentences


def _at(levels: list[tuple[str, str]], every: int) -> Iterator[str]:
    """Name levels, given as (figures, title), each with its figures; many neighbours with the same are counted."""
    for kept, group in itertools.groupby(levels, key=lambda each: each[0]):
        titles = [title for _, title in group]
        if len(titles) > LISTED:
            yield f"{len(titles)} of {every} levels ({kept})"
        else:
            yield from (f"{title} ({kept})" for title in titles)


def _kept(figures: LevelFigures) -> str:
    low, high = figures.attainment_interval or (0.0, 1.0)
    interval = f"95%: {attained_text(low)} to {attained_text(high)}"
    return f"{attained_text(figures.attainment)} kept, {interval}"
