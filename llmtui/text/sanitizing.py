"""Text from servers, made safe to print: no terminal escapes, controls or bidi overrides."""

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
#: Cc controls, Cf format (bidi, zero width, joiners), Cs lone surrogates (not encodable), Co private, Cn unassigned.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
#: More combining marks than this on one letter would be drawn over the neighbouring rows.
_MAX_MARKS = 2


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    characters: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _DROPPED:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MAX_MARKS:
            characters.append(" " if category == "Zs" else character)
    return "".join(characters)


def sanitize(text: str, limit: int = 300) -> str:
    """Return `text` on one line, without escape sequences, controls or bidi overrides, at most `limit` characters."""
    # Truncate first: that bounds the work on a huge text.
    text = _ESCAPES.sub("", text[: limit * 8])
    text = _SPACES.sub(" ", _printable(_SPACES.sub(" ", text))).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def sanitize_lines(text: str, limit: int = 20_000) -> list[str]:
    """Return `text` as printable lines with tabs as spaces, at most `limit` characters in all."""
    truncated = len(text) > limit
    text = _ESCAPES.sub("", text[:limit])
    lines = [_printable(line.replace("\t", "    ")).rstrip() for line in text.splitlines()]
    return [*lines, "…"] if truncated else lines
