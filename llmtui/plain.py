"""Text from servers made harmless: the one place where model names, errors, answers and log lines become plain text.

Pure and free of Textual, so that the headless client uses it too.
"""

from __future__ import annotations

import re
import unicodedata

#: An escape sequence: OSC/DCS/SOS/PM/APC up to their end (or the end of the text), CSI, or two characters.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_SPACES = re.compile(r"\s+")
#: Cc controls, Cf format (bidi, zero width, joiners), Cs lone surrogates (they cannot be written), Co and Cn unknown.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
#: More combining marks than this on one letter paint over the neighbouring rows.
_MARKS = 2


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _DROPPED:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)


def plain(text: str, limit: int = 300) -> str:
    """`text` on one line, without escape sequences, controls or bidi overrides, at most `limit` characters long."""
    # Cutting before cleaning bounds the work that a huge text can cause.
    text = _ESCAPES.sub("", text[: limit * 8])
    text = _SPACES.sub(" ", _printable(_SPACES.sub(" ", text))).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def plain_lines(text: str, limit: int = 20_000) -> list[str]:
    """`text` as printable lines (line breaks kept, tabs as spaces), at most `limit` characters in all."""
    cut = len(text) > limit
    text = _ESCAPES.sub("", text[:limit])
    lines = [_printable(line.replace("\t", "    ")).rstrip() for line in text.splitlines()]
    return [*lines, "…"] if cut else lines
