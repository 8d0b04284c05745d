"""What every dialect offers to the measuring code, and what it hands back."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from llmtui.model import Backend, RunConfig, Struct, TokenSource

#: More than this on one line, in one event or in one whole document is not an answer: the iteration fails by name.
#: JSON of many small values takes up to 26 times its size once it is decoded (tests.bench.hostile_memory).
MAX_LINE_BYTES = 2 * 1024 * 1024


class WireError(Exception):
    """The server broke its protocol, or reported an error inside its answer. `kind` as in `Failure.kind`."""

    def __init__(self, message: str, kind: Literal["protocol", "server"] = "protocol") -> None:
        super().__init__(message)
        self.message = message
        self.kind: Literal["protocol", "server"] = kind


class Request(Struct, frozen=True):
    """One HTTP request. `headers` may hold secrets: never log them.

    `max_tokens` is how many tokens the answer may have at most; None where the request sets no limit.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    max_tokens: int | None = None


class Delta(Struct, frozen=True, gc=False):
    """What one event of a stream (or one whole answer) told. Only what it told is set.

    `text` is the answer, `reasoning` the thinking before it, `tool` the name and arguments of a tool call; any of them
    non-empty makes the event carry tokens. Where two deltas tell the same figure, the later one holds.
    Durations are the server's own clock, in seconds.
    """

    text: str = ""
    reasoning: str = ""
    tool: str = ""
    finish_reason: str | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    load_s: float | None = None
    model: str | None = None


class ServerInfo(Struct, frozen=True):
    """What a server told of itself. Empty where it told nothing.

    `weights` is the arithmetic (Q8_0, bf16), `models` every model that it can serve, `model` the one it has loaded,
    `context_tokens` the room that it has for prompt and answer.
    """

    version: str = ""
    weights: str = ""
    model: str = ""
    models: list[str] = []
    context_tokens: int | None = None


class Parser(Protocol):
    """Reads one answer, fed as it arrives. Once it raised, it is of no further use."""

    def feed(self, data: bytes) -> list[Delta]:
        """Deltas completed by these bytes. Raises WireError for an error object, a broken line or an oversized one."""

    def close(self) -> list[Delta]:
        """The stream ended cleanly: what remained in the buffer. Raises WireError when that is a torn event."""


class Dialect(Protocol):
    """One protocol: how to ask and how to read.

    An answer is a success when the stream ended cleanly, at least one delta carried tokens and, where
    `requires_finish`, one told a finish reason.
    """

    requires_finish: bool

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """The request for one iteration. `model` is the resolved model name ("" lets the server choose)."""

    def parser(self, content_type: str) -> Parser:
        """A fresh parser for an answer with this Content-Type ("" when the server sent none)."""

    def error_text(self, body: bytes) -> str:
        """The plain sentence inside an error body (JSON in any of the known shapes, HTML, or text); "" when empty."""

    def without_refused(self, status: int, body: bytes) -> Dialect | None:
        """The dialect that leaves out the optional field to which this error answer objects; None for other errors."""

    def health_requests(self, backend: Backend) -> list[Request]:
        """What to ask, in this order, until one answers 200: then the server is up. Empty: a connection must do."""

    def models_request(self, backend: Backend) -> Request | None:
        """How to ask which models there are; None where the protocol has no such question."""

    def model_names(self, body: bytes) -> list[str]:
        """The names in the answer to `models_request`; empty when it cannot be read."""

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """Questions that tell version, weights and model. Each may fail: answers other than 200 are to be dropped."""

    def server_info(self, path: str, body: bytes) -> ServerInfo:
        """What the 200 answer to the probe of this URL or path told. Never raises."""


JSON = dict[str, Any]
