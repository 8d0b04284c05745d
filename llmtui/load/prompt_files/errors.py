"""What is wrong with a file of prompts, in words that are safe to show."""

from __future__ import annotations

from llmtui.model import Failure
from llmtui.model.errors import UsageError
from llmtui.text import sanitize


class PromptFileError(UsageError):
    """A file of prompts, or one of its records, cannot be used. One line, safe for a terminal."""

    def __init__(self, message: str) -> None:
        super().__init__(sanitize(message, 1_000))


class BadRecord(Exception):
    """A record has no prompt that can be asked. The message says why, without the record's name."""


class Skip(Exception):
    """A record has nothing to ask, and the next one is asked in its place: an empty conversation."""


class Blank(Skip):
    """A record is a blank line."""


def bad_prompt(problem: PromptFileError) -> Failure:
    """Return the failure of a request whose prompt cannot be asked."""
    return Failure(kind="prompt", message=str(problem), hint="mend the file of prompts, then rerun")
