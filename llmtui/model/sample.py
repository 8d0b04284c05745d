"""The measurement of one iteration, and why it failed.

Durations are in seconds (`_s`) or nanoseconds (`_ns`) on the monotonic clock; instants for the record are UTC,
ISO 8601.
"""

from __future__ import annotations

import itertools
import statistics
from typing import Literal

from llmtui.model.base import Outside, Own, Struct
from llmtui.model.power import Power

Phase = Literal["warmup", "measured"]
TokenSource = Literal["usage", "server", "limit", "arrivals"]
#: Whose clock stamped something: "other" is that of another tool, which may have measured only a latency.
Stamp = Literal["kernel", "user", "other"]

#: No engine takes less time for a token of one stream.
FASTEST_NS = 200_000
#: Gaps below this share of the average one are inside a piece; below half of it if most gaps are that short.
_PIECE_SHARE = 0.05
_HALF = 0.5

#: An iteration is marked as disturbed if other processes used this many cores or more, ...
DISTURBED_CORES = 0.1
#: ... or this share of the cores that were idle, if that is more: a large machine always has some background work.
DISTURBED_SHARE = 0.01

#: Servers report up to three durations, and some of them whole milliseconds: their sum is off by no more than this.
CLOCK_GRAIN_S = 0.0015
#: A server loaded its model during a request if its own clock says that this took so long, in s: to find a loaded one
#: takes Ollama 0.6 to 10 ms, and to load the smallest takes it 0.5 s.
LOADED_S = 0.1
#: It is also this share of the time to the first token: below, nothing that is compared changes.
LOADED_SHARE = 0.01


def disturbed_from(cores: int, used: float = 0.0) -> float:
    """Return the cores of other processes from which on an iteration is disturbed, to three decimals.

    `cores` are those of the machine, `used` those that the server and others kept busy.
    """
    return max(DISTURBED_CORES, round(DISTURBED_SHARE * (cores - used), 3))


def rest_s(ours_s: float | None, servers_s: float | None) -> float | None:
    """Return our time minus the server's (s), 0 if the server's is longer by no more than `CLOCK_GRAIN_S`.

    It is negative beyond that: a server's time includes the token that ends an answer, which is not sent (one of
    llama.cpp's: -9 ms).
    """
    if ours_s is None or servers_s is None:
        return None
    return 0.0 if -CLOCK_GRAIN_S <= ours_s - servers_s < 0 else ours_s - servers_s


def is_load(load_s: float | None, ttft_s: float | None, latency_s: float | None) -> bool:
    """Whether a server that reports this load time of a request (s) loaded its model, and had it not in memory."""
    return load_s is not None and load_s >= max(LOADED_S, LOADED_SHARE * (ttft_s or latency_s or 0.0))


def pieces(arrivals_ns: list[int]) -> list[int]:
    """Return the index of the first arrival of each piece of an answer.

    What a server or proxy held back and then sent at once may be read in several arrivals.
    """
    if len(arrivals_ns) < 2:
        return list(range(len(arrivals_ns)))
    gaps = [b - a for a, b in itertools.pairwise(arrivals_ns)]
    if min(gaps) > FASTEST_NS:
        return list(range(len(arrivals_ns)))
    average = sum(gaps) / len(gaps)
    least = _HALF * average if statistics.median(gaps) <= FASTEST_NS else min(FASTEST_NS, _PIECE_SHARE * average)
    return [0, *(number for number, gap in enumerate(gaps, 1) if gap > least)]


class Failure(Struct, frozen=True):
    """Why an iteration or a backend failed, as text for the user. `hint` says what to do next."""

    kind: Literal["connect", "timeout", "http", "protocol", "server", "missing", "stopped", "prompt"]
    message: Outside
    hint: Outside = ""

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class Iteration(Struct, frozen=True):
    """One request, measured from send to last byte. Numbers are None if unknown or if the request failed.

    `arrivals_ns` are the arrivals with tokens, in ns since the request was written, and `arrival_tokens` the number of
    tokens (events with text) in each. `hidden_tokens` are those that the server counts and did not send, such as
    silent thinking. `refused` counts the replies 429 or 503 with a Retry-After header, and `repeated` the requests that
    llmtui itself spoiled and measured again; everything else is of the last request. `foreign_cpu`, `server_cpu` and
    `steal` are cores: those used by other processes, by the server, and by other guests of the hypervisor. `swapped`
    counts pages, `throttled` how often heat slowed down a core. `part` is 1 until a server is restarted within the
    attempt or the run is resumed, which adds 1 each. `launch` counts the planned launches of the server within the
    attempt, which `part` does not: 1 is the first one, or a server that runs already. `seq` counts the iterations of a
    run in the order in which the engine started them, from 1 on, also after a resume; 0 in a history of 0.1.0. From
    `disturbed_from` cores of others on the iteration is disturbed. `cpu_limited` are cores that the CPU limit of a
    container took from the server or from llmtui. A sample that is `loaded` is in no figure.

    A request of a load has its `level`, the `seq` of its turn as `turn`, its number in the turn as `request`, and its
    round as `iteration`. `written_s` is when it was written, and `due_s` when it was due (None in a closed loop), both
    in s since the turn began. The difference is the client queue; `waited_s` is the part of it spent waiting for the
    cap. `in_flight` counts the requests under way once it was sent. `requests_per_s`, `output_tokens_per_s`,
    `goodput_per_s` and `attainment` are of a whole turn (see `Turn.as_sample`). `stamp` and `written_stamp` say whose
    clock stamped the arrivals and the request. `prompt` names the one that was asked, where they differ: its line in
    the file, or its lengths. A request whose `share` is "probe" was sent beside the load: it has no number, and is in
    none of its figures.

    A question of a conversation has its number in the turn of the load as `talk`, and is its question `talk_turn`, both
    from 1 on; before it the user thought for `thought_s`. `power` is of an iteration of a race, or of a whole turn.
    """

    run: Own
    backend: Own
    attempt: int
    iteration: int
    phase: Phase
    started_utc: Own
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
    hidden_tokens: int = 0
    finish_reason: Outside | None = None
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
    repeated: int = 0
    part: int = 1
    launch: int = 1
    seq: int = 0
    disturbed_from: float = DISTURBED_CORES
    level: int = 0
    turn: int = 0
    request: int = 0
    share: Literal["", "settling", "window", "tail", "probe"] = ""
    worker: int = 0
    written_s: float | None = None
    due_s: float | None = None
    waited_s: float | None = None
    in_flight: int | None = None
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    goodput_per_s: float | None = None
    attainment: float | None = None
    written_stamp: Stamp | None = None
    prompt: Own = ""
    talk: int = 0
    talk_turn: int = 0
    thought_s: float | None = None
    text: Outside = ""
    arrivals_ns: list[int] = []
    arrival_tokens: list[int] = []
    power: Power | None = None
    cpu_limited: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether this iteration is a sample."""
        return self.error is None and self.latency_s is not None

    @property
    def in_one_piece(self) -> bool:
        """Whether the answer came in one piece, so that nothing but its latency can be measured."""
        return (
            self.ok
            and self.stamp != "other"
            and self.ttft_s is None
            and self.itl_s is None
            and self.tokens_per_s is None
        )

    @property
    def server_s(self) -> float | None:
        """Load, prefill and decode by the server's own clock (s), None if it does not report them."""
        parts = [s for s in (self.server_load_s, self.server_prefill_s, self.server_decode_s) if s is not None]
        return sum(parts) if self.server_prefill_s is not None and self.server_decode_s is not None else None

    @property
    def transport_and_client_s(self) -> float | None:
        """Latency minus `server_s` (s): queue, transport and client. See `rest_s` for when it is negative."""
        return rest_s(self.latency_s, self.server_s)

    @property
    def disturbed(self) -> bool:
        """Whether other processes used `disturbed_from` cores or more meanwhile."""
        return self.foreign_cpu is not None and self.foreign_cpu >= self.disturbed_from

    @property
    def loaded(self) -> bool:
        """Whether the server loaded its model meanwhile, by its own clock: that is not part of an answer."""
        return self.ok and is_load(self.server_load_s, self.ttft_s, self.latency_s)
