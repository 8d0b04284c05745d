"""The answer to one request: its text, when it arrived, and what the server reports about it."""

from __future__ import annotations

import dataclasses
import re

from llmtui.model import Stamp, TokenSource
from llmtui.wire.base import Delta

#: Only this much of an answer's text is stored; the rest is only measured.
MAX_TEXT_CHARS = 65_536


@dataclasses.dataclass
class Answer:
    """The answer to one request. Times are in ns since the last byte of the request was written.

    `max_tokens` is the limit in the request (None: no limit), `sent_bytes` the length of the request's body,
    `arrival_bytes` the UTF-8 length of the visible output in each arrival, `body_bytes` the length of the decoded body
    and `first_bytes` its beginning. `thoughts` and `calls` are the first pieces of reasoning and of tool calls.
    `counted_at` is the number of events with output before the server's count of them changed last, and `count_fell`
    says that it once became smaller. `written_ns` is when the request was written, on the monotonic clock, and
    `written_stamp` says whether the kernel passed it to the network then, or got it from us.
    """

    max_tokens: int | None = None
    sent_bytes: int = 0
    written_ns: int = 0
    written_stamp: Stamp = "user"
    connect_ns: int | None = None
    stamp: Stamp = "user"
    streamed: bool = True
    text: str = ""
    thoughts: list[str] = dataclasses.field(default_factory=list)
    calls: list[str] = dataclasses.field(default_factory=list)
    arrivals_ns: list[int] = dataclasses.field(default_factory=list)
    arrival_tokens: list[int] = dataclasses.field(default_factory=list)
    arrival_bytes: list[int] = dataclasses.field(default_factory=list)
    first_output_ns: int | None = None
    end_ns: int = 0
    finish_reason: str | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    reasoning_events: int = 0
    tool_events: int = 0
    counted_at: int | None = None
    count_fell: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    load_s: float | None = None
    body_bytes: int = 0
    first_bytes: bytes = b""
    _events: int = 0
    _sampled_chars: int = 0

    @property
    def text_bytes(self) -> int:
        """UTF-8 length of all output: text, reasoning and tool calls."""
        return sum(self.arrival_bytes)

    @property
    def events(self) -> int:
        """Events that carried output: text, reasoning or a tool call."""
        return sum(self.arrival_tokens)

    @property
    def reasoning(self) -> str:
        """The first part of the reasoning."""
        return "".join(self.thoughts)

    @property
    def tool(self) -> str:
        """The first part of the tool calls."""
        return "".join(self.calls)

    def add(self, deltas: list[Delta], at_ns: int) -> int:
        """Add the deltas that arrived at `at_ns`. Return how many of them carried tokens."""
        carried = 0
        size = 0
        for delta in deltas:
            text = delta.text
            if delta.replaces and (self._events or carried):
                # The answer so far, once more.
                if text:
                    self.text = text[:MAX_TEXT_CHARS]
            elif text or delta.reasoning or delta.tool:
                carried += 1
                output = text + delta.reasoning + delta.tool
                size += visible_bytes(output)
                if self.first_output_ns is None and (text or delta.tool):
                    self.first_output_ns = at_ns
                if text and len(self.text) < MAX_TEXT_CHARS:
                    self.text += text[: MAX_TEXT_CHARS - len(self.text)]
                if output is not text:
                    self._add_unshown(delta)
                # What follows a finish reason was not finished there.
                self.finish_reason = None
            if delta.finish_reason is not None:
                self.finish_reason = delta.finish_reason
            if delta.output_tokens is not None:
                self._add_count(delta, delta.output_tokens, self._events + carried)
            if delta.token_source is not None:
                self.token_source = delta.token_source
            if delta.prompt_tokens is not None:
                self.prompt_tokens = delta.prompt_tokens
            if delta.cached_tokens is not None:
                self.cached_tokens = delta.cached_tokens
            if delta.prefill_s is not None:
                self.prefill_s = delta.prefill_s
            if delta.decode_s is not None:
                self.decode_s = delta.decode_s
            if delta.load_s is not None:
                self.load_s = delta.load_s
        if carried:
            self._events += carried
            if self.arrivals_ns and self.arrivals_ns[-1] == at_ns:
                self.arrival_tokens[-1] += carried
                self.arrival_bytes[-1] += size
            else:
                self.arrivals_ns.append(at_ns)
                self.arrival_tokens.append(carried)
                self.arrival_bytes.append(size)
        return carried

    def _add_unshown(self, delta: Delta) -> None:
        """Add the reasoning and the tool call of a delta."""
        thought, call = delta.reasoning, delta.tool
        room = MAX_TEXT_CHARS - self._sampled_chars
        if thought:
            self.reasoning_events += 1
            if room > 0:
                self.thoughts.append(thought[:room])
        if call:
            self.tool_events += 1
            if room > 0:
                self.calls.append(call[:room])
        self._sampled_chars += len(thought) + len(call)

    def _add_count(self, delta: Delta, tokens: int, events: int) -> None:
        """Add the server's count of output tokens, reported after this many events."""
        if delta.reasoning_tokens is not None:
            self.reasoning_tokens = delta.reasoning_tokens
        if tokens != self.output_tokens:
            self.count_fell = self.count_fell or (self.output_tokens is not None and tokens < self.output_tokens)
            self.output_tokens = tokens
            self.counted_at = events


#: Invisible characters: C0 controls except white space, zero-width and bidirectional ones.
INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")


def visible_bytes(text: str) -> int:
    """Return the UTF-8 length of `text` without invisible characters."""
    if not text.isprintable():
        text = INVISIBLE.sub("", text)
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
