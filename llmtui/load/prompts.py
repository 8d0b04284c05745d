"""The body of each request, made where it is sent, by the number of the request.

The engine builds one body with placeholders, in the form that the server takes. For each request the worker replaces
them as bytes: by the fresh line, by the text of the prompt or its messages, and by the limit of the answer.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from llmtui.model import Struct

#: The line that stands in a template. No other text has it.
PLACEHOLDER = "[904175286301]"
#: The text of the prompt in a template, and the limit of its answer.
TEXT = "[904175286302]"
LIMIT = 871_562_943

_encode = msgspec.json.Encoder().encode
_USER = b'{"role":"user","content":"'
_SYSTEM = b'{"role":"system","content":"'
_FRESH = PLACEHOLDER.encode() + b'"},'


class Message(Struct, frozen=True):
    """One message of a chat."""

    role: str
    content: str


class Prompt(Struct, frozen=True):
    """What one request asks. `max_tokens` is the limit of its answer, 0: that of the run.

    `name` says which one it is: its line in a file, or its lengths. `at_s` is when a trace sent it, in s by the clock
    of the trace: only differences count. `then` are the questions that follow in a conversation.
    """

    messages: list[Message]
    max_tokens: int = 0
    name: str = ""
    at_s: float | None = None
    then: list[str] = []

    @property
    def text(self) -> str:
        """The messages as one text, for a server that takes no messages."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


class PromptSource(Protocol):
    """The prompts of one turn."""

    def prompt(self, number: int) -> Prompt:
        """Return what a request asks, the first of which has number 1: always the same for the same number."""


class Template(Struct, frozen=True):
    """The body of all requests of a turn. `key` decides the fresh lines; "" if the prompts have none."""

    body: bytes
    key: str = ""

    def of(self, number: int, prompt: Prompt | None = None, max_tokens: int = 0) -> bytes:
        """Return the body of a request, the first of which has number 1. `max_tokens` is the run's."""
        body = self.body if prompt is None else self._asking(prompt, max_tokens)
        if not self.key:
            return body
        return body.replace(PLACEHOLDER.encode(), line_of(f"{self.key}/{number}").encode(), 1)

    def _asking(self, prompt: Prompt, max_tokens: int) -> bytes:
        body = self.body.replace(str(LIMIT).encode(), str(prompt.max_tokens or max_tokens).encode())
        before, _, after = body.partition(TEXT.encode())
        start = before.rfind(_USER)
        if start < 0 or not after.startswith(b'"}') or b'"' in before[start + len(_USER) :]:
            return before + _encode(prompt.text)[1:-1] + after
        # What stands before the text, such as a fresh line, goes before the first message.
        line = before[start + len(_USER) :]
        first, *rest = prompt.messages
        system = before[:start].rfind(_SYSTEM)
        if first.role == "system" and system >= 0 and before[system + len(_SYSTEM) : start] == _FRESH:
            # Many chat templates take one system message only.
            start, line = system, PLACEHOLDER.encode() + b"\\n" + line
        head = b'{"role":' + _encode(first.role) + b',"content":"' + line + _encode(first.content)[1:-1] + b'"}'
        return before[:start] + b",".join([head, *map(_encode, rest)]) + after[2:]


def line_of(key: str) -> str:
    """Return a line that no server has seen before, so that its prefix cache has no match.

    It is always 12 digits in brackets, so that the number of tokens does not vary.
    """
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return f"[{10**11 + number % (9 * 10**11)}]"
