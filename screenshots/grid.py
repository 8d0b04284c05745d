"""Draws an SVG of Textual on its grid of cells, so that no font moves a border or leaves a gap in a bar.

Lines, blocks and braille become shapes by their Unicode names; every other character stands in the middle of its cell.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from llmtui.text.cells import cell_width

CELL = (12.2, 24.4)
#: From the baseline of a line of text to the top of its cell.
ABOVE = 18.5
FONTS = "DejaVu Sans Mono, FreeMono"
LIGHT, HEAVY = 1.6, 3.6

_TEXT = re.compile(
    r'<text class="(?P<style>[^"]+)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)" textLength="[^"]*" clip-path="[^"]*">'
    r"(?P<text>[^<]*)</text>"
)
_EIGHTHS = {
    "ONE EIGHTH": 1, "ONE QUARTER": 2, "THREE EIGHTHS": 3, "HALF": 4, "FIVE EIGHTHS": 5, "THREE QUARTERS": 6,
    "SEVEN EIGHTHS": 7,
}  # fmt: skip
_SHADES = {"LIGHT SHADE": 0.25, "MEDIUM SHADE": 0.5, "DARK SHADE": 0.75}
_SIDES = {"HORIZONTAL": ("LEFT", "RIGHT"), "VERTICAL": ("UP", "DOWN")}
#: Column and row of each bit of a braille character.
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))

#: Left, top, width and height as shares of a cell.
Shape = tuple[float, float, float, float]


def on_grid(svg: str) -> str:
    """Return the SVG with each character in its cell."""
    return _TEXT.sub(_line, svg.replace("Fira Code", FONTS))


def _line(match: re.Match[str]) -> str:
    style, left, top = match["style"], float(match["x"]), float(match["y"]) - ABOVE
    drawn: list[str] = []
    for character in html.unescape(match["text"]):
        wide = cell_width(character) * CELL[0]
        drawn += _character(character, style, left, top, wide)
        left += wide
    return "".join(drawn)


def _character(character: str, style: str, left: float, top: float, wide: float) -> Iterator[str]:
    if not character.strip():
        return
    name = unicodedata.name(character, "")
    opacity = next((share for shade, share in _SHADES.items() if name == shade), 1.0)
    shapes = list(shapes_of(character, name))
    for x, y, width, height in shapes:
        yield (
            f'<rect class="{style}" x="{left + x * wide:.2f}" y="{top + y * CELL[1]:.2f}" width="{width * wide:.2f}" '
            f'height="{height * CELL[1]:.2f}" opacity="{opacity}" shape-rendering="crispEdges"/>'
        )
    if not shapes:
        middle = left + wide / 2
        yield f'<text class="{style}" text-anchor="middle" x="{middle:.2f}" y="{top + ABOVE:.2f}">'
        yield f"{html.escape(character)}</text>"


def shapes_of(character: str, name: str) -> Iterator[Shape]:
    """Yield the rectangles of a line, a block or a braille character. Others have none."""
    if name.startswith("BRAILLE PATTERN"):
        bits = ord(character) - 0x2800
        for bit, (column, row) in enumerate(_DOTS):
            if bits >> bit & 1:
                yield (0.14 + 0.5 * column, 0.06 + 0.25 * row, 0.24, 0.12)
    elif name == "FULL BLOCK" or name in _SHADES:
        yield (0, 0, 1, 1)
    elif name.endswith((" BLOCK", "EIGHTH BLOCK")) and name.split(" ", 1)[0] in ("LOWER", "UPPER", "LEFT", "RIGHT"):
        side, size = name.removesuffix(" BLOCK").split(" ", 1)
        if size in _EIGHTHS:
            yield _block(side, _EIGHTHS[size] / 8)
    elif name.startswith("BOX DRAWINGS"):
        yield from _box(name.removeprefix("BOX DRAWINGS ").replace("ARC ", ""))


def _block(side: str, share: float) -> Shape:
    return {
        "LOWER": (0.0, 1 - share, 1.0, share),
        "UPPER": (0.0, 0.0, 1.0, share),
        "LEFT": (0.0, 0.0, share, 1.0),
        "RIGHT": (1 - share, 0.0, share, 1.0),
    }[side]


def _box(name: str) -> Iterator[Shape]:
    """Yield a shape for each arm of "LIGHT DOWN AND RIGHT", "HEAVY HORIZONTAL", "UP HEAVY AND DOWN LIGHT", ..."""
    words = name.replace(" AND ", " ").split()
    if not {"LIGHT", "HEAVY"} & set(words):
        words.insert(0, "LIGHT")
    mixed = words[0] not in ("LIGHT", "HEAVY")
    waiting: list[str] = []
    weight = "" if mixed else words[0]
    for word in words if mixed else words[1:]:
        if word in ("LIGHT", "HEAVY"):
            yield from (shape for side in waiting for shape in _arms(side, word))
            waiting = []
        elif mixed:
            waiting.append(word)
        else:
            yield from _arms(word, weight)


def _arms(word: str, weight: str) -> Iterator[Shape]:
    thick = HEAVY if weight == "HEAVY" else LIGHT
    across, along = thick / CELL[0], thick / CELL[1]
    for side in _SIDES.get(word, (word,)):
        if side == "LEFT":
            yield (0, 0.5 - along / 2, 0.5 + across / 2, along)
        elif side == "RIGHT":
            yield (0.5 - across / 2, 0.5 - along / 2, 0.5 + across / 2, along)
        elif side == "UP":
            yield (0.5 - across / 2, 0, across, 0.5 + along / 2)
        elif side == "DOWN":
            yield (0.5 - across / 2, 0.5 - along / 2, across, 0.5 + along / 2)
