"""guidellm's report (`benchmarks.json`): a list of `benchmarks`, each with its requests, by what became of them.

Its inter-token latency is the mean time per token after the first one, which is llmtui's TPOT.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from llmtui.imports.benchmark import Benchmark, LoadOf, Request, Totals
from llmtui.imports.reading import (
    MAX_REQUESTS,
    ImportRefused,
    check_size,
    decode,
    duration_s,
    find,
    name_in,
    tokens,
    utc,
)
from llmtui.model import Failure, Percentiles, Quantity
from llmtui.text import sanitize

UNKNOWN = ["weights", "the machine and what else it did", "gaps between tokens", "who counted the tokens"]
_MS = 1e-3
#: A request consists of at most this many objects.
_OBJECTS = 5
_QUANTITIES: dict[str, tuple[Quantity, float]] = {
    "request_latency": ("latency", 1.0),
    "time_to_first_token_ms": ("ttft", _MS),
    "inter_token_latency_ms": ("tpot", _MS),
}
_OPEN = {"constant": "constant", "async": "constant", "poisson": "poisson"}


class _Timings(msgspec.Struct):
    targeted_start: float | None = None


class _Info(msgspec.Struct):
    timings: _Timings | None = None
    error: str | None = None


class _Stats(msgspec.Struct):
    request_latency: float | None = None
    time_to_first_token_ms: float | None = None
    inter_token_latency_ms: float | None = None
    output_tokens: float | None = None
    prompt_tokens: float | None = None
    request_start_time: float | None = None
    request_end_time: float | None = None
    start_time: float | None = None
    info: _Info | None = None
    error: str | None = None

    @property
    def start(self) -> float | None:
        """When it was sent, on the Unix clock."""
        return self.request_start_time if self.request_start_time is not None else self.start_time

    def within(self, window: tuple[float, float]) -> bool:
        """Whether it was under way in a window of the Unix clock, or it is unknown when it was."""
        start = self.start
        if start is None:
            return True
        end = self.request_end_time if self.request_end_time is not None else start + (self.request_latency or 0.0)
        return start < window[1] and end >= window[0]


class _Requests(msgspec.Struct):
    successful: list[_Stats] | None = None
    errored: list[_Stats] | None = None
    incomplete: list[_Stats] | None = None


class _Percentiles(msgspec.Struct):
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class _Distribution(msgspec.Struct):
    mean: float | None = None
    count: int | None = None
    percentiles: _Percentiles | None = None


class _ByStatus(msgspec.Struct):
    successful: _Distribution | None = None


class _Counts(msgspec.Struct):
    successful: int = 0
    errored: int = 0
    incomplete: int = 0


class _Metrics(msgspec.Struct):
    request_totals: _Counts | None = None
    request_latency: _ByStatus | None = None
    time_to_first_token_ms: _ByStatus | None = None
    inter_token_latency_ms: _ByStatus | None = None
    requests_per_second: _ByStatus | None = None
    output_tokens_per_second: _ByStatus | None = None
    output_token_count: _ByStatus | None = None
    prompt_token_count: _ByStatus | None = None


class _Benchmark(msgspec.Struct):
    config: dict[str, Any] | None = None
    args: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    requests: _Requests | None = None
    metrics: _Metrics | None = None
    start_time: float | None = None
    duration: float | None = None


class _Metadata(msgspec.Struct):
    guidellm_version: str | None = None


class _Report(msgspec.Struct):
    benchmarks: list[msgspec.Raw]
    metadata: _Metadata | None = None
    args: dict[str, Any] | None = None
    config: dict[str, Any] | None = None


def is_guidellm(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a document with these fields is of guidellm."""
    return "benchmarks" in fields and bool(fields.keys() & {"metadata", "args", "config"})


def read(path: Path, data: bytes) -> tuple[list[Benchmark], list[str]]:
    """Read the benchmarks of a report, and return remarks about those that are left out. Raises ImportRefused."""
    check_size(path, data, b"{", _OBJECTS)
    report = decode(path, data, _Report)
    found, remarks = [], []
    for number, raw in enumerate(report.benchmarks):
        field = f"benchmarks[{number}]"
        each = decode(path, raw, _Benchmark, f"{field}.")
        load = _load(each)
        if isinstance(load, str):
            remarks.append(f"{field} is left out: {load}")
            continue
        found.append(_benchmark(path, field, report, each, load))
    if not found:
        raise ImportRefused(path, remarks[0] if remarks else "benchmarks: is empty, so there is nothing to import")
    return found, [f"{path.name}: {remark}" for remark in remarks]


def _benchmark(path: Path, field: str, report: _Report, of: _Benchmark, load: LoadOf) -> Benchmark:
    settings = [each for each in (of.config, of.args, report.args, report.config) if each]
    model, target = name_in(find(settings, "model")), name_in(find(settings, "target"), 200)
    version = report.metadata.guidellm_version if report.metadata is not None else ""
    requests, unknown, totals = _requests(path, field, of), list(UNKNOWN), None
    if not requests:
        totals = _totals(path, field, of)
        unknown.append("single requests")
    elif missing := _missing(of, requests):
        # The file has a sample of its requests: it tells how long they took, but not how many there were in a second.
        totals = _totals(path, field, of)
        unknown.append(f"{missing} requests that are not in the file")
    return Benchmark(
        tool="guidellm",
        load=load,
        version=name_in(version, 40),
        model=model,
        server=f"{target} {model}" if target else "",
        started_utc=utc(of.start_time),
        unknown=unknown,
        requests=requests,
        totals=totals,
    )


def _missing(of: _Benchmark, requests: list[Request]) -> int:
    """How many requests ended that are not among `requests`, as far as the file says."""
    counts = of.metrics.request_totals if of.metrics is not None else None
    if counts is None:
        return 0
    ended = sum(request.failure is None or request.failure.kind != "stopped" for request in requests)
    return max(0, counts.successful + counts.errored - ended)


def _requests(path: Path, field: str, of: _Benchmark) -> list[Request]:
    if of.requests is None:
        return []
    good, bad, cut = (of.requests.successful or [], of.requests.errored or [], of.requests.incomplete or [])
    if len(good) + len(bad) + len(cut) > MAX_REQUESTS:
        raise ImportRefused(path, f"{field}: has more than {MAX_REQUESTS} requests")
    # The file has the requests of the warm-up and of the cool-down too, and its figures are without them.
    window = (-math.inf, math.inf)
    if of.start_time is not None and of.duration is not None and of.duration > 0:
        window = (of.start_time, of.start_time + of.duration)
    named = (("successful", good), ("errored", bad), ("incomplete", cut))
    kept = [
        (f"{field}.requests.{status}[{number}]", status, each)
        for status, requests in named
        for number, each in enumerate(requests)
        if each.within(window)
    ]
    # Times begin with the first request that counts: rates are over the time since then.
    first = min((each.start for _, _, each in kept if each.start is not None), default=0.0)
    return [_request(path, place, status, each, first) for place, status, each in kept]


def _request(path: Path, field: str, status: str, of: _Stats, first: float) -> Request:
    start_s = of.start - first if of.start is not None else None
    timings = of.info.timings if of.info is not None else None
    due = timings.targeted_start if timings is not None else None
    due_s = due - first if due is not None and start_s is not None else None
    if status != "successful":
        words = of.error or (of.info.error if of.info is not None else None) or "no message"
        failure = Failure(kind="server", message=sanitize(words, 200))
        if status == "incomplete":
            failure = Failure(kind="stopped", message="cut off at the end of the benchmark")
        return Request(failure=failure, start_s=start_s, due_s=due_s)
    latency_s = duration_s(path, f"{field}.request_latency", of.request_latency)
    if latency_s is None:
        raise ImportRefused(path, f"{field}.request_latency: is missing")
    return Request(
        latency_s=latency_s,
        ttft_s=duration_s(path, f"{field}.time_to_first_token_ms", of.time_to_first_token_ms, _MS),
        tpot_s=duration_s(path, f"{field}.inter_token_latency_ms", of.inter_token_latency_ms, _MS),
        output_tokens=tokens(path, f"{field}.output_tokens", of.output_tokens),
        prompt_tokens=tokens(path, f"{field}.prompt_tokens", of.prompt_tokens),
        start_s=start_s,
        due_s=due_s,
    )


def _totals(path: Path, field: str, of: _Benchmark) -> Totals:
    metrics = of.metrics
    if metrics is None:
        raise ImportRefused(path, f"{field}: has neither requests nor metrics")
    percentiles: dict[Quantity, Percentiles] = {}
    for name, (quantity, scale) in _QUANTITIES.items():
        good = _good(getattr(metrics, name))
        if good is None or good.percentiles is None or not good.count:
            continue
        names = ("p50", "p90", "p95", "p99")
        values = {p: duration_s(path, f"{field}.{name}", getattr(good.percentiles, p), scale) for p in names}
        if (p50 := values.pop("p50")) is not None:
            percentiles[quantity] = Percentiles(n=good.count, p50=p50, **values)
    if "latency" not in percentiles:
        raise ImportRefused(path, f"{field}: has neither all requests nor percentiles of request_latency")
    counts = metrics.request_totals or _Counts(successful=percentiles["latency"].n)
    return Totals(
        finished=counts.successful,
        failed=counts.errored,
        percentiles=percentiles,
        window_s=duration_s(path, f"{field}.duration", of.duration),
        requests_per_s=_mean(metrics.requests_per_second),
        output_tokens_per_s=_mean(metrics.output_tokens_per_second),
        output_tokens=tokens(path, f"{field}.output_token_count", _mean(metrics.output_token_count)),
        prompt_tokens=tokens(path, f"{field}.prompt_token_count", _mean(metrics.prompt_token_count)),
    )


def _good(of: _ByStatus | None) -> _Distribution | None:
    return of.successful if of is not None else None


def _mean(of: _ByStatus | None) -> float | None:
    good = _good(of)
    return good.mean if good is not None else None


def _sent(of: _Benchmark) -> int:
    """How many requests were sent, as far as the file says."""
    counts = of.metrics.request_totals if of.metrics is not None else None
    if counts is not None:
        return counts.successful + counts.errored + counts.incomplete
    lists = (of.requests.successful, of.requests.errored, of.requests.incomplete) if of.requests is not None else ()
    return sum(len(each or []) for each in lists)


def _load(of: _Benchmark) -> LoadOf | str:
    """The load of a benchmark, or why llmtui has none like it."""
    strategy = find([each for each in (of.config, of.args, of.scheduler) if each], "strategy")
    if not isinstance(strategy, dict):
        return "it does not say how the requests were sent"
    kind = str(strategy.get("type_") or strategy.get("kind") or strategy.get("type") or "")
    rate, cap = strategy.get("rate"), strategy.get("max_concurrency")
    cap = cap if type(cap) is int and cap > 0 else 0
    if kind == "synchronous":
        return LoadOf(streams=1)
    if kind == "concurrent":
        streams = strategy.get("streams")
        return LoadOf(streams=streams) if type(streams) is int and streams > 0 else "its number of streams is unknown"
    if kind == "throughput":
        # The cap is there even if the user gave none: only one that was reached is a number of streams.
        if cap and _sent(of) > cap:
            return LoadOf(streams=cap)
        return "all requests were sent at once, which is not a load of llmtui"
    if kind in _OPEN:
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not rate > 0:
            return "its rate is unknown"
        arrival: Any = _OPEN[kind]
        return LoadOf(streams=0, rate=float(rate), arrival=arrival, cap=cap)
    return f"its load {sanitize(kind, 40)!r} is not one of llmtui"
