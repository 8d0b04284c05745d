"""hyperfine's JSON (`--export-json`): a list of `results`, each with the times of a command in s."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from llmtui.imports.benchmark import Benchmark, LoadOf, Request
from llmtui.imports.reading import MAX_REQUESTS, ImportRefused, check_size, decode, duration_s, local_time, utc
from llmtui.model import Failure
from llmtui.text import looks_like_key, sanitize

UNKNOWN = [
    "the time to first token",
    "output tokens",
    "prompts",
    "models and weights",
    "the machine and what else it did",
    "the order of commands (hyperfine runs one after the other)",
]
#: The lists that have a value for each run of a command, and one to spare.
_LISTS = 4


class _Result(msgspec.Struct):
    command: str
    times: list[float] | None = None
    exit_codes: list[int | None] | None = None


class _Extra(msgspec.Struct):
    """What llmtui adds to its own files in this format."""

    backend: str = ""
    model: str = ""
    level: str | None = None
    created_utc: str = ""
    failed: Annotated[int, msgspec.Meta(ge=0, le=MAX_REQUESTS)] = 0


class _File(msgspec.Struct):
    results: list[msgspec.Raw]
    llmtui: _Extra | None = None


def is_hyperfine(fields: dict[str, msgspec.Raw]) -> bool:
    """Whether a document with these fields is of hyperfine."""
    return "results" in fields and "benchmarks" not in fields


def read(path: Path, data: bytes) -> list[Benchmark]:
    """Read the results of a file: each command is one backend. Raises ImportRefused."""
    check_size(path, data, b",", _LISTS)
    file = decode(path, data, _File)
    if not file.results:
        raise ImportRefused(path, "results: is empty, so there is nothing to import")
    found, count = [], 0
    for number, raw in enumerate(file.results):
        field = f"results[{number}]"
        result = decode(path, raw, _Result, f"{field}.")
        if not result.times:
            raise ImportRefused(path, f"{field}.times: has no times; llmtui imports single times, not summaries")
        codes = result.exit_codes or [0] * len(result.times)
        if len(codes) != len(result.times):
            raise ImportRefused(
                path, f"{field}.exit_codes: has {len(codes)} codes for {len(result.times)} times of the command"
            )
        requests = [
            _request(path, f"{field}.times[{place}]", time_s, code)
            for place, (time_s, code) in enumerate(zip(result.times, codes, strict=True))
        ]
        own = file.llmtui
        if own is not None and own.level:
            raise ImportRefused(path, f"is an export of a load ({sanitize(own.level, 40)}) by llmtui; open that run")
        failed = own.failed if own is not None else 0
        count += len(requests) + failed
        if count > MAX_REQUESTS:
            raise ImportRefused(path, f"has more than {MAX_REQUESTS} requests")
        if failed:
            # When they failed, and of what, is not in the file: they stand at the end.
            failure = Failure(kind="server", message="failed in the run that was exported")
            requests += [Request(failure=failure)] * failed
        found.append(
            Benchmark(
                tool="hyperfine",
                load=LoadOf(),
                name=_name(own.backend if own is not None and own.backend else result.command),
                model=sanitize(own.model, 120) if own is not None else "",
                started_utc=utc(at.timestamp()) if own is not None and (at := local_time(own.created_utc)) else "",
                unknown=UNKNOWN,
                requests=requests,
            )
        )
    return found


def _request(path: Path, field: str, time_s: float, code: int | None) -> Request:
    latency_s = duration_s(path, field, time_s)
    if code == 0:
        return Request(latency_s=latency_s)
    words = f"the command ended with exit code {code}" if code is not None else "a signal ended the command"
    return Request(failure=Failure(kind="server", message=words))


def _name(command: str) -> str:
    """The command as a name; "" if it is too long for one, or has something in it that may be a key."""
    name = sanitize(command, 400)
    secret = any(looks_like_key(word.strip("'\"")) for word in name.split()) or "authorization" in name.lower()
    return "" if len(name) > 40 or secret or "//" in name else name
