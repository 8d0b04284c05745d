"""What the engine and a worker say to each other: frames of msgpack, each after its length as four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from llmtui.load.prompts import Template
from llmtui.model import Backend, Calibration, Failure, Iteration, Level, Prompts, RunConfig, Share, Struct, TraceTurn

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


class Halt(Message, frozen=True, tag="halt"):
    """End the slice now: what is under way is cut off, and reported as unfinished."""


class Batch(Message, frozen=True, tag="batch"):
    """Samples of the slice under way, in the order in which they ended."""

    samples: list[Iteration]


class Pulse(Message, frozen=True, tag="pulse"):
    """How far the slice is, a few times a second; see llmtui.model.Tick."""

    share: Share = "settling"
    elapsed_s: float = 0.0
    sent: int = 0
    in_flight: int = 0
    finished: int = 0
    failed: int = 0
    counted: int = 0
    tokens: int = 0
    refused: int = 0


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
    """

    window_from_s: float | None = None
    window_to_s: float | None = None
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    halted: bool = False
    late_from_s: float | None = None
    talks_full: int = 0
    error: Failure | None = None


ToWorker = Slice | Halt
FromWorker = Batch | Pulse | SliceDone

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
