"""Reads files of other tools: which tool wrote a file is told by its fields."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmtui.imports import aiperf, guidellm, hyperfine, vllm
from llmtui.imports.benchmark import Benchmark
from llmtui.imports.reading import MAX_REQUESTS, TOO_LARGE, ImportRefused, decode, lines_of, read_bytes
from llmtui.text import sanitize

KNOWN = (
    "hyperfine (--export-json), AIPerf (profile_export_aiperf.json, profile_export.jsonl), guidellm (benchmarks.json) "
    "or vLLM (bench serve --save-result)"
)


class Named(NamedTuple):
    """A file that is to be imported, and the name of its backend, "" if it was not given."""

    path: Path
    name: str = ""


class Read(NamedTuple):
    """What a file says."""

    file: Named
    benchmarks: list[Benchmark]


def named(words: Iterable[str]) -> list[Named]:
    """Return the files that words mean: `FILE`, or `NAME=FILE` for a backend of this name."""
    found = []
    for word in words:
        name, equals, path = word.partition("=")
        split = bool(equals and name and path) and not Path(word).exists()
        found.append(Named(Path(path), name) if split else Named(Path(word)))
    return found


def read_files(files: Sequence[Named]) -> tuple[list[Read], list[str]]:
    """Read all files, and return what they say with remarks. Raises ImportRefused."""
    given = {file.path.absolute() for file in files}
    found, remarks, count = [], [], 0
    for file in files:
        summary = aiperf.summary_beside(file.path)
        if summary is not None and summary.absolute() in given:
            continue  # read with its summary
        try:
            benchmarks, more = read_file(file.path)
        except OverflowError:
            raise ImportRefused(file.path, TOO_LARGE) from None
        found.append(Read(file, benchmarks))
        count += sum(len(benchmark.requests) for benchmark in benchmarks)
        if count > MAX_REQUESTS:
            raise ImportRefused(file.path, f"with it the files have more than {MAX_REQUESTS} requests; import fewer")
        remarks += more
    return found, remarks


def read_file(path: Path) -> tuple[list[Benchmark], list[str]]:
    """Read one file, and return its benchmarks with remarks. Raises ImportRefused."""
    data = read_bytes(path)
    (number, line), *others = itertools.islice(lines_of(data), 2)
    if path.suffix == ".jsonl" or (others and line.startswith(b"{") and line.endswith(b"}")):
        fields = _fields(path, line, f"line {number}: ")
        if vllm.is_vllm(fields):
            return vllm.read_lines(path, data), []
        if not aiperf.is_record(fields):
            raise ImportRefused(path, _unknown(fields))
        summary = aiperf.summary_beside(path)
        of_summary = _fields(summary, read_bytes(summary)) if summary is not None else None
        return aiperf.read_records(path, data, summary, of_summary), _beside(path, summary)
    fields = _fields(path, data)
    if guidellm.is_guidellm(fields):
        return guidellm.read(path, data)
    if hyperfine.is_hyperfine(fields):
        return hyperfine.read(path, data), []
    if aiperf.is_summary(fields):
        return aiperf.read_summary(path, fields), _beside(path, aiperf.requests_beside(path))
    if vllm.is_vllm(fields):
        return vllm.read(path, data, fields), []
    if aiperf.is_record(fields):
        return aiperf.read_records(path, data), []
    raise ImportRefused(path, _unknown(fields))


def _beside(path: Path, other: Path | None) -> list[str]:
    return [f"{path.name}: read together with {other.name} beside it"] if other is not None else []


def _fields(path: Path, data: bytes, where: str = "") -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, unread. Raises ImportRefused."""
    return decode(path, data, dict[str, msgspec.Raw], where)


def _unknown(fields: dict[str, msgspec.Raw]) -> str:
    if "schema_version" in fields and "backends" in fields:
        return "is llmtui's own JSON; the run is in the history of its machine: llmtui show RUN"
    some = ", ".join(sanitize(name, 30) for name in list(fields)[:6]) or "none"
    return f"is not a file of {KNOWN}; its fields are: {some}"
