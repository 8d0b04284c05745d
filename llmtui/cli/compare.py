"""`llmtui compare`: prints how two runs differ, as text or JSON, and applies a gate.

The statistics are in llmtui.stats.compare_runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtui import exit_codes
from llmtui.cli.history import opened
from llmtui.cli.output import STDOUT, output_columns, report, write_output
from llmtui.model import Struct
from llmtui.model.errors import UsageError
from llmtui.runview.against import side_of
from llmtui.runview.run import RunView
from llmtui.stats.compare import digits, times
from llmtui.stats.compare_runs import Across, Outcome, across, gate, paired
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import MOST
from llmtui.stats.run_differences import Side
from llmtui.store.accuracy_record import newest
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, fit, wrapped
from llmtui.text.format import DASH, scale_of

#: Incremented when a key of the JSON changes its meaning.
SCHEMA_VERSION = 1
_NAME = 32
_SENTENCE = 4_000
#: The number of right-aligned columns, between the names and the slowdown.
_NUMBERS = 4


class Gated(Struct, frozen=True):
    """The result of a gate of `percent`: a sentence for each backend that breaks it, or has too few samples to tell."""

    percent: float
    broken: list[str]
    silent: list[str]

    @property
    def holds(self) -> bool | None:
        """Whether the gate passed. None if no backend breaks it, but one has too few samples to tell."""
        return False if self.broken else None if self.silent else True


def compare_runs(
    first: str,
    second: str,
    path: str,
    *,
    named: Sequence[str] = (),
    metric: MetricKey = "latency",
    percent: float | None = None,
    json_file: Path | None = None,
) -> int:
    """Print how the backends of run `second` compare with those of run `first`. Return the exit code.

    `named` are pairs as "NAME_A=NAME_B". Raises StoreError, and UsageError if the pairs are invalid.
    """
    one, two = _loaded(path, first, second)
    a, b = _side(one), _side(two)
    comparison = across(a, b, _pairs(a, b, named), metric, record=newest(b.machine))
    gated = Gated(percent, *gate(comparison, percent)) if percent is not None else None
    for word, stored in (("A", one), ("B", two)):
        if stored.state == "running":
            report(f"run {word} is still running; comparing its iterations so far")
    written = _write(one, two, comparison, gated, json_file)
    if not any(o.n_a and o.n_b for o in comparison.outcomes):
        report("nothing to compare: no backend has samples in both runs")
        return exit_codes.FAILED
    if gated is not None:
        _report_gate(gated)
    if not written or (gated is not None and gated.broken):
        return exit_codes.FAILED
    return exit_codes.SILENT if gated is not None and gated.silent else exit_codes.OK


def _loaded(path: str, first: str, second: str) -> tuple[StoredRun, StoredRun]:
    with opened(path) as store:
        one = store.load(first)
        return one, one if store.find(second) == one.plan.run else store.load(second)


def _side(stored: StoredRun) -> Side:
    run_view = RunView(stored.plan, keep=0)
    run_view.apply(stored.hello())
    return side_of(run_view)


def _pairs(a: Side, b: Side, named: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of backends to compare. Raises UsageError."""
    pairs = list(dict.fromkeys(_pair(a, b, text) for text in named))
    if a.run == b.run and not pairs:
        raise UsageError(
            f"A and B are the same run, {a.run}; name another run, or pair two of its backends with --backend: "
            f"{_names(a)}"
        )
    all_pairs = paired(a, b, pairs)
    if not all_pairs:
        raise UsageError(
            f"the runs have no backend in common: A has {_names(a)}; B has {_names(b)}; "
            "pair two of them with --backend NAME_A=NAME_B"
        )
    return all_pairs


def _pair(a: Side, b: Side, text: str) -> tuple[str, str]:
    # Names may contain "=".
    ways = [(text[:at], text[at + 1 :]) for at, sign in enumerate(text) if sign == "="]
    if not ways:
        raise UsageError(f"--backend: {sanitize(text)!r} is not of the form NAME_A=NAME_B")
    pair = next(((x, y) for x, y in ways if x in a.contenders and y in b.contenders), ways[0])
    for word, name, side in (("A", pair[0], a), ("B", pair[1], b)):
        if name not in side.contenders:
            raise UsageError(f"--backend: run {word} has no backend {sanitize(name)!r}; it has {_names(side)}")
    if a.run == b.run and pair[0] == pair[1]:
        raise UsageError(f"--backend: {sanitize(pair[0])!r} is the same backend on both sides; name two of {_names(a)}")
    return pair


def _names(side: Side) -> str:
    return ", ".join(sanitize(name, 60) for name in side.contenders) or "none"


def _report_gate(gated: Gated) -> None:
    name = f"gate of {gated.percent:g}%"
    for sentence in gated.broken:
        report(f"{name} failed: {sentence}")
    for sentence in gated.silent:
        report(f"{name} undecided: {sentence}")
    if gated.holds:
        report(f"{name} passed")


def _write(one: StoredRun, two: StoredRun, comparison: Across, gated: Gated | None, json_file: Path | None) -> bool:
    """Print the comparison and write `json_file`. Return False if that cannot be written."""
    document = comparison_json(one, two, comparison, gated)
    if json_file == STDOUT:
        return write_output(STDOUT, document)
    print(comparison_text(one, two, comparison, output_columns()), end="")
    return json_file is None or write_output(json_file, document)


def comparison_text(one: StoredRun, two: StoredRun, comparison: Across, width: int) -> str:
    """Both runs, the table, a sentence per backend, and the other differences, at most `width` columns wide."""
    runs = [("A", one), ("B", two)] if one.plan.run != two.plan.run else [("A and B", one)]
    lines = [line for name, stored in runs for line in wrapped(f"{name}: {_origin(stored)}", width)]
    lines += ["", *_table(comparison.outcomes, width), ""]
    for outcome in comparison.outcomes:
        lines += wrapped(sanitize(outcome.sentence, _SENTENCE), width)
    if any(MOST in (o.n_a, o.n_b) for o in comparison.outcomes):
        lines += wrapped(f"only the newest {MOST} iterations of a backend are compared", width)
    rest = [(run, names) for run, names in (("A", comparison.rest_a), ("B", comparison.rest_b)) if names]
    if rest:
        texts = [f"{', '.join(sanitize(name, 60) for name in names)} (only in {run})" for run, names in rest]
        lines += wrapped(f"not compared: {'; '.join(texts)}", width)
    if comparison.differences:
        lines.append("")
    for d in comparison.differences:
        check = sanitize(f"{d.level} {d.code}: {d.text}" + (f"; fix: {d.todo}" if d.todo else ""), _SENTENCE)
        lines += wrapped(check, width)
    return "".join(line.rstrip() + "\n" for line in lines)


def _origin(stored: StoredRun) -> str:
    label = f" [{sanitize(stored.label)}]" if stored.label else ""
    note = f"; {sanitize(stored.note, 2000)}" if stored.note else ""
    start = sanitize(stored.plan.created_utc[:16].replace("T", " "))
    run, state, version = sanitize(stored.plan.run, 40), sanitize(stored.state), sanitize(stored.llmtui, 40)
    return f"run {run}{label}, {state}, started {start} UTC, llmtui {version}{note}"


def _table(outcomes: Sequence[Outcome], width: int) -> list[str]:
    """A heading and a row per backend. Names are shortened to fit `width`."""
    used = list(dict.fromkeys(outcome.metric for outcome in outcomes))
    # Of each metric, both columns have one unit and one number of decimals.
    scales = {
        m: scale_of([v for o in outcomes if o.metric == m for v in (o.median_a, o.median_b)], METRICS[m].unit)
        for m in used
    }
    unit = f" {scales[used[0]].unit}" if len(used) == 1 else ""
    columns = [
        ["backend", *(_row_name(o) for o in outcomes)],
        ["by", *(METRICS[o.metric].titled(scales[o.metric].unit) for o in outcomes)],
        ["n A", *(str(o.n_a) for o in outcomes)],
        ["n B", *(str(o.n_b) for o in outcomes)],
        [f"median A{unit}", *(scales[o.metric].text(o.median_a) for o in outcomes)],
        [f"median B{unit}", *(scales[o.metric].text(o.median_b) for o in outcomes)],
        ["slowdown", *(_slowdown(o) for o in outcomes)],
    ]
    head = "medians"
    if len(used) == 1:
        head = f"{METRICS[used[0]].title} (median)"
        del columns[1]
    left = len(columns) - 1 - _NUMBERS
    widths = [max(map(cells_wide, column)) for column in columns]
    widths[0] = max(len("backend"), min(widths[0], width - sum(widths[1:]) - 2 * (len(widths) - 1)))
    columns[0] = [fit(name, widths[0]) for name in columns[0]]
    lines = [f"{head}; slowdown above 1x: B is slower than A; below 1x: B is faster"]
    for row in zip(*columns, strict=True):
        cells = []
        for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (wide - cells_wide(cell))
            cells.append(padding + cell if left <= place < left + _NUMBERS else cell + padding)
        lines.append("  ".join(cells))
    return lines


def _row_name(outcome: Outcome) -> str:
    if outcome.a == outcome.b:
        return sanitize(outcome.a, 2 * _NAME)
    return f"{sanitize(outcome.a, _NAME)} / {sanitize(outcome.b, _NAME)}"


def _slowdown(outcome: Outcome) -> str:
    slowdown = outcome.slowdown
    if slowdown is None:
        return DASH
    ratio, low, high = slowdown
    if low is None or high is None:
        return f"{times(ratio)}x"
    middle, least, most = digits(ratio, low, high)
    return f"{middle}x ({least} to {most})"


def comparison_json(one: StoredRun, two: StoredRun, comparison: Across, gated: Gated | None) -> str:
    """The comparison as an indented JSON document.

    `a` and `b` are the runs. Each item of `backends` has its name in A and in B, the compared `metric` (null if none is
    comparable; `instead_of` is the requested metric if that differs, and `reason` says why), the number of samples, the
    medians (s, or tokens/s), and `slowdown`: B's time as a multiple of A's, with its interval from `low` to `high` at
    `level` (null if there are too few samples). `shown` is "slower", "faster" or null; `p`, `could_show` and `paired`
    are those of llmtui.stats.compare. `failed_a` of `tried_a` iterations failed in A; `fails_more` is true if B fails
    significantly more often. `differences` are the other differences between the runs. `gate` is null if none was
    requested; its `holds` is null if it is undecided.
    """
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "a": _run(one),
        "b": _run(two),
        "metric": comparison.metric,
        "level": comparison.level,
        "backends": [_compared(outcome) for outcome in comparison.outcomes],
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


def _compared(outcome: Outcome) -> dict[str, Any]:
    comparison, leading = outcome.comparison, outcome.leading
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
        "p": comparison.p if comparison is not None else None,
        "could_show": comparison.could_show if comparison is not None else None,
        "paired": comparison is not None and comparison.paired,
        "failed_a": outcome.failed_a,
        "tried_a": outcome.tried_a,
        "failed_b": outcome.failed_b,
        "tried_b": outcome.tried_b,
        "fails_more": outcome.fails_more,
    }
