"""What the engine and a worker say to each other: frames of msgpack, each after its length as four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from llmtui.load.prompts import Template
from llmtui.model import (
    Backend,
    Calibration,
    Failure,
    Iteration,
    Level,
    Prompts,
    RunConfig,
    Share,
    Struct,
    TraceTurn,
    WorkerFigures,
)

#: The longest frame; a batch of answers with all their arrivals takes some MB.
MAX_FRAME_BYTES = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Message(Struct, frozen=True, tag_field="m"):
    """Base of all messages."""


class Slice(Message, frozen=True, tag="slice"):
    """A worker's share of a turn: which requests to send, when, and where to. Contains secrets.

    `base` has the fields that all samples of the turn have in common. `requests` and `duration_s` are the window's: one
    of them is 0, unless a `trace` is sent. `settle` requests come before it. The streams of a closed loop start within
    `stagger_s` of each other. `uids` are the users that may listen on the server's port, None if unknown. `prompts` are
    what is asked, in an order that `prompt_seed` decides, from `prompts_from` on (a share of all), and `calibration`
    gives those of a mix their lengths. `limited`: the template has `max_tokens`, so that a prompt can have a limit of
    its own. With a `probe_rate`, `probe` is the body of the requests that probe the server, in 1/s. With `turns` the
    streams are users who hold conversations of this many questions, in a context of `context` tokens (0: unknown).
    `prompt_index` says where the prompts of a file are (see prompt_files/source.py), b"" if that is not known yet.

    The turn is dealt out to several `workers`, of which this is number `worker`, from 0 on: see dealing.py. They begin
    together, at `begin_ns` on the worker's monotonic clock: 0 is at once, and with None the worker prepares the slice,
    reports `Ready`, and waits for `Begin`. One of several keeps the load up after its own window until `Finish`.
    """

    backend: Backend
    config: RunConfig
    level: Level
    base: Iteration
    method: str
    url: str
    headers: dict[str, str]
    template: Template
    max_tokens: int | None = None
    requests: int = 0
    duration_s: float = 0.0
    settle: int = 0
    stagger_s: float = 0.0
    seed: str = ""
    uids: list[int] | None = None
    prompts: Prompts = Prompts()
    trace: TraceTurn | None = None
    calibration: Calibration = Calibration()
    probe_rate: float = 0.0
    probe: Template | None = None
    prompt_seed: str = ""
    prompts_from: float = 0.0
    limited: bool = False
    turns: int = 0
    context: int = 0
    prompt_index: bytes = b""
    worker: int = 0
    workers: int = 1
    begin_ns: int | None = 0


class Halt(Message, frozen=True, tag="halt"):
    """End the slice now: what is under way is cut off, and reported as unfinished."""


class Begin(Message, frozen=True, tag="begin"):
    """Begin the slice at this moment on the worker's monotonic clock, in ns."""

    at_ns: int


class Finish(Message, frozen=True, tag="finish"):
    """All workers have their answers of the window: send no more."""


class Ready(Message, frozen=True, tag="ready"):
    """The slice is prepared, and waits for `Begin`."""


class WindowOver(Message, frozen=True, tag="over"):
    """One of several workers has all its answers of the window, and goes on until `Finish`."""


class Batch(Message, frozen=True, tag="batch"):
    """Samples of the slice under way, in the order in which they ended."""

    samples: list[Iteration]


class Pulse(Message, frozen=True, tag="pulse"):
    """How far the slice is, a few times a second; see llmtui.model.Tick.

    One of several workers has its number as `worker`, from 1 on. The sum over all of them has that of the worker that
    reported, and what it reported as `newest`.
    """

    share: Share = "settling"
    elapsed_s: float = 0.0
    sent: int = 0
    in_flight: int = 0
    finished: int = 0
    failed: int = 0
    counted: int = 0
    tokens: int = 0
    refused: int = 0
    worker: int = 0
    newest: Pulse | None = None


class EncodedBatch(Message, frozen=True, tag="batch"):
    """A `Batch` whose samples are encoded already: each one as its request ends, and not all at once."""

    samples: list[msgspec.Raw]


class SliceDone(Message, frozen=True, tag="done"):
    """The slice ended, and all its samples have been sent. Times are in s since it began.

    The window is from `window_from_s` to `window_to_s`, None if it did not begin or end. `cpu_s` is the processor time
    of the worker. `late_from_s` is since when the client could not hold the rate of an open loop: since then all
    requests were late by more than 2 ms and 1% of their TTFT (see lateness.py); None if it could. `talks_full` is how
    many conversations ended since their history would not have fitted into the context. `error` is why the
    slice ended early or must not be compared: of kind "stopped" if the server is not at fault.

    It began at `began_s` on the monotonic clock of this machine, 0 if it did not begin.

    `counted` requests of the window have ended. Of several `workers`, `cpu_s` is the sum and `busiest_cpu_s` the most
    that one of them used, and `windows` has the window of each by its number, from 1 on. `by_worker` has figures of
    each worker of a cluster.
    """

    window_from_s: float | None = None
    window_to_s: float | None = None
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    halted: bool = False
    late_from_s: float | None = None
    talks_full: int = 0
    error: Failure | None = None
    counted: int = 0
    workers: int = 1
    busiest_cpu_s: float = 0.0
    windows: dict[int, tuple[float, float]] = {}
    by_worker: list[WorkerFigures] = []
    began_s: float = 0.0


#: What a worker says about the course of its slice, when there are several.
Step = Ready | WindowOver
ToWorker = Slice | Halt | Begin | Finish
FromWorker = Batch | Pulse | SliceDone | Ready | WindowOver

_encode = msgspec.msgpack.Encoder().encode


def encoded(sample: Iteration) -> msgspec.Raw:
    """Return a sample for an `EncodedBatch`."""
    return msgspec.Raw(_encode(sample))


def frame(message: Message) -> bytes:
    """Return a message as bytes."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that `data` completes. Raises ValueError for one that is too long."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            yield bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
