"""`llmtui compare`: prints how two runs differ, as text or JSON, and applies a gate.

The statistics are in llmtui.stats.compare_runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llmtui import exit_codes
from llmtui.cli.compare_json import Gated, comparison_json
from llmtui.cli.compare_markdown import comparison_markdown, difference_lines, gate_markdown
from llmtui.cli.compare_table import table_lines
from llmtui.cli.history import opened
from llmtui.cli.output import STDOUT, output_columns, report, write_output
from llmtui.cli.run_groups import earlier, groups, load_one, runs_of_labels
from llmtui.model.errors import UsageError
from llmtui.runview.against import side_of
from llmtui.runview.energy_changes import energy_changes
from llmtui.runview.found_changes import OVER_RUNS, WITHIN, FoundChange, found_change
from llmtui.runview.run import RunView
from llmtui.stats.compare import jointly
from llmtui.stats.compare_runs import across, counting, paired
from llmtui.stats.gate import gate
from llmtui.stats.metrics import METRICS, RATIOS, MetricKey
from llmtui.stats.rounds import MOST
from llmtui.stats.run_differences import Side
from llmtui.stats.run_energy import WITHIN as ENERGY_WITHIN
from llmtui.stats.run_energy import EnergyChange
from llmtui.stats.run_outcomes import Across
from llmtui.store.accuracy_record import newest
from llmtui.store.errors import SeveralRunsError
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize
from llmtui.text.cells import wrapped
from llmtui.text.format import plural

_SENTENCE = 4_000
#: Differences of two runs that are of single levels, or of the objectives, which are compared apart.
_OF_LEVELS = frozenset({"load", "objectives"})


def compare_runs(
    first: str,
    second: str,
    path: str,
    *,
    named: Sequence[str] = (),
    metric: MetricKey | None = None,
    percent: float | None = None,
    json_file: Path | None = None,
    markdown: Path | None = None,
    count: int = 1,
) -> int:
    """Print how the backends of run `second` compare with those of run `first`. Return the exit code.

    Without a `metric` it is by the one of `counting`. `named` are pairs as "NAME_A=NAME_B". `count` is the number of
    runs of each side, the newest up to these; of two labels with several runs each it is all their runs.
    Raises StoreError, and UsageError if the pairs are invalid or a side has only one run.
    """
    found = _loaded(path, first, second, count)
    one, two = found.a[-1], found.b[-1]
    of_a = [_view(stored) for stored in found.a]
    of_b = of_a if two is one else [_view(stored) for stored in found.b]
    a, b = side_of(of_a[-1]), side_of(of_b[-1])
    if metric is not None:
        _check_metric(metric, a, b)
    comparison = across(
        a,
        b,
        _pairs(a, b, named),
        metric or counting(a, b),
        record=newest(b.machine),
        before=[side_of(view) for view in of_a[:-1]],
        after=[side_of(view) for view in of_b[:-1]],
        earlier=[side_of(_view(stored)) for stored in found.earlier],
    )
    beside = Beside(_found_changes((of_a, of_b), comparison), energy_changes(of_a, of_b, comparison.outcomes))
    gated = Gated(percent, *gate(comparison, percent)) if percent is not None else None
    for word, stored, side in (("A", one, found.a), ("B", two, found.b)):
        if stored.state == "running":
            report(f"run {word} is still running; comparing its iterations so far")
        if len(side) < found.wanted:
            report(f"{word} has {len(side)} runs with the same setup and label, not {found.wanted}; comparing these")
    written = _write(found, comparison, beside, gated, json_file, markdown)
    if not any(o.n_a and o.n_b for o in comparison.outcomes):
        report("nothing to compare: no backend has samples in both runs")
        return exit_codes.FAILED
    if gated is not None:
        _report_gate(gated, relative=any(o.others for o in comparison.outcomes))
    if not written or (gated is not None and gated.broken):
        return exit_codes.FAILED
    return exit_codes.SILENT if gated is not None and gated.silent else exit_codes.OK


def _check_metric(metric: MetricKey, *sides: Side) -> None:
    """Raise UsageError for a metric that a run of this kind does not have."""
    of = METRICS[metric]
    for side in sides if of.of_turn else ():
        if side.at is None:
            why = f"run {side.run} is a race, and only loads have {of.title}"
        elif of.of_objectives and not side.at.objectives:
            why = f"run {side.run} has no objectives, which {of.title} are counted by (--slo)"
        else:
            continue
        raise UsageError(f"--metric {metric}: {why}; choose {', '.join(m for m in RATIOS if not METRICS[m].of_turn)}")


class Beside(NamedTuple):
    """What is compared beside the metric: what the runs found of a load, and energy per token."""

    found: Sequence[FoundChange] = ()
    energy: Sequence[EnergyChange] = ()


NOTHING_BESIDE = Beside()


class _Loaded(NamedTuple):
    """The runs of both sides, oldest first, and runs like A from which the spread between runs is known.

    `wanted` is the number of runs of each side that were asked for.
    """

    a: list[StoredRun]
    b: list[StoredRun]
    earlier: list[StoredRun]
    wanted: int = 1


def _loaded(path: str, first: str, second: str, count: int) -> _Loaded:
    with opened(path) as store:
        if count == 1:
            count = runs_of_labels(store, first, second) or 1
        if count > 1:
            one, two = load_one(store, first), load_one(store, second)
            if one.plan.run == two.plan.run:
                raise UsageError(f"--runs: A and B are the same run, {one.plan.run}; name two runs")
            return _Loaded(*groups(store, one, two, count), [], count)
        try:
            one = store.load(first)
            if store.find(second) == one.plan.run:
                return _Loaded([one], [one], [])
            two = store.load(second)
        except SeveralRunsError as error:
            raise UsageError(f"{error}, or add --runs N: the newest N runs of each side") from None
        return _Loaded([one], [two], earlier(store, one, two))


def _view(stored: StoredRun) -> RunView:
    run_view = RunView(stored.plan, keep=0)
    run_view.apply(stored.hello())
    run_view.ended = stored.state != "running"
    return run_view


def _found_changes(views: tuple[list[RunView], list[RunView]], comparison: Across) -> list[FoundChange]:
    """How the sides compare in what their runs found of a load; [] for races, and where the work differed."""
    if not all(side[-1].plan.levels for side in views):
        return []
    unlike = {d.backend for d in comparison.differences if d.level == "void" and d.code not in _OF_LEVELS}
    changes = []
    for outcome in comparison.outcomes:
        if not unlike & {"", outcome.a}:
            change = found_change(*views, (outcome.a, outcome.b), outcome.names)
            changes += [change] if change is not None else []
    return changes


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


def _report_gate(gated: Gated, *, relative: bool) -> None:
    name = f"gate of {gated.percent:g}%"
    for sentence in gated.broken:
        report(f"{name} failed: {sentence}")
    for sentence in gated.silent:
        report(f"{name} undecided: {sentence}")
    if gated.holds:
        report(f"{name} passed{', relative to the other backends' if relative else ''}")


def _write(
    found: _Loaded,
    comparison: Across,
    beside: Beside,
    gated: Gated | None,
    json_file: Path | None,
    markdown: Path | None,
) -> bool:
    """Print the comparison and write the files. Return False if one cannot be written."""
    if STDOUT not in (json_file, markdown):
        print(comparison_text(found.a, found.b, comparison, output_columns(), beside), end="")
    written = True
    if json_file is not None:
        document = comparison_json(found.a[-1], found.b[-1], comparison, gated, beside.found, beside.energy)
        written = write_output(json_file, document)
    if markdown is not None:
        text = comparison_markdown(origins(found.a, found.b), comparison, remarks(found.a, found.b, comparison, beside))
        written = write_output(markdown, text + gate_markdown(gated)) and written
    return written


def comparison_text(
    a: Sequence[StoredRun],
    b: Sequence[StoredRun],
    comparison: Across,
    width: int,
    beside: Beside = NOTHING_BESIDE,
) -> str:
    """Both runs, the table, a sentence per backend, and the other differences, at most `width` columns wide.

    `a` and `b` are the runs of the sides, oldest first.
    """
    lines = [line for text in origins(a, b) for line in wrapped(text, width)]
    lines += ["", *table_lines(comparison.outcomes, width), ""]
    for text in remarks(a, b, comparison, beside):
        lines += wrapped(text, width)
    if comparison.differences:
        lines.append("")
    for text in difference_lines(comparison):
        lines += wrapped(text, width)
    return "".join(line.rstrip() + "\n" for line in lines)


def origins(a: Sequence[StoredRun], b: Sequence[StoredRun]) -> list[str]:
    """Return a line on the runs of each side."""
    sides = [("A", a), ("B", b)] if a[-1].plan.run != b[-1].plan.run else [("A and B", a)]
    return [f"{name}: {_origins(runs)}" for name, runs in sides]


def remarks(a: Sequence[StoredRun], b: Sequence[StoredRun], comparison: Across, beside: Beside) -> list[str]:
    """Return a sentence for each backend, and what else is to be said of the figures: plain text."""
    texts = [outcome.sentence for outcome in comparison.outcomes]
    texts += [common.sentence for common in comparison.common if common.shown]
    texts += [text for change in beside.found for text in change.sentences]
    texts += [change.sentence for change in beside.energy]
    if a[-1].plan.run != b[-1].plan.run:
        texts += [WITHIN if len(a) == len(b) == 1 else OVER_RUNS] if beside.found else []
        texts += [ENERGY_WITHIN] if any(change.shown for change in beside.energy) else []
    if note := jointly([o.comparison for o in comparison.outcomes if o.comparison is not None]):
        texts.append(note)
    if any(MOST in (o.n_a, o.n_b) for o in comparison.outcomes):
        texts.append(f"only the newest {MOST} iterations of a backend are compared")
    rest = [(run, names) for run, names in (("A", comparison.rest_a), ("B", comparison.rest_b)) if names]
    if rest:
        only = [f"{', '.join(sanitize(name, 60) for name in names)} (only in {run})" for run, names in rest]
        texts.append(f"not compared: {'; '.join(only)}")
    return [sanitize(text, _SENTENCE) for text in texts]


def _origins(runs: Sequence[StoredRun]) -> str:
    """The newest run of a side, and the ids of the others."""
    text = _origin(runs[-1])
    if len(runs) == 1:
        return text
    others = ", ".join(sanitize(stored.plan.run, 40) for stored in reversed(runs[:-1]))
    return f"{text}; and {plural(len(runs) - 1, 'run')} before it: {others}"


def _origin(stored: StoredRun) -> str:
    label = f" [{sanitize(stored.label)}]" if stored.label else ""
    note = f"; {sanitize(stored.note, 2000)}" if stored.note else ""
    start = sanitize(stored.plan.created_utc[:16].replace("T", " "))
    run, state, version = sanitize(stored.plan.run, 40), sanitize(stored.state), sanitize(stored.llmtui, 40)
    measured_by = stored.plan.imported
    tool = f"imported from {sanitize(measured_by.title, 40)}" if measured_by is not None else f"llmtui {version}"
    return f"run {run}{label}, {state}, started {start} UTC, {tool}{note}"
