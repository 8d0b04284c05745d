"""What an error answer says about the system message in a request. Pure; the answers are untrusted."""

from __future__ import annotations

import re

from llmtui.wire.errors import error_text

#: Only this much of an answer is searched.
_MAX_CHARS = 8_192
#: Statuses of servers whose chat template raises an error, or that check the messages themselves.
_STATUSES = frozenset({None, 400, 422, 500, 501})
_NOT = r"(?:\bnot\b|n't\b|\bunsupported\b|\binvalid\b|\bunknown\b|\bunexpected\b|\bno\b)"
#: The words of the templates of Gemma and Mistral, of the APIs of OpenAI and Google, and of servers that check roles.
_REFUSES = re.compile(
    rf"\bsystem['\"`]? (?:role|message|prompt|instruction)s?\b[^.\n]{{0,60}}{_NOT}"
    r"|\bsystem['\"`]?[^.\n]{0,20}\bnot (?:supported|allowed|accepted|permitted)"
    rf"|{_NOT}[^.\n]{{0,40}}(?:\bsystem['\"`]? (?:role|message|prompt|instruction)s?\b|['\"`]system['\"`])"
    rf"|{_NOT}[^.\n]{{0,20}}\brole\b[^.\n]{{0,10}}\bsystem\b"
    rf"|\brole\b[^.\n]{{0,20}}\bsystem\b[^.\n]{{0,40}}{_NOT}"
    r"|roles must alternate"
    r"|only (?:the )?user(?:,| and|/| or) ?(?:the )?(?:assistant|model)\b[^.\n]{0,20}\broles?\b"
    r"|developer instruction is not enabled"
    r"|first message must (?:be|have)[^.\n]{0,30}\buser\b|must (?:start|begin) with (?:a |the )?['\"`]?user\b",
    re.IGNORECASE,
)
#: What servers say of an exception that they do not explain.
_NOTHING = frozenset({"", "internal server error", "internal error", "server error"})


def refuses_system(status: int | None, body: bytes) -> bool:
    """Whether this error answer refuses the system message of a request.

    `status` is None for an error inside an answer that began well.
    """
    return status in _STATUSES and _REFUSES.search(body[:_MAX_CHARS].decode("utf-8", "replace")) is not None


def says_nothing(status: int | None, body: bytes) -> bool:
    """Whether this is a failure without a reason. Some servers answer so if their chat template raises an error."""
    return status == 500 and error_text(body[:_MAX_CHARS]).strip(" .").lower() in _NOTHING
