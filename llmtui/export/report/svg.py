"""Pieces of SVG and HTML as text. Pure; every text is sanitized and escaped here.

Coordinates are in units of the view box, in which a letter of an axis is 12 high.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, fit_name

#: The width of all charts. On a narrow screen they shrink, so they are not much wider than a telephone.
WIDTH = 420
#: The shapes of the backends' marks, so that colour never stands alone.
SHAPES = ("circle", "square", "triangle", "diamond", "wedge", "hexagon", "star", "plus", "cross")
#: The dashes of their lines: none, then others.
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 5", "12 3", "2 2 6 2", "1 4", "8 2 2 2 2 2")
#: The width of a letter of an axis, about: enough to leave room.
LETTER = 6.6


def escape(text: str, limit: int = 600) -> str:
    """Return `text` for HTML, on one line: no markup, escape sequence or bidirectional override is left."""
    return html.escape(sanitize(text, limit), quote=True)


def number(value: float) -> str:
    """Return a coordinate in tenths."""
    return f"{value:.1f}".removesuffix(".0")


def points(places: Sequence[tuple[float, float]]) -> str:
    """Return places as a path."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in places)


def line(places: Sequence[tuple[float, float]], kind: str, dash: str = "") -> str:
    """Return a line through places, of a class of the style sheet."""
    of_dash = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="{kind}" d="{points(places)}"{of_dash}/>'


def dash_of(index: int) -> str:
    """Return the dashes of a backend's line, "" for none."""
    return _DASHES[index % len(_DASHES)]


def label(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text whose base line begins, ends or is centred at a place."""
    of_kind = f' class="{kind}"' if kind else ""
    of_anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{number(x)}" y="{number(y)}"{of_kind}{of_anchor}>{escape(text, 200)}</text>'


def series_class(index: int) -> str:
    """Return the class that has a backend's colour."""
    return f"s{index % len(SHAPES) + 1}"


def mark(index: int, places: Sequence[tuple[float, float]], size: float = 4, kind: str = "mark", tip: str = "") -> str:
    """Return the marks of a backend at these places, as one path; `tip` is shown when a pointer is over it."""
    path = "".join(_shape(SHAPES[index % len(SHAPES)], x, y, size) for x, y in places)
    inner = f"<title>{escape(tip, 300)}</title>" if tip else ""
    end = f">{inner}</path>" if inner else "/>"
    return f'<path class="{kind} {series_class(index)}" d="{path}"{end}'


def _shape(shape: str, x: float, y: float, r: float) -> str:
    if shape == "circle":
        return f"M{number(x - r)} {number(y)}a{number(r)} {number(r)} 0 1 0 {number(2 * r)} 0a" + (
            f"{number(r)} {number(r)} 0 1 0 {number(-2 * r)} 0z"
        )
    if shape == "square":
        s = 0.88 * r
        return f"M{number(x - s)} {number(y - s)}h{number(2 * s)}v{number(2 * s)}h{number(-2 * s)}z"
    if shape == "plus":
        t = 0.38 * r
        corners = [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r), (-t, r), (-t, t), (-r, t), (-r, -t)]
        return points([(x + a, y + b) for a, b in [*corners, (-t, -t)]]) + "z"
    if shape == "cross":
        t = 0.4 * r
        arms = [(-r, -r + t), (-r + t, -r), (0, -t), (r - t, -r), (r, -r + t), (t, 0), (r, r - t), (r - t, r), (0, t)]
        return points([(x + a, y + b) for a, b in [*arms, (-r + t, r), (-r, r - t), (-t, 0)]]) + "z"
    turns = {"triangle": (3, -90), "wedge": (3, 90), "diamond": (4, -90), "hexagon": (6, -90), "star": (10, -90)}
    count, start = turns[shape]
    corners = []
    for n in range(count):
        reach = r * (0.45 if shape == "star" and n % 2 else 1.15)
        angle = math.radians(start + 360 * n / count)
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points(corners) + "z"


def legend(entries: Sequence[tuple[int, str]], width: float = WIDTH) -> tuple[str, float]:
    """Return the marks with their names, in as many rows as they need, and the height of these."""
    parts, x, y = [], 0.0, 10.0
    for index, name in entries:
        name = fit_name(sanitize(name, 200), 30)
        wide = 16 + LETTER * cells_wide(name) + 14
        if x and x + wide > width:
            x, y = 0.0, y + 16
        parts += [mark(index, [(x + 6, y - 4)]), label(x + 14, y, name, "name")]
        x += wide
    return "".join(parts), y + 8


def drawing(height: float, body: str, words: str) -> str:
    """Return the SVG of this height. `words` say what it shows, for those who do not see it."""
    return f'<svg viewBox="0 0 {WIDTH} {number(height)}" role="img" aria-label="{escape(words, 400)}">{body}</svg>'


def figure(title: str, body: str, note: str = "") -> str:
    """Return a chart with its title, and a note below it."""
    below = f'<p class="note">{escape(note, 800)}</p>' if note else ""
    return f"<figure><figcaption>{escape(title[:1].upper() + title[1:])}</figcaption>{body}{below}</figure>"
