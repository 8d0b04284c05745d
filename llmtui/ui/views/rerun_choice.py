"""What the rerun key asks: a backend alone, or in turns with the one that it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from llmtui.model import RESTING
from llmtui.runview.run import RunView
from llmtui.ui.text.format import name_text
from llmtui.ui.text.spans import Line, Span, fit, width_of

#: The most cells of a name, and where there is little room.
_NAME, _SHORT_NAME = 24, 12
#: The commands whose keys answer the question: in turns with the other one, all, alone, not at all.
TOGETHER, ALL, ALONE, NOT = "maximise", "rerun_all", "rerun", "back"


@dataclasses.dataclass(frozen=True)
class RerunChoice:
    """The question for the backend `name`. `partner` is the best one, or if that is `name`, the next best.

    `others`: more backends than these two are in the race, so that only a rerun of all can show which is fastest.
    """

    name: str
    partner: str
    others: bool = False


def rerun_choice(run_view: RunView, name: str) -> RerunChoice | None:
    """Return what to ask about a rerun of this backend; None if nothing is compared with it, or not in turns."""
    views = run_view.backends
    config = run_view.plan.config
    if config.order == "sequential" or not any(view.summary.n for view in views.values()):
        return None
    placed = run_view.verdict().board
    partner = placed.best
    if partner == name:
        partner = next((s.name for s in placed.standings if s.name != name and s.ratio is not None), "")
    if not partner or views[name].state.state not in RESTING or views[partner].state.state not in RESTING:
        return None
    return RerunChoice(name, partner, others=len(views) > 2)


def is_out_of_turn(run_view: RunView, name: str) -> bool:
    """Whether a rerun of this backend alone, now, does not take turns with others that have results already."""
    others = [view for view in run_view.backends.values() if view.backend.name != name]
    return run_view.plan.config.order != "sequential" and any(view.summary.n for view in others)


def choice_line(choice: RerunChoice, keys: Mapping[str, str], width: int) -> tuple[Line, list[tuple[int, int, str]]]:
    """Draw the question on one line, and return which cells `[start, end)` answer it with which command.

    `keys` are the words of the keys, by command. What follows from an answer is said if there is room.
    """
    for most in (_NAME, _SHORT_NAME):
        for head, words in _forms(choice, most):
            for gap in (2, 1):
                answers = dict(zip((TOGETHER, ALL, ALONE), words, strict=True)) | {NOT: "no"}
                line, spots = _drawn(f" rerun{head}:", answers, keys, gap)
                if width_of(line) <= width:
                    return line, spots
    return fit(line, width), spots


def _forms(choice: RerunChoice, most: int) -> list[tuple[str, tuple[str, str, str]]]:
    """The question and its answers in words, the longest first; names have `most` cells."""
    name, partner = name_text(choice.name, most), name_text(choice.partner, most)
    if choice.others:
        forms = [
            (f"with {partner}, in turns", "all: can show which is fastest", "alone: not in turns"),
            (f"with {partner}, in turns", "all, for a star", "alone"),
            (f"with {partner}", "all", "alone"),
        ]
    else:
        forms = [
            (f"with {partner}, in turns", "", "alone: no star, as it is not in turns"),
            (f"with {partner}, in turns", "", "alone: no star"),
            (f"with {partner}", "", "alone: no star"),
        ]
    named = [(f" {name}", words) for words in forms]
    return named if most > _SHORT_NAME else [*named, ("", ("both", "all" if choice.others else "", "alone"))]


def _drawn(
    head: str, answers: Mapping[str, str], keys: Mapping[str, str], gap: int
) -> tuple[Line, list[tuple[int, int, str]]]:
    spans: list[Span] = [(head, "warn")]
    spots = []
    for command, words in answers.items():
        if not words:
            continue
        spans.append((" " * gap, ""))
        start = width_of(spans)
        spans += [(keys[command], "key"), (f" {words}", "")]
        spots.append((start, width_of(spans), command))
    return tuple(spans), spots
