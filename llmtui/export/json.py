"""A whole run as one JSON document: for programs, and to read the figures again without loss.

    schema_version  1; increases when a name changes its meaning
    run, created_utc, source    the run's id, when it was planned, the config it came from
    machine         cpu, cores, memory_bytes, os, python, llmtui (version), `cpu_limit` (of a container, in cores),
                    `unseen` (what this system does not show)
    config          the settings of the run
    backends        per backend: `backend` (as configured, no secrets), `state`, `summary` (of the current attempt;
                    durations in s, rates in tokens/s; `p95` is that of these samples, type 7, from 20 on;
                    `left_out`: values that cannot be true), `ratio_to_fastest`, `iterations` (every attempt, with text,
                    `arrivals_ns` since the request was written, and `arrival_tokens`), `estimates` (of latency, ttft
                    and tokens_per_s: median and mean with their 95% intervals, null for too few samples;
                    `mean_withheld`: why the mean has none; `tail`: the percentile `share`, its `value` and
                    `limit`, null below 59 samples),
                    `comparable_to_fastest` (whether the ratio compares equal work, null without a ratio),
                    `start` (was running, own server, embedded, launched)
    comparisons     per pair of backends by the metric that counts, or by one per token if that is not comparable:
                    `backends`, `sentence`, `metric` (null if none is comparable), `instead_of` (the metric that it
                    replaces, with the `reason`), `slower`, `faster`, `ratio`, its interval `low` to `high` at `level`
                    (null for too few samples), `p` (corrected for the choice of the best, or the number of pairs),
                    `decided`, `n`, `paired` (by round), `could_show` (the ratio that n samples show 4 times of 5),
                    `more` (comparisons by other rates, likewise), `basis` ("rounds", "launches", or "apart": not in
                    turns, so without interval and decision), `launches` (of each server, if they are the basis)
    earlier_attempts    the verdicts of the newest earlier attempts by the metric that counts, the oldest first:
                    `attempt`, `backends` (the attempt of each that counted), `level` (of the intervals, if
                    `in_turns`), `fastest` ("" if none is shown to be), `line`
    verdict         `metric` (the one that counts, as configured), `decided_by` (the same, or one per token if the work
                    differed; null if none), `fastest` (the backend with the star, null without one), `withheld` (why
                    there is none although its lead is shown), `level`, `attempt`, `line` (the verdict in words),
                    `among` (the backends that it is the fastest of: those that are not comparable to it are left out)
    checks          the fairness checks: `code`, `level` (void, warning, note), `backends`, `text` (the evidence),
                    `todo` (the fix), `sides` (backends on the same side do not differ), `spoils` (metrics)
    absent          the frameworks that were wanted and not on this machine: `framework`, `reason`, `remedy`
    others          other servers of this machine: `framework`, `url`, `models`
    accuracy        the newest record of `llmtui accuracy` on this machine (llmtui.model.accuracy), null without one
                    and with workers of a cluster
    prompts         `[prompts]` with the `facts` of its file; only if requests have prompts of their own
    variants        only of a grid: by backend, which backend of the config it was made from (`of`), and its settings

A load also has these; its `backends`, `comparisons`, `verdict` and `checks` are those of the level that counts:

    load            `[load]` as configured
    slo             `[slo]` as configured, null without objectives
    levels          per level: `level` (its number, `streams` or `rate`), `title`, `counts` (whether it is the level
                    that counts), `backends` (per backend `name`, `summary` of its turns as samples, and `figures`: of
                    all requests of its turns, see llmtui.runview.level_figures), `comparisons`, `verdict`, `checks`,
                    `tails` (of the best backend and each other with 10 rounds or more: p95 and p99 of TTFT and latency
                    over all rounds, as `share` of a `quantity`, with `slower`, `faster`, their values, `ratio`, and
                    the interval of this ratio alone)
    turns           every turn (llmtui.model.turn)
    search          what a search has found, or the knees of a sweep of 4 levels (llmtui.export.search), else null
    requests        every request of these turns, with text and arrivals, as in `iterations`

Every field is present, null if unknown. Names inside are those of llmtui.model and llmtui.stats.summary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from llmtui.export.search import SearchRecord, search_record
from llmtui.export.table import rows_of
from llmtui.model import (
    Absent,
    Backend,
    BackendState,
    DiscoveredServer,
    Iteration,
    Level,
    Load,
    Machine,
    Prompts,
    RunConfig,
    Slo,
    Struct,
    Turn,
    Variant,
)
from llmtui.model.accuracy import Record
from llmtui.runview.earlier import EarlierAttempt
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.run import RunView
from llmtui.stats.checks import Check
from llmtui.stats.compare import Basis, Comparison
from llmtui.stats.intervals import Estimate
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import Summary
from llmtui.stats.tails import Tail
from llmtui.stats.verdict import Pair, Verdict
from llmtui.text import sanitize

SCHEMA_VERSION = 1
#: DEL, C1, bidirectional controls, separators, zero-width characters: JSON allows them, and terminals obey some.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_SECRET = frozenset({"api_key", "headers", "secrets"})
#: Fields of the structs that are not in the document: secrets, and what only the engine needs.
LEFT_OUT: dict[type, frozenset[str]] = {
    Backend: _SECRET,
    BackendState: frozenset({"listener_uids"}),
    EarlierAttempt: frozenset({"brief"}),
    Turn: frozenset({"buckets"}),
}
#: Fields that a race does not have: those of requests and turns.
_OF_REQUESTS = (
    "level turn request share worker written_s due_s waited_s in_flight requests_per_s output_tokens_per_s "
    "goodput_per_s attainment talk talk_turn thought_s"
)
LOADS_ONLY: dict[type, frozenset[str]] = {
    Iteration: frozenset(_OF_REQUESTS.split()),
    Summary: frozenset(key for key, metric in METRICS.items() if metric.of_turn),
}
#: Names of the document that a race does not have.
OF_LOADS = frozenset({"load", "slo", "levels", "turns", "search"})


class BackendRecord(Struct, frozen=True):
    """One backend of the document."""

    backend: Backend
    state: BackendState
    summary: Summary
    ratio_to_fastest: float | None
    iterations: list[Iteration]
    estimates: dict[str, Estimate] = {}
    comparable_to_fastest: bool | None = None
    start: str = ""


class ComparisonRecord(Struct, frozen=True):
    """One pair of backends of the document."""

    backends: list[str]
    sentence: str
    slower: str | None = None
    faster: str | None = None
    metric: MetricKey | None = None
    instead_of: MetricKey | None = None
    reason: str = ""
    n: int = 0
    paired: bool = False
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    p: float | None = None
    decided: bool = False
    could_show: float | None = None
    more: list[ComparisonRecord] = []
    basis: Basis | None = None
    launches: int = 0


class VerdictRecord(Struct, frozen=True):
    """What the race says as a whole."""

    metric: MetricKey
    decided_by: MetricKey | None
    fastest: str | None
    withheld: str
    level: float
    attempt: int
    line: str
    among: list[str] = []


class BackendAtLevel(Struct, frozen=True):
    """One backend at a level of a load."""

    name: str
    summary: Summary
    figures: LevelFigures


class LevelRecord(Struct, frozen=True):
    """One level of a load."""

    level: Level
    title: str
    counts: bool
    backends: list[BackendAtLevel]
    comparisons: list[ComparisonRecord]
    verdict: VerdictRecord
    checks: list[Check]
    tails: list[Tail] = []


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The document. Reads back with `msgspec.json.decode(text, type=RunRecord)`."""

    schema_version: int
    run: str
    created_utc: str
    source: str
    machine: Machine
    config: RunConfig
    backends: list[BackendRecord]
    comparisons: list[ComparisonRecord] = []
    checks: list[Check] = []
    accuracy: Record | None = None
    absent: list[Absent] = []
    others: list[DiscoveredServer] = []
    earlier_attempts: list[EarlierAttempt] = []
    verdict: VerdictRecord | None = None
    load: Load | None = None
    slo: Slo | None = None
    levels: list[LevelRecord] = []
    turns: list[Turn] = []
    search: SearchRecord | None = None
    prompts: Prompts | None = None
    variants: dict[str, Variant] = {}
    requests: list[Iteration] = []


def run_json(run_view: RunView) -> str:
    """The run as an indented JSON document with a line end."""
    return "".join(json_pieces(run_view))


def json_pieces(run_view: RunView) -> Iterator[str]:
    """The same piece by piece: the requests of a load are read from the history while they are written."""
    document = _document(run_view)
    if not run_view.plan.levels:
        yield document
        return
    yield document.removesuffix("\n}\n") + ',\n  "requests": ['
    before = "\n    "
    for turn in _turns(run_view):
        for batch in run_view.requests(turn):
            for request in batch:
                full = full_sample(request, load=True)
                yield before + escaped(msgspec.json.encode(full).decode())
                before = ",\n    "
    yield ("\n  " if before[0] == "," else "") + "]\n}\n"


def _turns(run_view: RunView) -> list[Turn]:
    turns = [turn for backend_view in run_view.backends.values() for turn in backend_view.turns]
    return sorted(turns, key=lambda turn: turn.seq)


def _document(run_view: RunView) -> str:
    """The document, of a load without its requests."""
    plan = run_view.plan.public()
    public = {backend.name: backend for backend in plan.backends}
    verdict = run_view.verdict()
    estimates = {metric: run_view.estimates(metric) for metric, of in METRICS.items() if of.estimated}
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run=plan.run,
        created_utc=plan.created_utc,
        source=plan.source,
        machine=run_view.machine,
        config=plan.config,
        backends=[
            BackendRecord(
                backend=public[row.backend_view.backend.name],
                state=row.backend_view.state,
                summary=row.backend_view.summary,
                ratio_to_fastest=row.median_ratio,
                iterations=list(row.backend_view.iterations),
                estimates={m: of[name] for m, of in estimates.items() if (name := row.backend_view.backend.name) in of},
                comparable_to_fastest=row.alike if row.median_ratio is not None else None,
                start=row.backend_view.backend.start_words,
            )
            for row in rows_of(run_view)
        ],
        comparisons=[_compared(pair) for pair in verdict.pairs],
        checks=verdict.checks,
        accuracy=run_view.own_error(),
        absent=plan.absent,
        others=plan.others,
        earlier_attempts=run_view.earlier_attempts(),
        verdict=_verdict(verdict),
        load=plan.load,
        slo=plan.slo if plan.slo.limits else None,
        levels=[_level(run_view, level) for level in run_view.levels_shown],
        turns=_turns(run_view),
        search=search_record(run_view),
        prompts=plan.prompts,
        variants=plan.variants,
    )
    # Requests follow piece by piece.
    given = {"prompts": plan.prompts.given, "variants": bool(plan.variants)}
    absent = {"requests", *(name for name, there in given.items() if not there)}
    only = {RunRecord: frozenset(absent)} if plan.levels else LOADS_ONLY | {RunRecord: OF_LOADS | absent}
    return plain_json(full(record, LEFT_OUT | only))


def _level(run_view: RunView, level: Level) -> LevelRecord:
    verdict = run_view.verdict(level=level.number)
    return LevelRecord(
        level=level,
        title=level.title,
        counts=verdict.at is not None and verdict.at.counts,
        backends=[
            BackendAtLevel(name=name, summary=view.at(level.number).summary, figures=view.at_level(level.number))
            for name, view in run_view.backends.items()
        ],
        comparisons=[_compared(pair) for pair in verdict.pairs],
        verdict=_verdict(verdict),
        checks=verdict.checks,
        tails=[tail for tail in verdict.tails if tail.bounded],
    )


def plain_json(value: Any) -> str:
    """`value` as an indented JSON document with a line end, in which invisible characters are escaped."""
    return escaped(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()) + "\n"


def escaped(document: str) -> str:
    """A JSON document in which invisible characters are escaped."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def full_sample(sample: Iteration | Turn, *, load: bool) -> dict[str, Any]:
    """All fields of an iteration or a turn, as the document has them; `load`: with those that only loads have."""
    of: dict[str, Any] = full(sample, LEFT_OUT if load else LEFT_OUT | LOADS_ONLY)
    return of


def _compared(pair: Pair) -> ComparisonRecord:
    comparison, leading = pair.comparison, pair.leading
    more = [_recorded(pair, other, sanitize(other.sentence, 400)) for other in pair.more]
    if comparison is None:
        return ComparisonRecord(
            backends=[pair.one, pair.two],
            sentence=pair.sentence,
            instead_of=leading.instead_of,
            reason=leading.reason,
            more=more,
        )
    return msgspec.structs.replace(_recorded(pair, comparison, pair.sentence), more=more)


def _recorded(pair: Pair, comparison: Comparison, sentence: str) -> ComparisonRecord:
    leading = pair.leading
    return ComparisonRecord(
        backends=[pair.one, pair.two],
        sentence=sentence,
        slower=comparison.slower,
        faster=comparison.faster,
        metric=comparison.metric,
        instead_of=leading.instead_of,
        reason=leading.reason,
        n=comparison.n,
        paired=comparison.paired,
        ratio=comparison.ratio,
        low=comparison.low if comparison.bounded else None,
        high=comparison.high if comparison.bounded else None,
        level=comparison.level,
        p=comparison.p,
        decided=comparison.decided,
        could_show=comparison.could_show,
        basis=comparison.basis,
        launches=comparison.launches,
    )


def _verdict(verdict: Verdict) -> VerdictRecord:
    # A table of latencies that are not comparable has no star, but the metric in their place decides.
    starred = verdict.board.fastest if verdict.counts and not verdict.withheld else ""
    return VerdictRecord(
        metric=verdict.asked,
        decided_by=verdict.counting,
        fastest=starred or None,
        withheld=verdict.withheld,
        level=verdict.level,
        attempt=verdict.attempt,
        line=verdict.line,
        among=[standing.name for standing in verdict.board.standings if standing.ratio is not None] if starred else [],
    )


def full(value: Any, left_out: Mapping[type, frozenset[str]] = LEFT_OUT) -> Any:
    """`value` with the fields that our structs omit at their default, but without those in `left_out`."""
    if isinstance(value, msgspec.Struct):
        without = left_out.get(type(value), frozenset())
        return {name: full(v, left_out) for name, v in msgspec.structs.asdict(value).items() if name not in without}
    if isinstance(value, list):
        return [full(v, left_out) for v in value]
    if isinstance(value, dict):
        return {name: full(v, left_out) for name, v in value.items()}
    return value
