"""What `llmtui accuracy` found: the record, its table, and the newest one of each machine in a file. No measuring.

The file is `accuracy.json` in `LLMTUI_STATE`, else in the user's state folder. It may be absent, foreign or torn: then
there is no record. Anything may read it; nothing here imports an HTTP client or a screen.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import platformdirs

from llmtui.format import plural
from llmtui.model import Machine, Stamp, Struct

SCHEMA_VERSION = 1
#: A result from fewer requests is printed and not kept: it would pass for the machine's error.
KEPT_FROM_REQUESTS = 20
MAX_MACHINES = 16
MAX_FILE_BYTES = 1_000_000


class Errors(Struct, frozen=True):
    """Errors of one figure over `n` of it. `median` keeps its sign (positive: told too late, or too high); the others
    are of the absolute error. Seconds, for tokens/s a share of the true rate."""

    n: int
    median: float
    p50: float
    p95: float
    p99: float
    max: float


class Level(Struct, frozen=True, omit_defaults=False):
    """So many streams at once, with or without a monitor on screen. `coalesced` is the share of the tokens that came
    out of one read together with an earlier one."""

    streams: int
    monitor: bool
    requests: int
    tokens: int
    coalesced: float
    ttft_s: Errors
    itl_s: Errors
    latency_s: Errors
    tokens_per_s_share: Errors
    failed: int = 0
    stamp: Stamp = "kernel"


class Watching(Struct, frozen=True):
    """What the monitor did meanwhile: bytes to its terminal, and the CPU of its own process."""

    columns: int
    rows: int
    seconds: float
    bytes_per_s: float
    cpu_cores: float


class Record(Struct, frozen=True, omit_defaults=False):
    """One whole measurement. `stamp` is the client's, `truth_stamp` the one by which the server noted each request."""

    measured_utc: str
    machine: Machine
    stamp: Stamp
    truth_stamp: Stamp
    tokens: int
    ttft_ms: float
    itl_ms: float
    levels: list[Level]
    watching: Watching | None = None
    versions: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    def at_one_stream(self) -> Level | None:
        """The level that stands for the tool, as runs measure one stream at a time: with the monitor, if measured."""
        ones = [level for level in self.levels if level.streams == 1]
        return max(ones, key=lambda level: level.monitor, default=None)

    @property
    def worth_keeping(self) -> bool:
        """Whether it tells enough to stand for this machine: one stream, a monitor on screen, enough requests."""
        level = self.at_one_stream()
        return level is not None and level.monitor and level.requests >= KEPT_FROM_REQUESTS

    def own_error_p95_s(self) -> float | None:
        """p95 of the absolute TTFT error at one stream with the monitor on screen, in seconds."""
        level = self.at_one_stream()
        return level.ttft_s.p95 if level is not None and level.monitor else None


class _File(Struct, frozen=True):
    schema_version: int
    records: list[msgspec.Raw]


def record_file() -> Path:
    """Where the records lie. Raises OSError for a user without a home."""
    try:
        return Path(os.environ.get("LLMTUI_STATE") or platformdirs.user_state_dir("llmtui")) / "accuracy.json"
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "there is no home folder; set HOME or LLMTUI_STATE") from None


def read_records(file: Path) -> list[Record]:
    """The records of a file, newest first. What cannot be read, or is of another schema, is left out."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        content = msgspec.json.decode(data, type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    records = []
    for raw in content.records:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            record = msgspec.json.decode(raw, type=Record)
            if record.schema_version == SCHEMA_VERSION:
                records.append(record)
    return records


def newest(machine: Machine, file: Path | None = None) -> Record | None:
    """The newest record of this machine and this version of everything; None where there is none."""
    same = _identity(machine)
    with contextlib.suppress(OSError):
        return next((r for r in read_records(file or record_file()) if _identity(r.machine) == same), None)
    return None


def keep(record: Record, file: Path | None = None) -> Path:
    """Make `record` the newest of its machine. The file is 0600 and replaced at once. Raises OSError."""
    file = file or record_file()
    others = [r for r in read_records(file) if _identity(r.machine) != _identity(record.machine)]
    raws = [msgspec.Raw(msgspec.json.encode(r)) for r in [record, *others][:MAX_MACHINES]]
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it 0600.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".accuracy.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as opened:
            opened.write(msgspec.json.encode(_File(schema_version=SCHEMA_VERSION, records=raws)))
            opened.flush()
            os.fsync(descriptor)
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return file


def _identity(machine: Machine) -> tuple[object, ...]:
    # Memory is left out: a guest's may change while it runs, and no figure depends on it.
    return machine.cpu, machine.cores, machine.os, machine.python, machine.llmtui


def milliseconds(value_s: float) -> str:
    """A small duration in ms: two decimals below one, three significant digits above."""
    value = value_s * 1e3
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def _percent(value: float) -> str:
    return f"{value * 100:.3f}"


def table(record: Record) -> str:
    """The record as plain text of at most 80 columns."""
    machine = record.machine
    clock = {"kernel": "the kernel's arrival stamps", "user": "user space, after each read"}[record.stamp]
    receipt = {"kernel": "the kernel's stamp", "user": "user space"}[record.truth_stamp]
    lines = [
        f"{machine.cpu[:40]}, {machine.cores} cores, {machine.os[:24]}"[:80],
        ", ".join(f"{name} {version}" for name, version in record.versions.items())[:80],
        f"clock: {clock}; the server's receipt: {receipt}",
        f"{record.tokens} tokens a request, first after {record.ttft_ms:g} ms, then every {record.itl_ms:g} ms",
        "",
        f"{'absolute error':27}{'n':>7}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}{'median':>10}",
    ]
    for level in record.levels:
        screen = "monitor on" if level.monitor else "no monitor"
        more = f", {level.coalesced:.1%} of tokens coalesced" if level.coalesced else ""
        if level.failed:
            more += f", {level.failed} failed"
        lines.append(f"{plural(level.streams, 'stream')}, {screen}: {level.requests} requests{more}")
        rows: Sequence[tuple[str, Errors]] = (
            ("TTFT, ms", level.ttft_s),
            ("ITL, ms", level.itl_s),
            ("latency, ms", level.latency_s),
            ("tokens/s, % of the rate", level.tokens_per_s_share),
        )
        for title, errors in rows:
            say = _percent if title.startswith("tokens") else milliseconds
            told = "".join(f"{say(v):>9}" for v in (errors.p50, errors.p95, errors.p99, errors.max))
            sign = "+" if errors.median >= 0 else "-"
            lines.append(f"  {title:25}{errors.n:>7}{told}{sign + say(abs(errors.median)):>10}")
    if (seen := record.watching) is not None:
        lines += [
            "",
            f"monitor, {seen.columns}x{seen.rows}, over {seen.seconds:.0f} s: "
            f"{seen.bytes_per_s / 1e3:.1f} kB/s to its terminal, {seen.cpu_cores:.2f} cores",
        ]
    lines += [
        "",
        "TTFT and latency: told, minus (token handed to the kernel by the server, minus",
        "request received by it). ITL: told gap minus the gap of the same two tokens.",
        "tokens/s: told, over the rate of the server's log, minus 1. The server notes a",
        "token's instant before it writes it: what it is held up by then counts as error.",
    ]
    return "\n".join(lines) + "\n"
