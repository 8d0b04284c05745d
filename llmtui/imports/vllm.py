"""The file of `vllm bench serve --save-result`, with single requests if it has them (`--save-detailed`).

Its latency is TTFT plus all gaps between chunks, its TPOT the mean time per token after the first one.
"""

from __future__ import annotations

import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from llmtui.imports.benchmark import Benchmark, LoadOf, Request, Totals
from llmtui.imports.reading import MAX_REQUESTS, ImportRefused, decode, duration_s, name_in, tokens
from llmtui.model import Failure, Percentiles, Quantity
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
    start_times: list[float | None] | None = None
    errors: list[str | None] | None = None


def is_vllm(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a document with these fields is of vLLM's benchmark."""
    return {"completed", "duration", "request_throughput"} <= fields.keys()


def read(path: Path, data: bytes, fields: dict[str, msgspec.Raw]) -> list[Benchmark]:
    """Read a file: one benchmark. Raises ImportRefused."""
    file = decode(path, data, _File)
    requests = _requests(path, file)
    return [
        Benchmark(
            tool="vLLM",
            load=_load(path, file),
            model=name_in(file.model_id),
            started_utc=_started(file.date),
            unknown=UNKNOWN if requests else [*UNKNOWN, "single requests"],
            requests=requests,
            totals=None if requests else _totals(path, file, fields),
        )
    ]


def _load(path: Path, file: _File) -> LoadOf:
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
    for name in ("itls", "input_lens", "output_lens", "start_times", "errors"):
        values = getattr(file, name)
        if values and len(values) != count:
            raise ImportRefused(path, f"{name}: has {len(values)} values, and ttfts has {count}")
    starts = [start for start in file.start_times or [] if start is not None]
    first = min(starts, default=0.0)
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
        if ttft_s is None or rest_s is None:
            raise ImportRefused(path, f"ttfts[{place}]: is null, and the request has no error")
        requests.append(
            Request(
                latency_s=ttft_s + rest_s,
                ttft_s=ttft_s,
                itl_s=statistics.median(gaps) if gaps else None,
                tpot_s=rest_s / (output - 1) if output is not None and output > 1 else None,
                output_tokens=output,
                prompt_tokens=tokens(path, "input_lens", file.input_lens[place] if file.input_lens else None),
                start_s=start_s,
            )
        )
    return requests


def _totals(path: Path, file: _File, fields: dict[str, msgspec.Raw]) -> Totals:
    percentiles: dict[Quantity, Percentiles] = {}
    for name, quantity in _QUANTITIES.items():
        values = {}
        for key, field in (("p50", f"median_{name}_ms"), ("p90", f"p90_{name}_ms"), ("p99", f"p99_{name}_ms")):
            if field in fields:
                found = decode(path, fields[field], float | None, f"{field}: ")  # type: ignore[arg-type]
                values[key] = duration_s(path, field, found if isinstance(found, float) else None, _MS)
        if (p50 := values.pop("p50", None)) is not None and file.completed > 0:
            percentiles[quantity] = Percentiles(n=file.completed, p50=p50, **values)
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


def _started(date: str) -> str:
    """The start, whose zone the file does not say: as if it was UTC."""
    try:
        return datetime.strptime(date, "%Y%m%d-%H%M%S").isoformat(timespec="milliseconds") + "Z"
    except ValueError:
        return ""
