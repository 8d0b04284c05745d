"""What every dialect offers to the measuring code, and what it hands back."""

from __future__ import annotations

from typing import Any, Protocol

from llmtui.model import Backend, RunConfig, Struct

#: More than this on one line, or of one event, is not an answer: the iteration fails by name, memory stays bounded.
MAX_LINE_BYTES = 8 * 1024 * 1024


class WireError(Exception):
    """The server broke its protocol, or reported an error inside its answer. `kind` as in `Failure.kind`."""

    def __init__(self, message: str, kind: str = "protocol") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind


class Request(Struct, frozen=True):
    """One HTTP request. `headers` may hold secrets: never log them."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Delta(Struct, frozen=True):
    """What one event of a stream (or one whole answer) told. Only what it told is set.

    `text` is the answer, `reasoning` the thinking before it; either one non-empty makes the event carry tokens.
    Durations are the server's own clock, in seconds.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: str | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    load_s: float | None = None
    model: str | None = None


class Parser(Protocol):
    """Reads one answer, fed as it arrives."""

    def feed(self, data: bytes) -> list[Delta]:
        """Deltas completed by these bytes. Raises WireError for an error object, a broken line or an oversized one."""

    def close(self) -> list[Delta]:
        """The stream ended cleanly: what remained in the buffer. Raises WireError when that is a torn event."""


class Dialect(Protocol):
    """One protocol: how to ask and how to read."""

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """The request for one iteration. `model` is the resolved model name ("" lets the server choose)."""

    def parser(self, content_type: str) -> Parser:
        """A fresh parser for an answer with this Content-Type."""

    def error_text(self, body: bytes) -> str:
        """The plain sentence inside an error body (JSON in any of the known shapes, HTML, or text)."""


JSON = dict[str, Any]
