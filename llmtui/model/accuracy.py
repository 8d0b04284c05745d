"""What `llmtui accuracy` measured: the errors of each figure, by level, and the record of one whole measurement."""

from __future__ import annotations

from llmtui.model.base import Struct
from llmtui.model.sample import Stamp
from llmtui.model.state import Machine

SCHEMA_VERSION = 1
#: A result from fewer requests is printed and not kept: it would pass for the machine's error.
MIN_STORED_REQUESTS = 20


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


class MonitorLoad(Struct, frozen=True):
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
    watching: MonitorLoad | None = None
    versions: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    def at_one_stream(self) -> Level | None:
        """The level that stands for the tool, as runs measure one stream at a time: with the monitor, if measured."""
        ones = [level for level in self.levels if level.streams == 1]
        return max(ones, key=lambda level: level.monitor, default=None)

    @property
    def worth_storing(self) -> bool:
        """Whether it tells enough to stand for this machine: one stream, a monitor on screen, enough requests."""
        level = self.at_one_stream()
        return level is not None and level.monitor and level.requests >= MIN_STORED_REQUESTS

    def own_error_p95_s(self) -> float | None:
        """p95 of the absolute TTFT error at one stream with the monitor on screen, in seconds."""
        level = self.at_one_stream()
        return level.ttft_s.p95 if level is not None and level.monitor else None
