"""Makes runs of what the files of other tools say. Pure.

A file of requests that were sent one after the other becomes a race, anything else a load, in which each benchmark is
a turn: its requests are not independent of one another. The backends of an imported run never took turns.
"""

from __future__ import annotations

import dataclasses
import heapq
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from llmtui.config.loads import MAX_LEVELS, MAX_RATE, MAX_STREAMS
from llmtui.config.schema import MAX_BACKENDS
from llmtui.imports.benchmark import Benchmark, LoadOf, Request, Totals
from llmtui.imports.files import Read
from llmtui.imports.reading import TOO_LARGE, ImportRefused
from llmtui.model import (
    Backend,
    BackendState,
    Failure,
    Imported,
    Iteration,
    Level,
    Load,
    Plan,
    RunConfig,
    Turn,
    is_backend_name,
)
from llmtui.stats.turn_figures import TurnFigures
from llmtui.store.whole_run import WholeRun
from llmtui.text import sanitize
from llmtui.text.times import utc_text

#: What stands for a text that is unknown, where a plan has to have one.
UNKNOWN = "unknown"
_NAME = 40


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A benchmark with its file and the name of its backend."""

    path: Path
    benchmark: Benchmark
    backend: str

    @property
    def load(self) -> LoadOf:
        return self.benchmark.load


def runs_of(reads: Sequence[Read], usual_utc: dict[Path, str]) -> list[WholeRun]:
    """Return the runs: one for each tool and kind of load. Raises ImportRefused.

    `usual_utc` is when a file was written: of a benchmark that does not say when it began.
    """
    groups: dict[object, list[_Entry]] = {}
    for entry in _entries(reads):
        of = entry.load
        kind = (of.arrival, of.burstiness, of.cap) if of.rate else ()
        groups.setdefault((entry.benchmark.tool, kind), []).append(entry)
    return [_checked(entries, usual_utc) for entries in groups.values()]


def _checked(entries: list[_Entry], usual_utc: dict[Path, str]) -> WholeRun:
    try:
        return _run(entries, usual_utc)
    except OverflowError:
        raise ImportRefused(entries[0].path, TOO_LARGE) from None


def _run(entries: list[_Entry], usual_utc: dict[Path, str]) -> WholeRun:
    names = list(dict.fromkeys(entry.backend for entry in entries))
    if len(names) > MAX_BACKENDS:
        raise ImportRefused(entries[0].path, f"{len(names)} backends are more than {MAX_BACKENDS}; import fewer files")
    race = all(entry.load.streams == 1 and entry.benchmark.requests for entry in entries)
    load = Load() if race else _load(entries)
    starts = [entry.benchmark.started_utc or usual_utc[entry.path] for entry in entries]
    models = {entry.backend: entry.benchmark.model for entry in entries}
    counts = Counter({name: _count(entries, name, race=race) for name in names})
    plan = Plan(
        run=secrets.token_hex(4),
        created_utc=min(starts),
        config=RunConfig(
            prompt=UNKNOWN,
            iterations=max(1, *counts.values()),
            warmup=0,
            full_length=False,
            fresh_prompt=False,
            order="sequential",
        ),
        backends=[Backend(name=name, model=models[name], measured_by=entries[0].benchmark.tool) for name in names],
        load=load,
        imported=_origin(entries),
    )
    states = [BackendState(name=name, state="done", planned=counts[name], model=models[name]) for name in names]
    if race:
        return WholeRun(plan, states, _iterations(plan, entries, starts), [])
    return WholeRun(plan, states, [], _turns(plan, entries, starts))


def _origin(entries: list[_Entry]) -> Imported:
    unknown = dict.fromkeys(what for entry in entries for what in entry.benchmark.unknown)
    versions = dict.fromkeys(entry.benchmark.version for entry in entries if entry.benchmark.version)
    return Imported(
        tool=entries[0].benchmark.tool,
        version=next(iter(versions)) if len(versions) == 1 else "",
        files=list(dict.fromkeys(sanitize(entry.path.name, 120) for entry in entries)),
        unknown=["prompts", *(what for what in unknown if what != "prompts")],
    )


def _count(entries: list[_Entry], name: str, *, race: bool) -> int:
    """The samples of a backend: its requests, or its turns at the level that has the most."""
    own = [entry for entry in entries if entry.backend == name]
    if race:
        return sum(len(entry.benchmark.requests) for entry in own)
    return max(Counter((entry.load.streams, entry.load.rate) for entry in own).values())


# --- Names. ---


def _entries(reads: Sequence[Read]) -> list[_Entry]:
    """All benchmarks with the names of their backends: those of one server, or with the same given name, are one."""
    taken: dict[str, object] = {}
    found = []
    for read in reads:
        path, given = read.file
        commands = len(read.benchmarks) if read.benchmarks[0].tool == "hyperfine" else 0
        if given and commands > 1:
            raise ImportRefused(path, f"has {commands} commands, and {sanitize(given, 40)}= names only one")
        for number, benchmark in enumerate(read.benchmarks):
            key: object = benchmark.server or (path, number if commands else 0)
            name = _given(path, given) if given else _usual(path, benchmark, number if commands > 1 else -1)
            if given:
                key = given
            found.append(_Entry(path, benchmark, _free(name, key, taken)))
    return found


def _given(path: Path, name: str) -> str:
    if not is_backend_name(name):
        raise ImportRefused(path, f"{sanitize(name, 60)!r} cannot name a backend: 1 to 40 printable characters")
    return name


def _usual(path: Path, benchmark: Benchmark, number: int) -> str:
    """The command, the model, or the name of the file or of its folder."""
    stem = path.stem if benchmark.tool in ("hyperfine", "vLLM") else path.absolute().parent.name
    if number >= 0:
        stem = f"{stem[: _NAME - 5]} {number + 1}"
    for name in (benchmark.name, benchmark.model.rsplit("/", 1)[-1], stem):
        if (short := sanitize(name, _NAME).strip()) and is_backend_name(short):
            return short
    return benchmark.tool


def _free(name: str, key: object, taken: dict[str, object]) -> str:
    """`name`, or the first free one with a number, for what `key` identifies."""
    free, number = name, 2
    while taken.setdefault(free, key) != key:
        free, number = f"{name[: _NAME - 4]} {number}", number + 1
    return free


# --- A race. ---


def _iterations(plan: Plan, entries: list[_Entry], starts: list[str]) -> list[Iteration]:
    found: list[Iteration] = []
    numbers: Counter[str] = Counter()
    for entry, started in zip(entries, starts, strict=True):
        for request in entry.benchmark.requests:
            numbers[entry.backend] += 1
            found.append(
                Iteration(
                    run=plan.run,
                    backend=entry.backend,
                    attempt=1,
                    iteration=numbers[entry.backend],
                    phase="measured",
                    started_utc=_after(started, request.start_s),
                    seq=len(found) + 1,
                    **_figures(request),
                )
            )
    return found


def _after(started: str, start_s: float | None) -> str:
    """Return the time `start_s` seconds after `started`."""
    if not start_s:
        return started
    return utc_text(datetime.fromisoformat(started) + timedelta(seconds=start_s))


def _figures(request: Request) -> dict[str, Any]:
    if request.failure is not None:
        return {"error": request.failure}
    tpot_s = request.tpot_s or None
    return {
        "latency_s": request.latency_s,
        "ttft_s": request.ttft_s,
        "itl_s": request.itl_s,
        "tpot_s": tpot_s,
        "tokens_per_s": 1 / tpot_s if tpot_s else None,
        "output_tokens": request.output_tokens,
        "prompt_tokens": request.prompt_tokens,
        "stamp": "other",
    }


# --- A load. ---


def _load(entries: list[_Entry]) -> Load:
    """The load with the levels of all entries, in ascending order. Raises ImportRefused."""
    first = entries[0].load
    for entry in entries:
        if entry.load.streams > MAX_STREAMS or entry.load.rate > MAX_RATE or entry.load.cap > MAX_STREAMS:
            raise ImportRefused(entry.path, f"has a load above {MAX_STREAMS} streams or {MAX_RATE:g} requests/s")
    streams = sorted({entry.load.streams for entry in entries})
    rates = sorted({entry.load.rate for entry in entries if entry.load.rate})
    if max(len(streams), len(rates)) > MAX_LEVELS:
        raise ImportRefused(entries[0].path, f"has more than {MAX_LEVELS} levels; import fewer files")
    # A turn of one request at one stream would be a race.
    requests = max(2, Counter(_sent(entry.benchmark) for entry in entries).most_common(1)[0][0])
    if rates:
        return Load(
            request_rate=rates,
            arrival=first.arrival,
            burstiness=first.burstiness,
            max_concurrency=first.cap,
            requests=requests,
        )
    return Load(concurrency=streams if len(streams) > 1 else streams[0], requests=requests)


def _sent(benchmark: Benchmark) -> int:
    totals = benchmark.totals
    return totals.finished + totals.failed if totals is not None else len(benchmark.requests)


def _turns(plan: Plan, entries: list[_Entry], starts: list[str]) -> list[tuple[Turn, list[Iteration]]]:
    levels = {(level.streams, level.rate): level for level in plan.levels}
    rounds: Counter[tuple[str, int]] = Counter()
    found = []
    for seq, (entry, started) in enumerate(zip(entries, starts, strict=True), 1):
        level = levels[entry.load.streams, entry.load.rate]
        rounds[entry.backend, level.number] += 1
        turn = Turn(
            run=plan.run,
            backend=entry.backend,
            attempt=1,
            phase="measured",
            round=rounds[entry.backend, level.number],
            level=level.number,
            seq=seq,
            started_utc=started,
            state="whole",
        )
        found.append(_filled(turn, level, entry.benchmark))
    return found


def _filled(turn: Turn, level: Level, benchmark: Benchmark) -> tuple[Turn, list[Iteration]]:
    """The turn with its figures, and its requests."""
    if benchmark.totals is not None:
        return msgspec.structs.replace(turn, **_of_totals(benchmark.totals)), []
    timed = all(request.start_s is not None for request in benchmark.requests)
    ordered = sorted(benchmark.requests, key=lambda request: request.start_s or 0.0)
    under_way: list[float] = []
    samples = []
    for number, request in enumerate(ordered, 1):
        start_s = request.start_s or 0.0
        while under_way and under_way[0] <= start_s:
            heapq.heappop(under_way)
        heapq.heappush(under_way, start_s + (request.latency_s or 0.0))
        samples.append(
            turn.request(
                request=number,
                share="window",
                written_s=max(0.0, start_s) if timed else None,
                due_s=min(max(0.0, request.due_s), max(0.0, start_s)) if request.due_s is not None and timed else None,
                in_flight=len(under_way) if timed else None,
                **_figures(request),
            )
        )
    figures = TurnFigures(level)
    figures.add(samples)
    end_s = max((r.start_s or 0.0) + (r.latency_s or 0.0) for r in benchmark.requests) if timed else None
    # The window is open at its end: the last answer lies in it.
    window = (0.0, end_s * (1 + 1e-9)) if end_s else (None, None)
    return msgspec.structs.replace(turn, elapsed_s=end_s, **figures.figures(*window)), samples


def _of_totals(totals: Totals) -> dict[str, Any]:
    medians = {f"{quantity}_s": of.p50 for quantity, of in totals.percentiles.items()}
    tpot_s = medians.get("tpot_s")
    failed = Failure(kind="server", message="all requests failed") if not totals.finished else None
    return {
        **medians,
        "percentiles": totals.percentiles,
        "requests": totals.finished + totals.failed,
        "finished": totals.finished,
        "failed": totals.failed,
        "window_from_s": 0.0 if totals.window_s else None,
        "window_s": totals.window_s,
        "elapsed_s": totals.window_s,
        "requests_per_s": totals.requests_per_s,
        "output_tokens_per_s": totals.output_tokens_per_s,
        "output_tokens": totals.output_tokens,
        "prompt_tokens": totals.prompt_tokens,
        "tokens_per_s": 1 / tpot_s if tpot_s else None,
        "error": failed,
    }
