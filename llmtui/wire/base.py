"""The interface of a dialect, and the requests, deltas and errors that it returns."""

from __future__ import annotations

from typing import Literal, Protocol

from llmtui.model import Backend, RunConfig, Struct, TokenSource

#: The limit for one line, one event or one whole document: a longer one fails the iteration.
#: JSON with many small values takes up to 26 times its size in memory (tests.bench.hostile_memory).
MAX_LINE_BYTES = 2 * 1024 * 1024


#: The remedy for an answer that is broken or failed, and for one that has another form than the protocol says.
CHECK_SERVER = "check the server, and any proxy in between"
CHECK_PROTOCOL = "check url and protocol"


class WireError(Exception):
    """The server violated its protocol, or reported an error inside its answer. `kind` and `hint` are a `Failure`'s."""

    def __init__(self, message: str, kind: Literal["protocol", "server"] = "protocol", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or CHECK_SERVER
        self.kind: Literal["protocol", "server"] = kind


class Request(Struct, frozen=True):
    """One HTTP request. `headers` may contain secrets: never log them.

    `max_tokens` is the limit in the request, None without one.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    max_tokens: int | None = None


class Delta(Struct, frozen=True, gc=False):
    """The contents of one event of a stream, or of one whole answer. Fields that it does not have are not set.

    `text` is the answer, `reasoning` the thinking before it, `tool` the name and arguments of a tool call; an event
    with any of them carries tokens. A figure replaces that of an earlier delta. Durations are in seconds, by the
    server's own clock. `reasoning_tokens` is the part of `output_tokens` that the server calls thinking. If `replaces`
    is set, the text is the whole answer so far, and no arrival.
    """

    text: str = ""
    reasoning: str = ""
    tool: str = ""
    finish_reason: str | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    load_s: float | None = None
    model: str | None = None
    replaces: bool = False


class ServerInfo(Struct, frozen=True):
    """What a server reports about itself; fields are empty if it does not.

    `weights` is the quantisation or type (Q8_0, bf16), `models` every model that it can serve, `model` the loaded one,
    `context_tokens` the context size of one request, for prompt and answer, `slots` how many requests it computes at a
    time.
    """

    version: str = ""
    weights: str = ""
    model: str = ""
    models: list[str] = []
    context_tokens: int | None = None
    slots: int | None = None


class Parser(Protocol):
    """Parses one answer incrementally. After an error it must not be used again.

    `whole` is set if the answer is one document, which was not streamed. `ended` is set once the server said that
    nothing follows (`[DONE]`); for a document, which must be decoded to tell, once it is complete.
    """

    @property
    def whole(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas completed by `data`. Raises WireError for an error object, an invalid or oversized line."""

    def close(self) -> list[Delta]:
        """Return the deltas left in the buffer at the end of the stream. Raises WireError for an incomplete event."""


class Dialect(Protocol):
    """One protocol: builds requests and parses answers.

    An answer is valid if the stream ended cleanly, at least one delta carried tokens and, with `requires_finish`, one
    had a finish reason. `takes_system`: its requests can have a system message.
    """

    requires_finish: bool
    takes_system: bool

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str, system: str = "") -> Request:
        """Return the request for one iteration, without the fields in `backend.omit`.

        `model` is the resolved model name; "" lets the server choose. `system` is the text of a system message before
        the prompt; without it there is none. Only with `takes_system` is it sent.
        """

    def parser(self, content_type: str) -> Parser:
        """Return a new parser for an answer with this Content-Type ("" without one)."""

    def error_text(self, body: bytes) -> str:
        """Return the message inside an error body (JSON of several shapes, HTML or text); "" if it is empty."""

    def addresses(self, url: str) -> list[str]:
        """Return URLs under which the chat may be, the likeliest first: each may replace `url` of the backend."""

    def health_requests(self, backend: Backend) -> list[Request]:
        """Return requests to try in this order: the server is up when one returns 200. Empty: connecting is enough."""

    def models_request(self, backend: Backend) -> Request | None:
        """Return the request that lists the models; None if the protocol has none."""

    def model_names(self, body: bytes) -> list[str]:
        """Return the names in the answer to `models_request`; empty if it cannot be parsed."""

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """Return requests for version, weights and model. Ignore answers other than 200."""

    def server_info(self, path: str, body: bytes, model: str = "") -> ServerInfo:
        """Parse the 200 answer to the probe of this URL or path. Of several models take `model`. Never raises."""
