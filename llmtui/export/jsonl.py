"""Finished turns of a load, and iterations, as JSON lines: for programs that read a run while it goes on.

Each line is one object; of a search, a line of each backend follows at the end, whose `type` is "search" (see
llmtui.export.search). `type` is "turn" or "iteration", the other names are those of the JSON document. A turn also
has `level_title`, `streams` (0 in an open loop), `rate` (requests/s, 0 in a closed loop) and `cap` of its level, and no
`buckets`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmtui.export.json import escaped, full, full_sample
from llmtui.export.search import search_record
from llmtui.model import Iteration, Plan, Turn
from llmtui.runview.run import RunView


def search_lines(run_view: RunView) -> Iterator[str]:
    """Yield a line for each backend of a search, with its line end: what was found."""
    record = search_record(run_view) if run_view.plan.load.search else None
    for found in record.backends if record is not None else ():
        yield escaped(msgspec.json.encode({"type": "search", **full(found)}).decode()) + "\n"


def run_lines(run_view: RunView) -> Iterator[str]:
    """Yield all lines of a run, in the order in which they came."""
    samples: list[Iteration | Turn] = []
    for view in run_view.backends.values():
        # A load has warm-up requests among its iterations.
        samples += [*view.iterations, *view.turns]
    for sample in sorted(samples, key=lambda sample: (sample.seq, sample.started_utc)):
        yield sample_line(run_view.plan, sample)
    yield from search_lines(run_view)


def sample_line(plan: Plan, sample: Iteration | Turn) -> str:
    """Return one line, with its line end."""
    of = full_sample(sample, load=bool(plan.levels))
    if isinstance(sample, Turn):
        level = plan.levels[sample.level - 1]
        of.pop("buckets", None)
        more = {"level_title": level.title, "streams": level.streams, "rate": level.rate, "cap": level.cap}
        document = {"type": "turn"} | of | more
    else:
        document = {"type": "iteration"} | of
    return escaped(msgspec.json.encode(document).decode()) + "\n"
