"""The results of `llmtui accuracy`: the errors of each figure per level, and the record of a measurement."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct
from llmtui.model.load import Level as LoadLevel
from llmtui.model.sample import Stamp
from llmtui.model.state import Machine

SCHEMA_VERSION = 1
#: A result of fewer requests is printed but not stored as the error on this machine.
MIN_STORED_REQUESTS = 20
#: A level is marked if the truth server itself sent tokens later than this (p99, in s): the machine had too much to do.
SERVER_LATE_S = 0.005

#: What sent the requests: the engine as in a race, or the worker process of a load.
Loop = Literal["race", "load"]


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
    """The errors at a number of concurrent streams, or at a rate of requests (then `streams` is 0), with or without a
    monitor on screen. `coalesced` is the share of tokens that arrived in one read with an earlier one.

    Of an open loop `late_s` is how much later than due requests were written, and `delivered_share` the rate at which
    they were written, as a share of the one of their schedule. `worker_cpu` is the share of a core that the measuring
    process used. `server_late_s` is how late the truth server sent its tokens, and not an error of llmtui. `stamp` and
    `written_stamp` say whose clock stamped the arrivals and the requests.
    """

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
    loop: Loop = "race"
    rate: float = 0.0
    late_s: Errors | None = None
    delivered_share: float | None = None
    worker_cpu: float | None = None
    server_late_s: Errors | None = None
    written_stamp: Stamp = "user"

    @property
    def title(self) -> str:
        """ "8 streams", "1 stream in a race", or "100 requests/s"."""
        load = LoadLevel(number=1, streams=self.streams, rate=self.rate)
        return f"{load.title} in a race" if self.loop == "race" and self.streams == 1 else load.title

    @property
    def server_is_late(self) -> bool:
        """Whether the truth server was later than `SERVER_LATE_S`."""
        return self.server_late_s is not None and self.server_late_s.p99 > SERVER_LATE_S


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
        """Return the level with one stream, as in a race; with the monitor, if measured."""
        ones = [level for level in self.levels if level.streams == 1 and level.loop == "race"]
        return max(ones, key=lambda level: level.monitor, default=None)

    def level_for(self, *, streams: int = 0, rate: float = 0.0) -> Level | None:
        """Return the level of a load that says how large the error is at this number of streams or requests/s.

        That is the nearest one at or above it; with the monitor, if measured. None beyond what was measured.
        """

        def size(level: Level) -> float:
            return level.rate if rate else level.streams

        wanted = rate or streams
        fit = [level for level in self.levels if level.loop == "load" and size(level) >= wanted]
        return min(fit, key=lambda level: (size(level), not level.monitor), default=None)

    @property
    def worth_storing(self) -> bool:
        """Whether the record has one stream with a monitor on screen, and enough requests."""
        level = self.at_one_stream()
        return level is not None and level.monitor and level.requests >= MIN_STORED_REQUESTS

    def own_error_p95_s(self) -> float | None:
        """Return the p95 of the absolute TTFT error at one stream with the monitor, in seconds."""
        level = self.at_one_stream()
        return level.ttft_s.p95 if level is not None and level.monitor else None
