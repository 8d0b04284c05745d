"""Which finish reasons of servers say that an answer is complete."""

from __future__ import annotations

from typing import Any

from llmtui.model.finish_words import ended_by, plain_word
from llmtui.text import sanitize
from llmtui.wire.base import WireError
from llmtui.wire.common import string

#: The answer goes on.
_GOES_ON = frozenset({"", "null", "none", "nil", "undefined", "not_finished", "in_progress", "unspecified"})
#: The server withheld the rest.
_FILTERED = frozenset({"content_filter", "content_filtered", "safety", "refusal", "blocklist", "prohibited_content"})


def finish_word(reason: Any) -> str | None:
    """Return the finish reason in the server's own word, None if the answer goes on.

    Raises WireError for a word that does not say that the answer is complete, such as abort, error, cancelled or
    content_filter, and for an unknown one: such an answer was cut off, and its figures are not those of a whole one.
    """
    message = ""
    if isinstance(reason, dict):  # SGLang's own API
        message = string(reason.get("message"))
        reason = reason.get("type")
    if not isinstance(reason, str):
        return None
    if ended_by(reason) is not None:
        return reason
    word = plain_word(reason)
    if word in _GOES_ON:
        return None
    words = f"the server ended the answer with {sanitize(reason, 40)!r}"
    hint = "its content filter refused it; change the prompt" if word in _FILTERED else ""
    raise WireError(f"{words}: {sanitize(message)}" if message else words, "server", hint)
