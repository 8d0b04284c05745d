"""What the engine asks a task on another machine, and what it answers: msgpack, and no code or key among it."""

from __future__ import annotations

import msgspec

from llmtui.load.messages import Slice
from llmtui.model import Struct

#: The operation that a Dask worker gets while a task of llmtui runs on it.
OPERATION = "llmtui"


class Terms(Struct, frozen=True):
    """What a task is started with: its name, the version of llmtui that starts it, and the id of the run."""

    token: str
    version: str
    run: str = ""


class Sealed(Struct, frozen=True):
    """A slice without keys: in their places stand `marker`, a number, and a dot.

    `names` has for each number the environment variables of which the first one that is set has the key.
    """

    of: Slice
    marker: str = ""
    names: list[list[str]] = []


class Ask(Struct, frozen=True, tag_field="a"):
    """Base of what the engine asks."""


class Greet(Ask, frozen=True, tag="greet"):
    """Who are you?"""


class Ping(Ask, frozen=True, tag="ping"):
    """What time is it?"""


class Reach(Ask, frozen=True, tag="reach"):
    """How long does a connection to this server take?"""

    host: str
    port: int


class Certify(Ask, frozen=True, tag="certify"):
    """How large is the error of a TTFT at this load, by the record of `llmtui accuracy` there?"""

    streams: int = 0
    rate: float = 0.0


class Carry(Ask, frozen=True, tag="carry"):
    """Carry out a slice. Slices are numbered; one that was taken is not taken again."""

    number: int
    sealed: Sealed


class Fetch(Ask, frozen=True, tag="fetch"):
    """What is new? All frames up to `acknowledged` have arrived."""

    acknowledged: int = 0


class Tell(Ask, frozen=True, tag="tell"):
    """Pass this on to the measuring process: a frame for the slice with this number (see llmtui.load.messages)."""

    number: int
    frame: bytes


class End(Ask, frozen=True, tag="end"):
    """End the task."""


AnyAsk = Greet | Ping | Reach | Certify | Carry | Fetch | Tell | End


class Kept(Struct, frozen=True):
    """A frame of the measuring process (see llmtui.load.messages) that is kept until it is acknowledged."""

    seq: int
    number: int
    frame: bytes


class Answer(Struct, frozen=True):
    """The answer to any of them; fields that it does not need are left out.

    Times are in ns on the monotonic clock of the other machine. `boot` and `network` say which machine and which
    network it is, "" where the system does not say. `rtts_s` are the times of connections, and `unreached` is why
    there are none. `others` counts the other runs that measure on the same machine, which has `cores`, 0 if that is
    unknown. `own_error_s` is a p95 in s, None if it is unknown.
    """

    received_ns: int = 0
    sent_ns: int = 0
    version: str = ""
    host: str = ""
    boot: str = ""
    network: str = ""
    rtts_s: list[float] = []
    unreached: str = ""
    frames: list[Kept] = []
    others: int = 0
    cores: int = 0
    own_error_s: float | None = None


encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(AnyAsk).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_terms = msgspec.msgpack.Decoder(Terms).decode
