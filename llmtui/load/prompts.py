"""The prompt of each request of a turn, made where it is sent, by its number.

Only the fresh line differs. So a request is a template of bytes, in which the line is replaced by one of equal length.
"""

from __future__ import annotations

import hashlib

from llmtui.model import Struct

#: The line that stands in a template. No other text has it.
PLACEHOLDER = "[904175286301]"


class Template(Struct, frozen=True):
    """The body of all requests of a turn. `key` decides the fresh lines; "" if the prompts have none."""

    body: bytes
    key: str = ""

    def of(self, number: int) -> bytes:
        """Return the body of a request, the first of which has number 1."""
        if not self.key:
            return self.body
        return self.body.replace(PLACEHOLDER.encode(), line_of(f"{self.key}/{number}").encode())


def line_of(key: str) -> str:
    """Return a line that no server has seen before, so that its prefix cache has no match.

    It is always 12 digits in brackets, so that the number of tokens does not vary.
    """
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return f"[{10**11 + number % (9 * 10**11)}]"
