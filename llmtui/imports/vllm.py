"""The file of `vllm bench serve --save-result`, with single requests if it has them (`--save-detailed`).

Its TPOT is the mean time per token after the first one. Older versions store no latencies: TTFT plus all gaps between
chunks is the same. `date` is when the benchmark ended. A file to which results were appended has one in each line.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import msgspec

from llmtui.imports.benchmark import Benchmark, LoadOf, Request, Totals
from llmtui.imports.reading import (
    MAX_REQUESTS,
    ImportRefused,
    decode,
    duration_s,
    lines_of,
    local_time,
    name_in,
    tokens,
    utc,
)
from llmtui.model import Failure, Percentiles, Quantity
from llmtui.stats.durations import Durations
from llmtui.text import sanitize

UNKNOWN = ["weights", "the machine and what else it did", "the address of the server", "when exactly it was measured"]
_MS = 1e-3
_QUANTITIES: dict[str, Quantity] = {"e2el": "latency", "ttft": "ttft", "tpot": "tpot"}


class _File(msgspec.Struct):
    completed: int
    duration: float
    date: str = ""
    model_id: str | None = None
    num_prompts: int | None = None
    request_rate: float | str | None = None
    burstiness: float | None = None
    max_concurrency: int | None = None
    failed: int | None = None
    request_throughput: float | None = None
    output_throughput: float | None = None
    total_input_tokens: int | None = None
    total_output_tokens: int | None = None
    input_lens: list[int | None] | None = None
    output_lens: list[int | None] | None = None
    ttfts: list[float | None] | None = None
    itls: list[list[float]] | None = None
    latencies: list[float | None] | None = None
    start_times: list[float | None] | None = None
    queue_times: list[float | None] | None = None
    ramp_up_strategy: str | None = None
    errors: list[str | None] | None = None


def is_vllm(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a document with these fields is of vLLM's benchmark."""
    # SGLang's benchmark has these fields too, and calls the latency otherwise.
    named = {"completed", "duration", "request_throughput"} <= fields.keys()
    return named and "median_e2e_latency_ms" not in fields


def read_lines(path: Path, data: bytes) -> list[Benchmark]:
    """Read a file with a result in each line. Raises ImportRefused."""
    found = []
    for number, line in lines_of(data):
        where = f"line {number}: "
        fields = decode(path, line, dict[str, msgspec.Raw], where)
        if not is_vllm(fields):
            raise ImportRefused(path, f"{where}is not a result of vLLM, as the first line is")
        found += read(path, line, fields, where)
    return found


def read(path: Path, data: bytes, fields: dict[str, msgspec.Raw], where: str = "") -> list[Benchmark]:
    """Read a result: one benchmark. `where` it is in the file. Raises ImportRefused."""
    file = decode(path, data, _File, where)
    requests = _requests(path, file)
    return [
        Benchmark(
            tool="vLLM",
            load=_load(path, file),
            model=name_in(file.model_id),
            started_utc=_started(file),
            unknown=UNKNOWN if requests else [*UNKNOWN, "single requests"],
            requests=requests,
            totals=None if requests else _totals(path, file, fields),
        )
    ]


def _load(path: Path, file: _File) -> LoadOf:
    if file.ramp_up_strategy:
        raise ImportRefused(path, "its request rate was ramped up (ramp_up_strategy), which is not a load of llmtui")
    cap = file.max_concurrency or 0
    rate = file.request_rate
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        if not rate > 0:
            raise ImportRefused(path, f"request_rate: {rate:g} is not a rate")
        burstiness = file.burstiness if file.burstiness and file.burstiness > 0 else 1.0
        arrival: Any = "poisson" if burstiness == 1.0 else "gamma"
        return LoadOf(streams=0, rate=float(rate), arrival=arrival, burstiness=burstiness, cap=max(0, cap))
    # All prompts were sent at once, and at most `cap` of them were under way.
    streams = cap if cap > 0 else file.num_prompts or file.completed
    return LoadOf(streams=max(1, streams))


def _requests(path: Path, file: _File) -> list[Request]:
    """The requests, [] if the file has none. A failed one has a TTFT of 0 and an error."""
    ttfts, itls = file.ttfts, file.itls
    if not ttfts or itls is None:
        return []
    count = len(ttfts)
    if count > MAX_REQUESTS:
        raise ImportRefused(path, f"ttfts: has more than {MAX_REQUESTS} requests")
    for name in ("itls", "input_lens", "output_lens", "latencies", "start_times", "queue_times", "errors"):
        values = getattr(file, name)
        if values and len(values) != count:
            raise ImportRefused(path, f"{name}: has {len(values)} values, and ttfts has {count}")
    starts = [start for start in file.start_times or [] if start is not None]
    first = min(starts, default=0.0)
    # In a closed loop a prompt waits for a free stream. That wait is part of the load, and not a delay.
    waited = file.queue_times if isinstance(file.request_rate, int | float) else None
    requests = []
    for place in range(count):
        start = file.start_times[place] if file.start_times else None
        start_s = start - first if start is not None else None
        if error := file.errors[place] if file.errors else "":
            last = error.strip().splitlines()[-1:] or [""]
            failure = Failure(kind="server", message=sanitize(last[0], 200) or "no message")
            requests.append(Request(failure=failure, start_s=start_s))
            continue
        ttft_s = duration_s(path, f"ttfts[{place}]", ttfts[place])
        gaps = itls[place]
        rest_s = duration_s(path, f"itls[{place}]", sum(gaps))
        output = tokens(path, f"output_lens[{place}]", file.output_lens[place] if file.output_lens else None)
        whole_s = duration_s(path, f"latencies[{place}]", file.latencies[place] if file.latencies else None)
        queued_s = duration_s(path, f"queue_times[{place}]", waited[place] if waited else None)
        if ttft_s is None or rest_s is None:
            raise ImportRefused(path, f"ttfts[{place}]: is null, and the request has no error")
        requests.append(
            Request(
                latency_s=whole_s or ttft_s + rest_s,
                ttft_s=ttft_s,
                itl_s=statistics.median(gaps) if gaps else None,
                tpot_s=rest_s / (output - 1) if output is not None and output > 1 else None,
                output_tokens=output,
                prompt_tokens=tokens(path, "input_lens", file.input_lens[place] if file.input_lens else None),
                start_s=start_s,
                due_s=start_s - queued_s if start_s is not None and queued_s is not None else None,
            )
        )
    return requests


def _totals(path: Path, file: _File, fields: dict[str, msgspec.Raw]) -> Totals:
    percentiles: dict[Quantity, Percentiles] = {}
    for name, quantity in _QUANTITIES.items():
        values = {}
        of = {"p50": f"median_{name}_ms"} | {key: f"{key}_{name}_ms" for key in ("p90", "p95", "p99")}
        for key, field in of.items():
            if field in fields:
                found = decode(path, fields[field], float | None, f"{field}: ")  # type: ignore[arg-type]
                values[key] = duration_s(path, field, found if isinstance(found, float) else None, _MS)
        if (p50 := values.pop("p50", None)) is not None and file.completed > 0:
            percentiles[quantity] = Percentiles(n=file.completed, p50=p50, **values)
    if "latency" not in percentiles and (latency := _latency(path, file)) is not None:
        percentiles["latency"] = latency
    if "latency" not in percentiles:
        raise ImportRefused(
            path, "has no latencies: run it with --save-detailed, or with --percentile-metrics ttft,tpot,e2el"
        )
    done = max(1, file.completed)
    return Totals(
        finished=file.completed,
        failed=file.failed or max(0, (file.num_prompts or 0) - file.completed),
        percentiles=percentiles,
        window_s=duration_s(path, "duration", file.duration),
        requests_per_s=file.request_throughput,
        output_tokens_per_s=file.output_throughput,
        output_tokens=tokens(path, "total_output_tokens", (file.total_output_tokens or 0) / done) or None,
        prompt_tokens=tokens(path, "total_input_tokens", (file.total_input_tokens or 0) / done) or None,
    )


def _latency(path: Path, file: _File) -> Percentiles | None:
    """Those of the latencies, which newer versions store always; None if they are not of the good requests alone."""
    if len(file.latencies or []) > MAX_REQUESTS:
        raise ImportRefused(path, f"latencies: has more than {MAX_REQUESTS} requests")
    values = [duration_s(path, f"latencies[{place}]", each) for place, each in enumerate(file.latencies or [])]
    good = [value for value in values if value]
    if len(good) != file.completed:
        return None
    durations = Durations()
    durations.add(good)
    return durations.percentiles


def _started(file: _File) -> str:
    """When it began. The file has the end, and does not say in which zone: as if it was UTC."""
    ended = local_time(file.date, "%Y%m%d-%H%M%S")
    return utc(ended.timestamp() - max(0.0, file.duration)) if ended is not None else ""
