"""What the files of all tools are read into: a benchmark of one server under one load, and its requests."""

from __future__ import annotations

from typing import Literal

import msgspec

from llmtui.model import Failure, Percentiles, Quantity

Tool = Literal["hyperfine", "AIPerf", "guidellm", "vLLM"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, or one run of a command. Durations are in s, None if unknown; `start_s` is since the first one."""

    latency_s: float | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    start_s: float | None = None
    due_s: float | None = None
    failure: Failure | None = None
    warmup: bool = False


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of all requests together, if it does not have every single one. Durations are in s."""

    finished: int
    failed: int = 0
    percentiles: dict[Quantity, Percentiles] = {}
    window_s: float | None = None
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None


class LoadOf(msgspec.Struct, frozen=True, kw_only=True):
    """How the requests were sent: one after the other if `streams` is 1, or `rate` per second (then it is 0).

    `cap` is the most that were under way in an open loop, 0: any number.
    """

    streams: int = 1
    rate: float = 0.0
    arrival: Literal["poisson", "constant", "gamma"] = "poisson"
    burstiness: float = 1.0
    cap: int = 0


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One server, or command, under one load. `name` is that of the backend, "" if the file has none.

    Benchmarks with the same `server` are of one, whose address and model it is; "" if that is unknown. `started_utc`
    is when it began, "" if unknown. `unknown` is what the file does not say, in words. The figures of a load are those
    of `totals` if there are any, of `requests` otherwise; those of a race are of `requests`.
    """

    tool: Tool
    load: LoadOf
    name: str = ""
    version: str = ""
    model: str = ""
    server: str = ""
    started_utc: str = ""
    unknown: list[str] = []
    requests: list[Request] = []
    totals: Totals | None = None
