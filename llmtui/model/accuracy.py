"""The results of `llmtui accuracy`: the errors of each figure per level, and the record of a measurement."""

from __future__ import annotations

from llmtui.model.base import Struct
from llmtui.model.sample import Stamp
from llmtui.model.state import Machine

SCHEMA_VERSION = 1
#: A result of fewer requests is printed but not stored as the error on this machine.
MIN_STORED_REQUESTS = 20


class Errors(Struct, frozen=True):
    """The errors of `n` values of one figure: the signed median (positive: too late, or too high), and percentiles of
    the absolute error. In seconds; for tokens/s as a share of the true rate."""

    n: int
    median: float
    p50: float
    p95: float
    p99: float
    max: float


class Level(Struct, frozen=True, omit_defaults=False):
    """The errors at a number of concurrent streams, with or without a monitor on screen. `coalesced` is the share of
    tokens that arrived in one read with an earlier one."""

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


class MonitorLoad(Struct, frozen=True):
    """The load of the monitor: bytes to its terminal, and CPU of its process."""

    columns: int
    rows: int
    seconds: float
    bytes_per_s: float
    cpu_cores: float


class Record(Struct, frozen=True, omit_defaults=False):
    """One measurement. `stamp` is the client's source of arrival times, `truth_stamp` the server's."""

    measured_utc: str
    machine: Machine
    stamp: Stamp
    truth_stamp: Stamp
    tokens: int
    ttft_ms: float
    itl_ms: float
    levels: list[Level]
    watching: MonitorLoad | None = None
    versions: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    def at_one_stream(self) -> Level | None:
        """Return the level with one stream, as in a run; with the monitor, if measured."""
        ones = [level for level in self.levels if level.streams == 1]
        return max(ones, key=lambda level: level.monitor, default=None)

    def at_streams(self, streams: int) -> Level | None:
        """Return the smallest measured level of at least so many streams, with the monitor if measured; else None."""
        enough = [level for level in self.levels if level.streams >= streams]
        return min(enough, key=lambda level: (level.streams, not level.monitor), default=None)

    @property
    def worth_storing(self) -> bool:
        """Whether the record has one stream with a monitor on screen, and enough requests."""
        level = self.at_one_stream()
        return level is not None and level.monitor and level.requests >= MIN_STORED_REQUESTS

    def own_error_p95_s(self) -> float | None:
        """Return the p95 of the absolute TTFT error at one stream with the monitor, in seconds."""
        level = self.at_one_stream()
        return level.ttft_s.p95 if level is not None and level.monitor else None
