"""The base of the widgets: lines of spans, compared with what stands on the screen before they are painted."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from llmtui.ui.lines import ROLES, Line, Role, difference, fit, to_ascii
from llmtui.ui.view import View


class Lines(Widget):
    """Paints the lines that `content` returns. Text is never read as markup."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {f"lines--{role}" for role in ROLES}

    def __init__(self, view: View, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = view
        self._shown: list[Line] = []
        self._shown_size = (-1, -1)
        self._styles_by_role: dict[Role, Style] = {}

    def content(self, width: int, height: int) -> list[Line]:
        """The lines to show in `width` by `height` cells."""
        raise NotImplementedError

    def _compute(self) -> list[Line]:
        width, height = self.size
        if width < 1 or height < 1:
            return []
        lines = [fit(line, width) for line in self.content(width, height)[:height]]
        return [to_ascii(line) for line in lines] if self.view.ascii_only else lines

    def redraw(self) -> None:
        """Ask for the lines again and repaint the cells that differ; nothing when none does."""
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
            if (cells := difference(before, after)) is not None
        ]
        if regions:
            self.refresh(*regions)

    def on_resize(self) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        self._styles_by_role.clear()
        super().notify_style_update()

    def _style(self, role: Role) -> Style:
        style = self._styles_by_role.get(role)
        if style is None:
            style = self.get_component_rich_style(f"lines--{role}") if role else self.rich_style
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
        return Strip([Segment(text, self._style(role)) for text, role in self._shown[y] if text], width)
