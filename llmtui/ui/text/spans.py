"""Screen lines as plain data: spans of text with roles that a theme colours. Widgets turn them into strips."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len, set_cell_size

#: What a span means; a theme decides how it looks. `s1` to `s9` are the backends' colours, `t1` to `t9` their tints.
Role = Literal[
    "", "dim", "strong", "title", "good", "warn", "bad", "accent", "rule", "focus", "key", "best",
    "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9",
    "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9",
]  # fmt: skip
SERIES: tuple[Role, ...] = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9")
TINTS: tuple[Role, ...] = ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9")


def series_role(index: int, roles: Sequence[Role] = SERIES) -> Role:
    """The colour or the tint of the backend at `index` in the plan; from the tenth on the order begins one later."""
    return roles[(index + index // len(roles)) % len(roles)]


Span = tuple[str, Role]
Line = tuple[Span, ...]

#: The replacements of `marker = "ascii"`, cell for cell.
_ASCII = str.maketrans(
    {
        **dict.fromkeys("─┄╌", "-"),
        "━": "=",
        **dict.fromkeys("│┃", "|"),
        **dict.fromkeys("┌┐└┘┏┓┗┛├┤┬┴┼╭╮╰╯┿╸╺", "+"),
        **dict.fromkeys("▁▂", "_"), **dict.fromkeys("▃▄▅▀", "="), **dict.fromkeys("▆▇", "#"),
        "⣀": "_", **dict.fromkeys("⠤⠒", "-"), "⠉": "'", **dict.fromkeys("╷╵", "|"),
        "⡀": ",", **dict.fromkeys("⠄⠂", "~"), "⠁": "`",
        "█": "#", "▓": "=", "▒": ":", "░": ".",
        "●": "o", "×": "x", "◆": "*", "▲": "#", "■": "@", "◇": "%", "△": "&", "▽": "$", "○": "?", "□": "=", "•": "o",
        "►": ">", "▻": ">", "»": "^", "✓": "v", "✗": "!", "·": ".", "…": ".", "↑": "^", "↓": "v",
    }
)  # fmt: skip


#: Signs that some terminals draw wider or narrower than Rich measures them: their width differs between versions of
#: Unicode (the last five ranges), or they belong to the letter before them.
_UNEVEN = re.compile(
    "[\u0900-\u1fff\u302e\u302f\ua800-\uabff\ud7b0-\ud7fb\U00011000-\U00011fff\U00016f00-\U00016fff\U0001d165-\U0001d172"
    "\u2630-\u2637\u268a-\u268f\u3248-\u324f\u4dc0-\u4dff\U0001d300-\U0001d376]"
)
_OF_ANY_WIDTH = re.compile("[\u2630-\u2637\u268a-\u268f\u3248-\u324f\u4dc0-\u4dff\U0001d300-\U0001d376]")


def to_even(line: Line) -> Line:
    """Translate what terminals draw in other widths than Rich measures, cell for cell."""
    return tuple((even_text(text), role) for text, role in line)


def even_text(text: str) -> str:
    """`text` as wide on every terminal as Rich measures it.

    Vowels and old letters that Rich counts to the letter before them are left out, as most terminals give them a cell.
    """
    if text.isascii() or _UNEVEN.search(text) is None:
        return text
    text = _OF_ANY_WIDTH.sub(lambda match: "?" * cell_len(match[0]), text)
    return "".join(c for c in text if cell_len(c) or unicodedata.category(c) == "Mn")


def to_ascii(line: Line) -> Line:
    """Translate a line to ASCII, cell for cell."""
    return tuple((ascii_text(text), role) for text, role in line)


def ascii_text(text: str) -> str:
    """Translate text to ASCII, cell for cell; a question mark for each cell without an equivalent."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text.translate(_ASCII))


def width_of(line: Sequence[Span]) -> int:
    """Return the width of a line in cells."""
    return sum(cell_len(text) for text, _ in line)


def clip(text: str, width: int) -> str:
    """Cut `text` to at most `width` cells, with an ellipsis if it was cut."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def clip_name(name: str, width: int) -> str:
    """Cut a name to at most `width` cells, in its middle: names often differ at their end only."""
    if cell_len(name) <= width or width < 3:
        return clip(name, width)
    room = (width - 1) // 2
    start = len(name)
    while start and cell_len(name[start - 1 :]) <= room:
        start -= 1
    # A mark is not shown without its letter.
    while start < len(name) and not cell_len(name[start]):
        start += 1
    tail = name[start:]
    return set_cell_size(name, width - 1 - cell_len(tail)).rstrip() + "…" + tail


def pad(text: str, width: int, right: bool = False) -> str:
    """Cut or pad `text` to exactly `width` cells, aligned left or right."""
    text = clip(text, width)
    blank = " " * (width - cell_len(text))
    return blank + text if right else text + blank


def fit(line: Sequence[Span], width: int) -> Line:
    """Cut (with an ellipsis) or pad a line to exactly `width` cells."""
    total = width_of(line)
    if total <= width:
        return (*line, (" " * (width - total), "")) if total < width else tuple(line)
    out: list[Span] = []
    left = width
    for text, role in line:
        size = cell_len(text)
        if size < left:
            out.append((text, role))
            left -= size
            continue
        # This span does not fit, or it fills the line although more follows.
        out.append((pad(text if size > left else text + " ", left), role))
        break
    return tuple(out)


def overlay(line: Line, start: int, span: Span) -> Line:
    """Replace the cells of a line from `start` on by `span`. Every character must be one cell wide."""
    end = start + len(span[0])
    before: list[Span] = []
    after: list[Span] = []
    at = 0
    for text, role in line:
        if part := text[: max(0, start - at)]:
            before.append((part, role))
        if part := text[max(0, end - at) :]:
            after.append((part, role))
        at += len(text)
    return (*before, span, *after)


def justify(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """Put `left` and `right` at the two ends of `width` cells; `left` is cut if both do not fit."""
    room = width - width_of(right)
    if room < 1:
        return fit(left, width)
    if width_of(left) > room - 1:
        return (*fit(left, room - 1), (" ", ""), *right)
    return (*fit(left, room), *right)


def wrap(text: str, width: int, limit: int) -> list[str]:
    """Break `text` at spaces (and inside words that are too long) into at most `limit` lines."""
    if width < 1 or limit < 1:
        return []
    lines: list[str] = []
    current = ""
    for word in text.split():
        while word:
            joined = f"{current} {word}" if current else word
            if cell_len(joined) <= width:
                current, word = joined, ""
            elif current:
                lines.append(current)
                current = ""
            else:
                piece = set_cell_size(word, width).rstrip()
                piece = piece or word[0]
                # Paths and names break after a separator, unless that leaves half a line empty.
                joint = max(piece.rfind(c) for c in "/-_") + 1
                piece = piece[:joint] if joint * 2 > len(piece) else piece
                lines.append(piece)
                word = word[len(piece) :]
    if current:
        lines.append(current)
    if len(lines) > limit:
        last = lines[limit - 1]
        while cell_len(last) + 2 > width and " " in last:
            last = last.rpartition(" ")[0]
        lines = [*lines[: limit - 1], clip(last + " …", width)]
    return lines


def frame(
    content: Sequence[Line],
    width: int,
    height: int,
    *,
    left: Sequence[Span] = (),
    right: Sequence[Span] = (),
    bottom: Sequence[Span] = (),
    focused: bool = False,
) -> list[Line]:
    """Draw `content` in a frame of `width` by `height` cells with titles; a focused frame has heavier strokes."""
    role: Role = "focus" if focused else "rule"
    h, v, tl, tr, bl, br = "━┃┏┓┗┛" if focused else "─│┌┐└┘"
    inner = width - 4
    if inner < 1 or height < 3:
        return [fit(line, width) for line in content[:height]]
    room = width - 4 - (width_of(right) + 2 if right else 0)
    moved: Sequence[Span] = ()
    if room < width_of(left):
        # The title on the left matters more: the right one moves to the lower edge.
        right, moved, room = (), right, width - 4
    title = fit(left, min(room, width_of(left))) if left else ()
    used = (width_of(title) + 2 if title else 0) + (width_of(right) + 2 if right else 0)
    top: list[Span] = [(tl, role)]
    if title:
        top += [(" ", role), *title, (" ", role)]
    top.append((h * (width - 2 - used), role))
    if right:
        top += [(" ", role), *right, (" ", role)]
    top.append((tr, role))
    lines: list[Line] = [tuple(top)]
    for row in range(height - 2):
        body = fit(content[row], inner) if row < len(content) else ((" " * inner, ""),)
        lines.append(((v + " ", role), *body, (" " + v, role)))
    if moved:
        right = moved
        room = width - 6 - width_of(right) - 2
    else:
        right = ()
        room = width - 5
    foot = fit(bottom, min(room, width_of(bottom))) if bottom and room >= 6 else ()
    last: list[Span] = [(bl + h + " ", role), *foot, (" ", role)] if foot else [(bl, role)]
    tail: list[Span] = [(" ", role), *right, (" " + br, role)] if right else [(br, role)]
    last.append((h * (width - width_of(last) - width_of(tail)), role))
    lines.append((*last, *tail))
    return lines


def progress_bar(fraction: float, width: int) -> Line:
    """Draw a progress bar in one row; the done part differs in stroke as well as in colour."""
    done = round(max(0.0, min(1.0, fraction)) * width)
    return (("━" * done, "accent"), ("─" * (width - done), "rule"))


def changed_cells(old: Line, new: Line) -> tuple[int, int] | None:
    """Return the cells `[start, end)` in which two lines of equal width differ, None if they are equal."""
    if old == new:
        return None
    start = 0
    for (old_text, old_role), (new_text, new_role) in zip(old, new, strict=False):
        if (old_text, old_role) == (new_text, new_role):
            start += cell_len(new_text)
            continue
        if old_role == new_role:
            same = 0
            for a, b in zip(old_text, new_text, strict=False):
                if a != b:
                    break
                same += 1
            # A mark is painted with its letter.
            while same and any(text[same:] and not cell_len(text[same]) for text in (old_text, new_text)):
                same -= 1
            start += cell_len(new_text[:same])
        break
    end = width_of(new)
    for (old_text, old_role), (new_text, new_role) in zip(reversed(old), reversed(new), strict=False):
        if (old_text, old_role) != (new_text, new_role):
            if old_role == new_role:
                end -= min(_same_end(old_text, new_text), max(0, end - start - 1))
            break
        end -= cell_len(new_text)
    return (start, max(end, start + 1)) if end > start else (0, width_of(new))


def _same_end(old: str, new: str) -> int:
    """How many cells at the end of two texts are the same; 0 if a character has another width than one cell."""
    if cell_len(old) != len(old) or cell_len(new) != len(new):
        return 0
    same = 0
    for a, b in zip(reversed(old), reversed(new), strict=False):
        if a != b:
            break
        same += 1
    return same
