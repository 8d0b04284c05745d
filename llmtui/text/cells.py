"""The width of text in terminal cells, and what replaces letters that an encoding lacks, cell for cell."""

from __future__ import annotations

import codecs
import textwrap
import unicodedata

#: The error handler of streams: `open(..., errors=CELLS)`.
CELLS = "llmtui.cells"

#: Signs that ASCII has a form of. A text keeps its columns, so each form is as wide as the sign.
_PLAIN = str.maketrans("‐‑‒–—−‘’‚‛“”„‹›«»…·•×→←↑↓µ✓✗", "------''''\"\"\"<><>..*x><^vuvx")
#: Hangul's vowels and final consonants are drawn into the cell of the first consonant.
_JOINING = ((0x1160, 0x11FF), (0xD7B0, 0xD7FB))
#: Wide signs that the oldest Python's tables call narrow.
_WIDE = ((0x3248, 0x324F), (0x4DC0, 0x4DFF))


def cell_width(character: str) -> int:
    """The number of cells that a terminal gives to `character`."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    code = ord(character)
    if any(first <= code <= last for first, last in _JOINING):
        return 0
    wide = unicodedata.east_asian_width(character) in "WF" or any(first <= code <= last for first, last in _WIDE)
    return 2 if wide else 1


def cells_wide(text: str) -> int:
    """The width of `text` in terminal cells."""
    return len(text) if text.isascii() else sum(map(cell_width, text))


def pad(text: str, width: int) -> str:
    """`text` with blanks after it, at least `width` cells wide."""
    return text + " " * (width - cells_wide(text))


def fit(text: str, width: int) -> str:
    """`text` in at most `width` cells, with three dots in place of what was cut off."""
    if cells_wide(text) <= width:
        return text
    room, kept = width - 3, 0
    for character in text:
        room -= cell_width(character)
        if room < 0:
            break
        kept += 1
    return text[:kept].rstrip() + "..."[: max(0, width)]


def fit_name(name: str, width: int) -> str:
    """`name` in at most `width` cells, cut in its middle: names often differ at their end only."""
    if cells_wide(name) <= width:
        return name
    half, start = max(0, width - 3) // 2, len(name)
    while start and cells_wide(name[start - 1 :]) <= half:
        start -= 1
    # A mark is not shown without its letter.
    while start < len(name) and not cell_width(name[start]):
        start += 1
    return fit(name, width - cells_wide(name[start:])) + name[start:]


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """`text` in lines of at most `width` cells (20 or more), all but the first indented."""
    # A character for each cell: NUL is the second cell of a wide sign.
    cells = text if text.isascii() else "".join(c + "\0" * (cell_width(c) - 1) for c in text)
    # A line may end between the two cells of a sign, which then needs one more.
    room = max(20, width) - ("\0" in cells)
    lines = textwrap.wrap(cells, room, subsequent_indent=indent, break_on_hyphens=False, break_long_words=True)
    return [line.replace("\0", "") for line in lines]


def plain(text: str, encoding: str) -> str:
    """`text` with a substitute for every letter that `encoding` lacks: a similar one, or a question mark per cell."""
    return "".join(_substitute(character, encoding) for character in text)


def _substitute(character: str, encoding: str) -> str:
    width = cell_width(character)
    # The letter without its accents. Compatibility forms are no substitute: they would make 102 of 10².
    bare = "".join(c for c in unicodedata.normalize("NFD", character) if cell_width(c))
    for similar in (character, character.translate(_PLAIN), bare):
        try:
            similar.encode(encoding)
        except UnicodeEncodeError:
            continue
        return similar
    return "?" * width


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end], error.encoding), error.end


codecs.register_error(CELLS, _replace)
