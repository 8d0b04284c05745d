"""What is measured: one iteration, and why it failed.

Durations are in seconds (`_s`) or nanoseconds (`_ns`) on the monotonic clock; instants for the record are UTC,
ISO 8601.
"""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct

Phase = Literal["warmup", "measured"]
TokenSource = Literal["usage", "server", "arrivals"]
Stamp = Literal["kernel", "user"]

#: From this many cores of foreign CPU on, an iteration is marked disturbed.
DISTURBED_CORES = 0.1


class Failure(Struct, frozen=True):
    """Why an iteration or a backend failed, in words for the person watching. `hint` says what to do next."""

    kind: Literal["connect", "timeout", "http", "protocol", "server", "missing", "stopped"]
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class Iteration(Struct, frozen=True):
    """One request measured from send to last byte. Numbers are None where unknown or where the iteration failed.

    `arrivals_ns` are the arrivals that carried tokens, in ns since the request was written, with the tokens
    (text-bearing events) that each carried in `arrival_tokens`. `refused` counts the times that the server asked to
    come back later (429 or 503 with Retry-After): all else here is of the last request alone.
    `server_cpu` and `steal` are cores: what the server used meanwhile, and what the hypervisor took away. `swapped`
    counts pages that the machine swapped meanwhile, `throttled` the times that heat slowed a core down. `part` grows
    where a server was started again within the attempt, or the run was taken up again.
    """

    run: str
    backend: str
    attempt: int
    iteration: int
    phase: Phase
    started_utc: str
    latency_s: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    tokens_per_s: float | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    finish_reason: str | None = None
    connect_s: float | None = None
    server_prefill_s: float | None = None
    server_decode_s: float | None = None
    server_load_s: float | None = None
    foreign_cpu: float | None = None
    server_cpu: float | None = None
    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0
    stamp: Stamp | None = None
    error: Failure | None = None
    refused: int = 0
    part: int = 1
    text: str = ""
    arrivals_ns: list[int] = []
    arrival_tokens: list[int] = []

    @property
    def ok(self) -> bool:
        """Whether this iteration is a sample."""
        return self.error is None and self.latency_s is not None

    @property
    def server_s(self) -> float | None:
        """What the server's own clock accounts for: load, prefill and decode, in s; None where it tells nothing."""
        told = [s for s in (self.server_load_s, self.server_prefill_s, self.server_decode_s) if s is not None]
        return sum(told) if self.server_prefill_s is not None and self.server_decode_s is not None else None

    @property
    def transport_and_client_s(self) -> float | None:
        """Latency less the server's own time, in s: queue, transport, client, and what the server rounds away."""
        server_s = self.server_s
        return self.latency_s - server_s if self.latency_s is not None and server_s is not None else None

    @property
    def disturbed(self) -> bool:
        """Whether other work took CPU from `DISTURBED_CORES` on while it ran."""
        return self.foreign_cpu is not None and self.foreign_cpu >= DISTURBED_CORES
