"""The base of the widgets: lines of spans. Only cells that differ from the screen are painted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.events import Blur, Focus
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from llmtui.ui.text.spans import SERIES, TINTS, Line, Role, Span, changed_cells, fit, to_ascii, to_even
from llmtui.ui.view_state import ViewState

#: The variable of the theme that colours what has this role, and whether it is bold. Not in the stylesheet: Textual
#: would match every role against every rule again for each widget that is built, focused or resumed.
LOOKS: Mapping[Role, tuple[str, bool]] = {
    "dim": ("dim", False),
    "strong": ("foreground", True),
    "title": ("foreground", True),
    "good": ("success", False),
    "warn": ("warning", False),
    "bad": ("error", True),
    "accent": ("accent", False),
    "rule": ("rule", False),
    "focus": ("accent", True),
    "key": ("accent", True),
    "best": ("success", True),
    **{role: (f"series-{n}", False) for n, role in enumerate(SERIES, 1)},
    **{role: (f"tint-{n}", False) for n, role in enumerate(TINTS, 1)},
}


if TYPE_CHECKING:
    _Mixin = Widget
else:
    # A widget as the first base would hide the stylesheet of the second one.
    _Mixin = object


class FocusWithoutRules(_Mixin):
    """For a widget that no rule of the stylesheet shows as focused.

    Textual's handlers match all rules again, and repaint the whole widget.
    """

    def on_focus(self, event: Focus) -> None:
        event.prevent_default()
        self.has_focus = True

    def on_blur(self, event: Blur) -> None:
        event.prevent_default()
        self.has_focus = False

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Change nothing on the screen. A subclass may redraw the cells that show the focus."""


class Lines(FocusWithoutRules, Widget):
    """Paints the lines that `content` returns. Text is never parsed as markup."""

    ALLOW_SELECT = False

    def __init__(self, view: ViewState, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = view
        self._shown: list[Line] = []
        self._shown_size = (-1, -1)
        #: A width, the lines that were drawn for it last, and these in exactly that width.
        self._fitted: tuple[int, list[Line], list[Line]] = (-1, [], [])
        self._styles_by_role: dict[Role, Style] = {}
        self._theme = ""

    def content(self, width: int, height: int) -> list[Line]:
        """Return the lines for `width` by `height` cells."""
        raise NotImplementedError

    def _compute(self) -> list[Line]:
        width, height = self.size
        if width < 1 or height < 1:
            return []
        content = self.content(width, height)[:height]
        _, before, fitted = self._fitted if self._fitted[0] == width else (width, [], [])
        lines = [
            fitted[y] if y < len(before) and line is before[y] else self._fit(line, width)
            for y, line in enumerate(content)
        ]
        self._fitted = width, content, lines
        return lines

    def _fit(self, line: Line, width: int) -> Line:
        line = to_even(fit(line, width))
        return to_ascii(line) if self.view.ascii_only else line

    def redraw(self) -> None:
        """Get the lines again, and repaint the cells that differ."""
        if not self.is_mounted or not self.display:
            return
        size = (self.size.width, self.size.height)
        old, new = self._shown, self._compute()
        self._shown = new
        if size != self._shown_size or len(old) != len(new):
            self._shown_size = size
            self.refresh()
            return
        regions = [
            Region(cells[0], y, cells[1] - cells[0], 1)
            for y, (before, after) in enumerate(zip(old, new, strict=True))
            if (cells := changed_cells(before, after)) is not None
        ]
        if regions:
            self.refresh(*regions)

    def forget(self) -> None:
        """Reset what the user did here, such as scrolling."""

    def on_resize(self) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        self._styles_by_role.clear()
        if self._theme != self.app.theme:
            # Two themes may differ only in colours that no rule of the stylesheet uses.
            self._theme = self.app.theme
            self.refresh()
        super().notify_style_update()

    def watch_has_focus(self, _has_focus: bool) -> None:
        # Only the cells that show the focus change.
        if self.can_focus:
            self.redraw()

    def _style(self, role: Role) -> Style:
        style = self._styles_by_role.get(role)
        if style is None:
            style = self.rich_style
            if role:
                variable, bold = LOOKS[role]
                colour = Color.parse(self.app.theme_variables[variable]).rich_color
                style += Style(color=colour, bold=bold or None)
            self._styles_by_role[role] = style
        return style

    def render_line(self, y: int) -> Strip:
        size = (self.size.width, self.size.height)
        if size != self._shown_size:
            # The first paint comes before the first resize event: it must not be empty.
            self._shown_size = size
            self._shown = self._compute()
        width = size[0]
        if y >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        return Strip([Segment(text, self._style(role)) for text, role in joined(self._shown[y])], width)


def joined(line: Line) -> list[Span]:
    """Merge spans that look the same: each costs bytes. Blanks take the style of their neighbour."""
    spans: list[Span] = []
    for text, role in line:
        if spans and (role == spans[-1][1] or text.isspace()):
            spans[-1] = (spans[-1][0] + text, spans[-1][1])
        elif spans and spans[-1][0].isspace():
            spans[-1] = (spans[-1][0] + text, role)
        elif text:
            spans.append((text, role))
    return spans
