"""The samples that a file of single values has: those of the newest attempts that count in the figures."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.model import Iteration
from llmtui.runview.backend import BackendView
from llmtui.runview.run import RunView


def counted(run_view: RunView, backend_view: BackendView) -> Iterator[Iteration]:
    """Yield the measured samples of the newest attempt of a backend, failed ones too, in the order of completion.

    Of a load they are the requests of the windows at `Plan.head_level`, read from the history. Samples that are in no
    figure are left out: warm-ups, partial turns, and those during which the server loaded its model.
    """
    attempt, head = backend_view.state.attempt, run_view.plan.head_level
    if head is None:
        for iteration in backend_view.iterations:
            if iteration.phase == "measured" and iteration.attempt == attempt and not iteration.loaded:
                yield iteration
        return
    for turn in backend_view.turns:
        if (turn.phase, turn.attempt, turn.level, turn.state) != ("measured", attempt, head.number, "whole"):
            continue
        for batch in run_view.requests(turn):
            yield from (request for request in batch if request.share == "window" and not request.loaded)
