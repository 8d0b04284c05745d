"""AIPerf's files: `profile_export_aiperf.json` (a summary) and `profile_export.jsonl` (a line for each request).

Durations have units of their own. Its inter-token latency is the mean time per token after the first one, which is
llmtui's TPOT; the gaps between chunks are llmtui's ITL.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from llmtui.imports.benchmark import Benchmark, LoadOf, Request, Totals
from llmtui.imports.reading import (
    MAX_REQUESTS,
    ImportRefused,
    decode,
    duration_s,
    find,
    lines_of,
    local_time,
    name_in,
    read_bytes,
    tokens,
    utc,
)
from llmtui.model import Failure, Percentiles, Quantity
from llmtui.text import sanitize

UNKNOWN = ["weights", "the machine and what else it did", "who counted the tokens"]
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_QUANTITIES: dict[str, Quantity] = {
    "request_latency": "latency",
    "time_to_first_token": "ttft",
    "inter_token_latency": "tpot",
}
#: The first versions called it otherwise.
_OLD_NAMES = {"time_to_first_token": "ttft"}
_ARRIVALS = {"constant": "constant", "gamma": "gamma"}
_KNOWN_PHASES = ("concurrency", "poisson", "gamma", "constant")


class _Value(msgspec.Struct):
    value: Any = None
    unit: str = ""


class _Metadata(msgspec.Struct):
    request_start_ns: int | None = None
    benchmark_phase: str = ""
    was_cancelled: bool = False
    #: As the first versions called the start and the phase.
    timestamp_ns: int | None = None
    credit_phase: str = ""

    @property
    def start_ns(self) -> int | None:
        """When it was sent, on the Unix clock."""
        return self.request_start_ns if self.request_start_ns is not None else self.timestamp_ns

    @property
    def warmup(self) -> bool:
        """Whether it was sent before the measuring."""
        return (self.benchmark_phase or self.credit_phase) == "warmup"


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: Any = None


class _Record(msgspec.Struct):
    metadata: _Metadata
    metrics: dict[str, _Value] | None = None
    error: _Error | None = None


class _Stats(msgspec.Struct):
    unit: str = ""
    avg: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    count: int | None = None


def is_summary(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a document with these fields is AIPerf's summary."""
    return "request_latency" in fields and bool(fields.keys() & {"input_config", "aiperf_version", "schema_version"})


def is_record(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a line with these fields is of AIPerf's requests."""
    return {"metadata", "metrics"} <= fields.keys() and "benchmarks" not in fields


def requests_beside(path: Path) -> Path | None:
    """The file with the requests of a summary, if it is in the same folder."""
    beside = path.with_name(f"{path.stem.removesuffix('_aiperf')}.jsonl")
    return beside if path.stem.endswith("_aiperf") and beside.is_file() else None


def summary_beside(path: Path) -> Path | None:
    """The summary of a file with requests, if it is in the same folder."""
    beside = path.with_name(f"{path.stem}_aiperf.json")
    return beside if path.suffix == ".jsonl" and beside.is_file() else None


def read_summary(path: Path, fields: dict[str, msgspec.Raw]) -> list[Benchmark]:
    """Read a summary, with the requests in the file beside it. Raises ImportRefused."""
    if (beside := requests_beside(path)) is not None:
        return read_records(beside, read_bytes(beside), path, fields)
    stats = {name: decode(path, fields[name], _Stats, f"{name}: ") for name in _QUANTITIES if name in fields}
    percentiles = {}
    for name, of in stats.items():
        scale = _scale(path, name, of.unit)
        values = {key: duration_s(path, name, getattr(of, key), scale) for key in ("p50", "p90", "p95", "p99")}
        if (p50 := values.pop("p50")) is not None:
            percentiles[_QUANTITIES[name]] = Percentiles(n=max(1, of.count or 1), p50=p50, **values)
    if "latency" not in percentiles:
        raise ImportRefused(path, "request_latency: has no p50")
    finished = _scalar(path, fields, "request_count") or stats["request_latency"].count or 0
    totals = Totals(
        finished=round(finished),
        failed=round(_scalar(path, fields, "error_request_count") or 0),
        percentiles=percentiles,
        window_s=duration_s(path, "benchmark_duration", _scalar(path, fields, "benchmark_duration")),
        requests_per_s=_scalar(path, fields, "request_throughput"),
        output_tokens_per_s=_scalar(path, fields, "output_token_throughput"),
        output_tokens=tokens(path, "output_sequence_length", _scalar(path, fields, "output_sequence_length")),
        prompt_tokens=tokens(path, "input_sequence_length", _scalar(path, fields, "input_sequence_length")),
    )
    unknown = [*UNKNOWN, "single requests"]
    began = decode(path, fields["start_time"], Any, "start_time: ") if "start_time" in fields else None
    if (at := local_time(began)) is not None:
        unknown.append("when exactly it was measured")
    started = utc(at.timestamp() if at is not None else None)
    return [_benchmark(path, fields, totals=totals, unknown=unknown, started_utc=started)]


def read_records(
    path: Path, data: bytes, summary: Path | None = None, fields: dict[str, msgspec.Raw] | None = None
) -> list[Benchmark]:
    """Read a file of requests, with the `fields` of its summary. Raises ImportRefused.

    One record is in memory at a time: its gaps are many more numbers than the request that is made of it has.
    """
    starts: list[int | None] = []
    unplaced: list[Request] = []
    for number, record in _records(path, data):
        if record.metadata.warmup:
            continue
        if len(unplaced) == MAX_REQUESTS:
            raise ImportRefused(path, f"has more than {MAX_REQUESTS} requests")
        starts.append(record.metadata.start_ns)
        unplaced.append(_request(path, number, record))
    if not unplaced:
        raise ImportRefused(path, "has no requests of the profiling phase")
    first_ns = min((start for start in starts if start is not None), default=None)
    requests = [
        msgspec.structs.replace(request, start_s=(start - first_ns) / 1e9)
        if start is not None and first_ns is not None
        else request
        for start, request in zip(starts, unplaced, strict=True)
    ]
    unknown = UNKNOWN if fields is not None else [*UNKNOWN, "how the requests were sent", "the model"]
    started = utc(first_ns / 1e9 if first_ns is not None else None)
    return [_benchmark(summary or path, fields or {}, requests=requests, unknown=unknown, started_utc=started)]


def _records(path: Path, data: bytes) -> Iterator[tuple[int, _Record]]:
    """The records with the numbers of their lines. Raises ImportRefused."""
    decoder = msgspec.json.Decoder(_Record)
    for number, line in lines_of(data):
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            record = decode(path, line, _Record, f"line {number}: ")
        yield number, record


def _request(path: Path, number: int, record: _Record) -> Request:
    """The request of the record in line `number`, without its start."""
    metrics, of = record.metrics or {}, record.metadata

    def seconds(name: str) -> float | None:
        value = metrics.get(name) or metrics.get(_OLD_NAMES.get(name, ""))
        if value is None or not isinstance(value.value, int | float):
            return None
        field = f"line {number}: {name}"
        return duration_s(path, field, value.value, _scale(path, field, value.unit))

    def count(name: str) -> int | None:
        value = metrics.get(name)
        return tokens(path, f"line {number}: {name}", value.value) if value and _number(value.value) else None

    if record.error is not None or of.was_cancelled:
        words = (record.error.message or record.error.type or "no message") if record.error is not None else "cancelled"
        kind: Any = "stopped" if of.was_cancelled else "server"
        return Request(failure=Failure(kind=kind, message=sanitize(words, 200)))
    latency_s = seconds("request_latency")
    if latency_s is None:
        raise ImportRefused(path, f"line {number}: request_latency is missing")
    output = count("output_sequence_length")
    return Request(
        latency_s=latency_s,
        ttft_s=seconds("time_to_first_token"),
        itl_s=_median_gap(path, number, metrics.get("inter_chunk_latency")),
        tpot_s=seconds("inter_token_latency"),
        output_tokens=output if output is not None else count("output_token_count"),
        prompt_tokens=count("input_sequence_length"),
    )


def _median_gap(path: Path, number: int, gaps: _Value | None) -> float | None:
    if gaps is None or not isinstance(gaps.value, list) or not all(map(_number, gaps.value)) or not gaps.value:
        return None
    field = f"line {number}: inter_chunk_latency"
    return duration_s(path, field, statistics.median(gaps.value), _scale(path, field, gaps.unit))


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scale(path: Path, field: str, unit: str) -> float:
    """How many seconds the unit of a duration is. Raises ImportRefused if it is none."""
    if unit not in _UNITS:
        raise ImportRefused(path, f"{field}: {sanitize(unit, 40)!r} is not a unit of time")
    return _UNITS[unit]


def _scalar(path: Path, fields: dict[str, msgspec.Raw], name: str) -> float | None:
    """The mean of a quantity, or its only value."""
    if name not in fields:
        return None
    value = decode(path, fields[name], _Stats | None, f"{name}: ")  # type: ignore[arg-type]
    return value.avg if isinstance(value, _Stats) else None


def _benchmark(path: Path, fields: dict[str, msgspec.Raw], **more: Any) -> Benchmark:
    config = decode(path, fields["input_config"], dict, "input_config: ") if "input_config" in fields else {}
    info = decode(path, fields["run_info"], dict, "run_info: ") if fields.get("run_info", b"null") != b"null" else {}
    model = name_in(find(config, "model_names") or find(config, "models") or find(config, "model"))
    url = name_in(find(config, "urls") or find(config, "url"), 200)
    version = decode(path, fields["aiperf_version"], str | None) if "aiperf_version" in fields else ""  # type: ignore[arg-type]
    requests = more.get("requests", [])
    more.setdefault("started_utc", "")
    return Benchmark(
        tool="AIPerf",
        load=_load(path, config, info, requests),
        version=name_in(version, 40),
        model=model,
        server=f"{url} {model}" if url else "",
        **more,
    )


def _load(path: Path, config: dict[str, Any], info: dict[str, Any], requests: list[Request]) -> LoadOf:
    varied = info.get("variation_values")
    varied = {str(key).rpartition(".")[2]: value for key, value in varied.items()} if isinstance(varied, dict) else {}
    phase = _phase(path, config)
    if phase is not None:
        streams, rate, arrival = phase.get("concurrency"), phase.get("rate"), phase.get("type")
        smooth = phase.get("smoothness")
    else:
        streams, rate = find(config, "concurrency"), find(config, "request_rate")
        arrival = find(config, "arrival_pattern") or find(config, "request_rate_mode")
        smooth = find(config, "arrival_smoothness")
        if find(config, "fixed_schedule") is True or find(config, "user_centric_rate"):
            raise ImportRefused(path, "its requests were sent by a schedule or by users, which is not a load of llmtui")
    streams = varied.get("concurrency", streams)
    rate = varied.get("request_rate", varied.get("rate", rate))
    streams = streams if type(streams) is int and streams > 0 else 0
    if _number(rate) and rate > 0:
        how: Any = _ARRIVALS.get(str(arrival), "poisson")
        burstiness = float(smooth) if how == "gamma" and _number(smooth) and smooth > 0 else 1.0
        return LoadOf(streams=0, rate=float(rate), arrival=how, burstiness=burstiness, cap=streams)
    return LoadOf(streams=streams or most_under_way(requests) or 1)


def _phase(path: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The phase that was measured, as newer versions store it; None in the files of older ones.

    Raises ImportRefused if its load is none of llmtui's, or if there are several.
    """
    phases = config.get("phases")
    if not isinstance(phases, list):
        return None
    measured = [
        phase
        for phase in phases
        if isinstance(phase, dict)
        and not phase.get("exclude_from_results")
        and "warmup" not in (phase.get("kind"), phase.get("name"))
    ]
    if len(measured) > 1:
        raise ImportRefused(path, f"has {len(measured)} phases with results, and its figures mix them")
    if not measured:
        return None
    kind = measured[0].get("type")
    if kind not in _KNOWN_PHASES:
        raise ImportRefused(path, f"llmtui has no load like its {sanitize(str(kind), 40)!r}")
    if kind != "concurrency" and not _number(measured[0].get("rate")):
        raise ImportRefused(path, f"its load {sanitize(str(kind), 40)!r} has no single rate")
    return measured[0]


def most_under_way(requests: list[Request]) -> int:
    """The most requests that were under way at a time, 0 if their times are unknown."""
    ends = [(r.start_s, r.start_s + (r.latency_s or 0.0)) for r in requests if r.start_s is not None]
    events = sorted([(start, 1) for start, _ in ends] + [(end, -1) for _, end in ends])
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most
