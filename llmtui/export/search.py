"""What a search has found, as records: for the JSON document and the JSON lines of a run."""

from __future__ import annotations

import math
import statistics
from typing import Literal

from llmtui.model import Struct
from llmtui.runview.run import RunView
from llmtui.runview.search import Found, found_of, has_search, pairs_of, search_sentences, sentence_of, undecided_text
from llmtui.stats.attainment import Answer
from llmtui.stats.knee import Knee


class ProbeRecord(Struct, frozen=True):
    """One level that a backend measured: `turns` good ones, whose mean is `output_tokens_per_s` (geometric).

    `kept` is the share of its `requests` that kept the objectives, and `keeps` whether the level keeps them for sure.
    """

    streams: int
    turns: int
    failed: bool
    output_tokens_per_s: float | None = None
    requests: int = 0
    kept: float | None = None
    keeps: Answer | None = None


class MostRecord(Struct, frozen=True):
    """The most streams that keep the objectives: `kept` (0: none for sure), and the first ones that do not.

    `undecided` are the ends of what is between them, null if nothing is.
    """

    kept: int
    missed: int | None
    undecided: tuple[int, int] | None


class FoundRecord(Struct, frozen=True):
    """What is known of one backend; `over`: its search has ended.

    `decided`: whether its result is clear; null before its end, and without a probe.
    """

    name: str
    over: bool
    sentence: str
    probes: list[ProbeRecord]
    knee: Knee | None = None
    most: MostRecord | None = None
    decided: bool | None = None


class PairRecord(Struct, frozen=True):
    """Two backends, and the one that surely has more streams: null if it is not sure."""

    backends: list[str]
    more: str | None


class SearchRecord(Struct, frozen=True):
    """The search of a run. `searched` is False for a sweep, which has a knee without a search; `until` is its end.

    `undecided` says which backends have no clear result, "" if all have one.
    """

    kind: Literal["knee", "slo"]
    searched: bool
    until: int
    backends: list[FoundRecord]
    comparisons: list[PairRecord]
    sentences: list[str]
    undecided: str = ""


def search_record(run_view: RunView) -> SearchRecord | None:
    """Return what a search, or a sweep of several levels, has found; None for other runs."""
    if not has_search(run_view):
        return None
    load = run_view.plan.load
    return SearchRecord(
        kind="slo" if load.search == "slo" else "knee",
        searched=bool(load.search),
        until=load.search_until,
        backends=[found_record(run_view, found_of(run_view, name)) for name in run_view.backends],
        comparisons=[
            PairRecord(backends=[one, two], more=one if order > 0 else two if order < 0 else None)
            for one, two, order in pairs_of(run_view)
        ],
        sentences=search_sentences(run_view),
        undecided=undecided_text(run_view),
    )


def found_record(run_view: RunView, found: Found) -> FoundRecord:
    """Return what is known of one backend."""
    most = found.most
    return FoundRecord(
        name=found.name,
        over=found.over,
        sentence=sentence_of(run_view, found),
        probes=[
            ProbeRecord(
                streams=probe.streams,
                turns=len(probe.speeds),
                failed=probe.broken,
                output_tokens_per_s=math.exp(statistics.fmean(probe.speeds.values())) if probe.speeds else None,
                requests=probe.requests,
                kept=statistics.fmean(probe.shares) if probe.shares else None,
                keeps=most.answers.get(probe.streams) if most is not None else None,
            )
            for probe in found.probes
        ],
        knee=found.knee,
        most=MostRecord(kept=most.kept, missed=most.missed, undecided=most.undecided) if most is not None else None,
        decided=found.decided,
    )
