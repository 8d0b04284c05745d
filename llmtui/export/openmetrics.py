"""A run as OpenMetrics text (version 1.0): for a Prometheus that scrapes a run, or a file beside others.

Units are part of the names, and base units: seconds, ratios. Each family has its samples together; `# EOF` ends the
text. Counts are of the current attempt of a backend, so a rerun begins at 0, as a counter may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from llmtui.model import Level
from llmtui.model.turn import Percentiles
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.run import RunView
from llmtui.stats.metrics import ENERGY, METRICS, Metric, MetricKey
from llmtui.stats.summary import Spread, percentile
from llmtui.text import sanitize

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PHASES = ("starting", "running", "paused", "done", "stopping")
#: Outcomes of requests, which are fields of `LevelFigures`.
_OUTCOMES = ("finished", "failed", "refused", "timed_out", "unfinished")
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}
#: Figures of power in a summary: name and unit of their family, and what it says.
_POWER = {
    "joules_per_token": ("energy_per_token_joules", "joules", f"Median {ENERGY.title}. {ENERGY.doc}"),
    "joules_per_token_above_idle": (
        "energy_per_token_above_idle_joules",
        "joules",
        "The same above the idle power before the run; may be negative.",
    ),
    "watts": ("power_watts", "watts", "Median of the mean power of the meters."),
}
Labels = Mapping[str, str]


class Family(NamedTuple):
    """A metric family: its samples are (what comes after its name, labels, value)."""

    name: str
    kind: Literal["gauge", "counter", "info", "stateset", "summary"]
    help: str
    samples: Sequence[tuple[str, Labels, float]]
    unit: str = ""


def openmetrics(run_view: RunView) -> str:
    """Return the text."""
    lines = []
    for family in _families(run_view):
        if not family.samples:
            continue
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        for end, labels, value in family.samples:
            of = ",".join(f'{name}="{_escaped(sanitize(text, 200))}"' for name, text in labels.items())
            lines.append(f"{family.name}{end}{f'{{{of}}}' if of else ''} {value:.17g}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _families(run_view: RunView) -> Iterator[Family]:
    yield from _of_run(run_view)
    at = list(_places(run_view))
    for key, metric in METRICS.items():
        yield _median(at, key, metric)
    yield from _of_power(at)
    yield from (_requests if run_view.plan.levels else _iterations)(run_view)
    if run_view.plan.levels:
        yield from _percentiles(run_view)
    under_way = [("", {"backend": name}, _in_flight(view)) for name, view in run_view.backends.items()]
    yield Family("llmtui_in_flight_requests", "gauge", "Requests under way now.", under_way, "requests")
    sizes = [("", {"backend": n}, float(v.rss_bytes)) for n, v in run_view.backends.items() if v.rss_bytes is not None]
    yield Family("llmtui_server_memory_bytes", "gauge", "Resident memory of the server.", sizes, "bytes")


def _of_run(run_view: RunView) -> Iterator[Family]:
    plan, machine = run_view.plan, run_view.machine
    yield Family(
        "llmtui_build",
        "info",
        "The llmtui that measured, and its Python.",
        [("_info", {"version": machine.llmtui, "python": machine.python}, 1)],
    )
    of_run = {"run": plan.run, "created_utc": plan.created_utc, "kind": "load" if plan.levels else "race"}
    yield Family("llmtui_run", "info", "The run.", [("_info", of_run, 1)])
    servers = [
        (
            "_info",
            {
                "backend": name,
                "framework": view.backend.framework,
                "model": view.model,
                "weights": view.weights,
                "version": view.state.version,
                "state": view.state.state,
            },
            1.0,
        )
        for name, view in run_view.backends.items()
    ]
    yield Family("llmtui_backend", "info", "The backends, and what each is doing.", servers)
    phases = [("", {"llmtui_run_phase": phase}, float(phase == run_view.run.phase)) for phase in _PHASES]
    yield Family("llmtui_run_phase", "stateset", "What the run is doing.", phases)


def _places(run_view: RunView) -> Iterator[tuple[Labels, BackendView, Level | None]]:
    """Each backend, of a load at each level, with the labels that say so."""
    for name, view in run_view.backends.items():
        levels: list[Level | None] = [*run_view.levels_shown]
        for level in levels or [None]:
            labels = {"backend": name} | ({"level": level.title} if level is not None else {})
            yield labels, view, level


def _median(at: Sequence[tuple[Labels, BackendView, Level | None]], key: MetricKey, metric: Metric) -> Family:
    name, unit = median_name(metric)
    samples = []
    for labels, view, level in at:
        spread = (view if level is None else view.at(level.number)).summary.spread(key)
        if spread is not None:
            samples.append(("", labels, spread.median))
    over = "the turns" if metric.of_turn else "the iterations, or of the medians of the turns of a level"
    return Family(name, "gauge", f"Median {metric.title} of {over}. {metric.doc}", samples, unit)


def _of_power(at: Sequence[tuple[Labels, BackendView, Level | None]]) -> Iterator[Family]:
    """Energy per output token and power, of those backends for which they were measured."""
    errors, meters = list[tuple[str, Labels, float]](), list[tuple[str, Labels, float]]()
    medians: dict[str, list[tuple[str, Labels, float]]] = {field: [] for field in _POWER}
    for labels, view, level in at:
        of = view if level is None else view.at(level.number)
        for field, samples in medians.items():
            spread: Spread | None = getattr(of.summary, field)
            if spread is not None:
                samples.append(("", labels, spread.median))
        if hidden := of.figures.energy_errors:
            errors.append(("", labels, percentile(hidden, 0.5)))
        meters += [("_info", {**labels, "of": " + ".join(names)}, 1.0) for names in sorted(of.figures.meters)]
    for field, (name, unit, words) in _POWER.items():
        yield Family(f"llmtui_median_{name}", "gauge", words, medians[field], unit)
    words = "How far the energy per output token of a sample may be off by when the meters were read: the median."
    yield Family("llmtui_energy_per_token_error_joules", "gauge", words, errors, "joules")
    yield Family("llmtui_energy", "info", "What the energy is of; that of other parts is not comparable.", meters)


def median_name(metric: Metric) -> tuple[str, str]:
    """Return the name of the family of a metric's medians, and its unit, with which the name ends."""
    if metric.share:
        return f"llmtui_median_{metric.key}_ratio", "ratio"
    if not metric.rate:
        return f"llmtui_median_{metric.key}_seconds", "seconds"
    unit = "tokens_per_second" if metric.unit == "tokens/s" else "requests_per_second"
    what = metric.key.removesuffix("tokens_per_s").removesuffix("requests_per_s").rstrip("_")
    # "tokens_per_s" alone is the decode speed of one stream.
    return "_".join(filter(None, ("llmtui_median", what or ("decode" if "tokens" in unit else ""), unit))), unit


def _iterations(run_view: RunView) -> Iterator[Family]:
    samples = []
    for name, view in run_view.backends.items():
        for outcome, count in (("finished", view.summary.n), ("failed", view.summary.errors)):
            samples.append(("_total", {"backend": name, "outcome": outcome}, float(count)))
    yield Family("llmtui_iterations", "counter", "Measured iterations of the current attempt.", samples)


def _requests(run_view: RunView) -> Iterator[Family]:
    requests, turns = list[tuple[str, Labels, float]](), list[tuple[str, Labels, float]]()
    for labels, view, level in _places(run_view):
        assert level is not None
        figures = view.at_level(level.number)
        turns.append(("_total", {**labels, "outcome": "whole"}, float(figures.turns)))
        turns.append(("_total", {**labels, "outcome": "partial"}, float(figures.partial)))
        requests += [("_total", {**labels, "outcome": one}, float(getattr(figures, one))) for one in _OUTCOMES]
    yield Family("llmtui_turns", "counter", "Measured turns of the current attempt.", turns)
    yield Family("llmtui_requests", "counter", "Requests in the windows of the turns that count.", requests)


def _percentiles(run_view: RunView) -> Iterator[Family]:
    for quantity, title in (("ttft", "TTFT"), ("tpot", "TPOT"), ("latency", "latency")):
        samples = []
        for labels, view, level in _places(run_view):
            assert level is not None
            for quantile, value in _values(view.at_level(level.number), quantity):
                samples.append(("", {**labels, "quantile": quantile}, value))
        words = f"Percentiles of the {title} of all requests in the whole turns of a level."
        yield Family(f"llmtui_{quantity}_seconds", "summary", words, samples, "seconds")


def _values(figures: LevelFigures, quantity: str) -> list[tuple[str, float]]:
    of: Percentiles | None = getattr(figures, quantity)
    known = [(_QUANTILES[name], getattr(of, name)) for name in _QUANTILES] if of is not None else []
    return [(quantile, value) for quantile, value in known if value is not None]


def _in_flight(view: BackendView) -> float:
    if view.tick is not None:
        return float(view.tick.in_flight)
    return float(view.progress is not None)
