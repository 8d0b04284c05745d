"""The comparison of two runs as JSON, for CI and other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from llmtui.model import Struct
from llmtui.runview.found_changes import FoundChange
from llmtui.stats.run_energy import EnergyChange
from llmtui.stats.run_outcomes import Across, Common, Outcome
from llmtui.store.rows import StoredRun

#: Incremented when a key of the JSON changes its meaning.
SCHEMA_VERSION = 1


class Gated(Struct, frozen=True):
    """The result of a gate of `percent`: a sentence for everything that breaks it, or that the runs leave open."""

    percent: float
    broken: list[str]
    silent: list[str]

    @property
    def holds(self) -> bool | None:
        """Whether the gate passed. None if nothing breaks it, but the runs leave something open."""
        return False if self.broken else None if self.silent else True


def comparison_json(
    one: StoredRun,
    two: StoredRun,
    comparison: Across,
    gated: Gated | None,
    changes: Sequence[FoundChange] = (),
    energy: Sequence[EnergyChange] = (),
) -> str:
    """The comparison as an indented JSON document.

    `a` and `b` are the runs, `runs_a` and `runs_b` the ids of all runs of either side. Each item of `backends` has its
    name in A and in B, the compared `metric` (null if none is comparable; `instead_of` is the requested metric if that
    differs, and `reason` says why), the number of samples, the medians (s, or tokens/s), and `slowdown`: B's time as a
    multiple of A's, with its interval from `low` to `high` at `level` (null if there are too few samples, or if no
    interval holds between these runs). `basis` is what can be decided on: "rounds" of one run; "runs", whose interval
    holds between runs; or "apart", where nothing is decided. If `relative_to` names other backends, `relative`,
    `relative_low` and `relative_high` are the slowdown relative to them; `either` is true if two backends were compared
    with each other alone, so that it may be the other one that changed. `shown` is "slower", "faster" or null, relative
    to the others if there are any; `p`, `could_show` and `paired` are those of llmtui.stats.compare. `earlier_runs`
    counts the runs of the history that say how much runs differ. `failed_a` of `tried_a` iterations failed in A;
    `fails_more` is true if B fails significantly more often. `common` says what the backends have in common: see
    llmtui.stats.run_outcomes. `differences` are the other differences between the runs. `gate` is null if none was
    requested; its `holds` is null if it is undecided. `loads` has an item for each backend of a load: how the knees,
    the largest levels within the objectives and the attainments compare (llmtui.runview.found_changes). `energy` has
    one for each backend with energy in J per output token (llmtui.stats.run_energy).
    """
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "a": _run(one),
        "b": _run(two),
        "runs_a": comparison.runs[0],
        "runs_b": comparison.runs[1],
        "metric": comparison.metric,
        "level": comparison.level,
        "backends": [_compared(outcome) for outcome in comparison.outcomes],
        "common": [_alike(common) for common in comparison.common],
        "rest_a": comparison.rest_a,
        "rest_b": comparison.rest_b,
        "differences": [
            {"code": d.code, "level": d.level, "backend": d.backend or None, "text": d.text, "todo": d.todo}
            for d in comparison.differences
        ],
        "gate": None
        if gated is None
        else {
            "percent": gated.percent,
            "holds": gated.holds,
            "broken": gated.broken,
            "silent": gated.silent,
        },
        "loads": msgspec.to_builtins(list(changes)),
        "energy": msgspec.to_builtins(list(energy)),
    }
    # ASCII only, so that no C1 control and no bidi mark reaches a terminal.
    return json.dumps(document, indent=2).replace("\x7f", "\\u007f") + "\n"


def _run(stored: StoredRun) -> dict[str, str]:
    return {
        "run": stored.plan.run,
        "label": stored.label,
        "note": stored.note,
        "state": stored.state,
        "created_utc": stored.plan.created_utc,
        "llmtui": stored.llmtui,
    }


def _alike(common: Common) -> dict[str, Any]:
    return {
        "backends": common.backends,
        "slowdown": common.ratio,
        "least": common.low,
        "most": common.high,
        "shown": common.shown or None,
        "real": common.real,
        "sentence": common.sentence,
    }


def _compared(outcome: Outcome) -> dict[str, Any]:
    comparison, leading = outcome.comparison, outcome.leading
    relative, relative_low, relative_high = outcome.relative or (None, None, None)
    judged = comparison is not None and outcome.basis != "apart"
    ratio, low, high = outcome.slowdown or (None, None, None)
    return {
        "a": outcome.a,
        "b": outcome.b,
        "sentence": outcome.sentence,
        "metric": leading.metric,
        "instead_of": leading.instead_of,
        "reason": leading.reason,
        "n_a": outcome.n_a,
        "n_b": outcome.n_b,
        "median_a": outcome.median_a,
        "median_b": outcome.median_b,
        "slowdown": ratio,
        "low": low,
        "high": high,
        "shown": outcome.shown or None,
        "p": comparison.p if comparison is not None and judged else None,
        "could_show": comparison.could_show if comparison is not None and judged else None,
        "paired": comparison is not None and comparison.paired,
        "failed_a": outcome.failed_a,
        "tried_a": outcome.tried_a,
        "failed_b": outcome.failed_b,
        "tried_b": outcome.tried_b,
        "fails_more": outcome.fails_more,
        "basis": outcome.basis,
        "relative_to": outcome.others,
        "relative": relative,
        "relative_low": relative_low,
        "relative_high": relative_high,
        "either": outcome.mutual,
        "earlier_runs": outcome.earlier,
    }
