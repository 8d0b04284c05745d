"""One backend over the runs of the history: the median of each run in the order of time, and what changed between them.

Runs are one series if they did the same work under the same settings on the same hardware (`like`). Versions of the
server, its settings, the system and llmtui itself may change within a series: these changes are marked.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from llmtui.model import Backend, BackendState, Imported, Iteration, Level, Machine, Plan, Struct
from llmtui.stats.intervals import median_interval
from llmtui.stats.level_shifts import LevelShift, level_shifts
from llmtui.stats.metrics import ALL_METRICS, ENERGY, MetricKey
from llmtui.stats.same_work import different_backend_settings, different_settings, same_setup

#: A run with fewer samples is left out of a series.
LEAST_SAMPLES = 3
#: A run is disturbed if other programs were busy during more than this share of its samples.
_DISTURBED_SHARE = 0.5


class RunOfSeries(NamedTuple):
    """One run: `samples` and `states` of the newest attempt of each backend. Those of a load are turns at one level."""

    run: str
    created_utc: str
    label: str
    plan: Plan
    machine: Machine
    states: Mapping[str, BackendState]
    samples: Mapping[str, Sequence[Iteration]]


class Changed(Struct, frozen=True):
    """A property that differs from the run before in the series, in plain text; "" is unknown or none."""

    what: str
    before: str
    after: str


class RunPoint(Struct, frozen=True):
    """A run of a series: the median of `n` samples with its 95% interval (None for too few), in s or per second.

    `others` has the medians of the other backends of the run, `changes` what differs from the run before. The interval
    of an energy is wider by what the readings of the meters can hide.
    """

    run: str
    created_utc: str
    label: str
    n: int
    errors: int
    disturbed: bool
    median: float
    low: float | None
    high: float | None
    others: dict[str, float]
    changes: list[Changed]


class RunSeries(Struct, frozen=True):
    """The runs of a backend, the oldest first, and the shifts of its level. `level` is that of a load, "" in a race.

    `others_at` has for each shift the ratios of the other backends that have samples on both sides of it. `origin` says
    what is unknown if another tool measured the runs.
    """

    backend: str
    metric: MetricKey
    level: str
    points: list[RunPoint]
    shifts: list[LevelShift]
    others_at: list[dict[str, float]]
    origin: Imported | None = None
    #: What a series of energy is of, such as "package-0"; runs with other meters are not in it.
    meters: str = ""


def like(one: Plan, machine: Machine, other: Plan, other_machine: Machine) -> str:
    """Return why two runs are not of one series, else "": "tool", "hardware", "a race", "a load", "load", "prompts", or
    a setting of [run]."""
    if _tool(one) != _tool(other):
        return "tool"
    if machine.other_hardware(other_machine):
        return "hardware"
    if bool(one.levels) != bool(other.levels):
        return "a load" if other.levels else "a race"
    if same_setup(one, other):
        return ""
    if settings := different_settings(one.config, other.config):
        return settings[0]
    return "load" if one.load != other.load else "prompts"


def _tool(plan: Plan) -> str:
    """What measured a run, "" if llmtui did."""
    return plan.imported.tool if plan.imported is not None else ""


def series_of(runs: Sequence[RunOfSeries], backend: str, metric: MetricKey, level: Level | None = None) -> RunSeries:
    """Return the series of `backend` by `metric` over these runs, the oldest first; runs with few samples left out.

    `level` is that of a load at which the samples are turns.
    """
    meters = ""
    if metric == ENERGY.key:
        runs, meters = _of_same_meters(runs, backend)
    points: list[RunPoint] = []
    last: RunOfSeries | None = None
    for run in runs:
        values = _values(run.samples.get(backend, ()), metric)
        if len(values) < LEAST_SAMPLES:
            continue
        points.append(_point(run, backend, metric, values, last))
        last = run
    shifts = level_shifts([point.median for point in points])
    return RunSeries(
        backend=backend,
        metric=metric,
        level=level.title if level is not None else "",
        points=points,
        shifts=shifts,
        others_at=list(_others_at(points, shifts)),
        origin=runs[-1].plan.imported if runs else None,
        meters=meters,
    )


def _values(samples: Sequence[Iteration], metric: MetricKey) -> list[float]:
    counted = (ALL_METRICS[metric].counted(sample) for sample in samples if sample.ok)
    return sorted(value for value in counted if value is not None)


def _point(
    run: RunOfSeries, backend: str, metric: MetricKey, values: list[float], last: RunOfSeries | None
) -> RunPoint:
    samples = run.samples[backend]
    low, high = median_interval(values, _hidden(samples) if metric == ENERGY.key else 0.0) or (None, None)
    others = {name: found for name, of in run.samples.items() if name != backend and (found := _values(of, metric))}
    return RunPoint(
        run=run.run,
        created_utc=run.created_utc,
        label=run.label,
        n=len(values),
        errors=sum(not sample.ok for sample in samples),
        disturbed=sum(sample.disturbed for sample in samples) > _DISTURBED_SHARE * len(samples),
        median=statistics.median(values),
        low=low,
        high=high,
        others={name: statistics.median(found) for name, found in others.items() if len(found) >= LEAST_SAMPLES},
        changes=list(_changes(last, run, backend)) if last is not None else [],
    )


def _changes(last: RunOfSeries, run: RunOfSeries, backend: str) -> Iterator[Changed]:
    """What differs between two successive runs of a series. A value that one of them lacks does not count."""
    was, now = (of.states.get(backend, BackendState(name=backend)) for of in (last, run))
    for what, first, second in (
        ("version", was.version, now.version),
        ("model", was.model, now.model),
        ("weights", was.weights, now.weights),
        ("threads", _count(was.threads), _count(now.threads)),
        ("device", was.device, now.device),
        ("workers", _workers(last.plan), _workers(run.plan)),
        ("llmtui", last.machine.llmtui, run.machine.llmtui),
        ("system", last.machine.os, run.machine.os),
        ("Python", last.machine.python, run.machine.python),
        ("governor", last.machine.governor, run.machine.governor),
    ):
        if first and second and first != second:
            yield Changed(what=what, before=first, after=second)
    backends = [next((b for b in of.plan.public().backends if b.name == backend), Backend()) for of in (last, run)]
    if different := different_backend_settings(*backends):
        yield Changed(what="settings", before="", after=", ".join(different))
    beside = [sorted(of.samples.keys() - {backend}) for of in (last, run)]
    if beside[0] != beside[1]:
        yield Changed(what="other backends", before=", ".join(beside[0]), after=", ".join(beside[1]))


def _workers(plan: Plan) -> str:
    return f"{plan.workers.count}{' of a cluster' if plan.workers.scheduler else ''}" if plan.levels else ""


def _count(number: int | None) -> str:
    return str(number) if number else ""


def _others_at(points: Sequence[RunPoint], shifts: Sequence[LevelShift]) -> Iterator[dict[str, float]]:
    for shift in shifts:
        before, after = points[shift.at - shift.before : shift.at], points[shift.at : shift.at + shift.after]
        ratios = {}
        for name in dict.fromkeys(name for point in after for name in point.others):
            sides = [[p.others[name] for p in side if name in p.others] for side in (before, after)]
            if all(len(side) >= LEAST_SAMPLES and min(side) > 0 for side in sides):
                ratios[name] = statistics.median(sides[1]) / statistics.median(sides[0])
        yield ratios


def records_energy(runs: Sequence[RunOfSeries], backend: str) -> bool:
    """Whether a sample of the backend has an energy per token."""
    return any(ENERGY.value(sample) is not None for run in runs for sample in run.samples.get(backend, ()))


def _hidden(samples: Sequence[Iteration]) -> float:
    """The median of the errors of the energies per token (J), 0 if none is known."""
    powers = [sample.power for sample in samples if sample.ok and sample.power is not None]
    errors = [power.joules_per_token_error for power in powers if power.joules_per_token_error is not None]
    return statistics.median(errors) if errors else 0.0


def _of_same_meters(runs: Sequence[RunOfSeries], backend: str) -> tuple[list[RunOfSeries], str]:
    """Return the runs with those samples only whose energy is of the newest meters of their backend, and the meters.

    Energies of different meters are not comparable, such as that of a card with that of a card and a processor.
    """
    newest: dict[str, list[str]] = {}
    for run in runs:
        for name, samples in run.samples.items():
            of = next((s.power.meters for s in reversed(samples) if s.power and s.power.joules_per_token), None)
            newest[name] = of or newest.get(name, [])
    same = []
    for run in runs:
        kept = {
            # A failure has no energy, and is counted.
            name: [s for s in samples if not s.ok or (s.power is not None and s.power.meters == newest[name])]
            for name, samples in run.samples.items()
        }
        same.append(run._replace(samples=kept))
    return same, " + ".join(newest.get(backend, []))
