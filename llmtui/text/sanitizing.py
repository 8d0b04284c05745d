"""Text from servers, made safe to print: no escapes, controls or bidi overrides, and as wide as it is measured."""

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
#: Cc controls, Cf format (bidi, zero width, joiners), Cs lone surrogates (not encodable), Co private, Cn unassigned, Me
#: enclosing marks (the frame of a keycap).
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Me"})
#: What changes the width of the sign before it in some terminals and not in others, or looks like nothing: variation
#: selectors, skin tones, and fillers.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
#: More combining marks than this on one letter would be drawn over the neighbouring rows.
_MAX_MARKS = 2


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = _with_few_marks(_UNSEEN.sub("", text))
    # Hangul's letters, and letters with accents, become one sign each; a few signs become several.
    composed = unicodedata.normalize("NFC", text)
    return text if composed == text else _with_few_marks(composed)


def _with_few_marks(text: str) -> str:
    characters: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _DROPPED:
            continue
        marks = marks + 1 if category == "Mn" else 0
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
