"""The export dialog: format, folder, name. It stays until the file is written, or until it is left."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import Click
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from llmtui.runview.samples import RECENT
from llmtui.text import sanitize
from llmtui.ui.actions.export_files import FORMATS, ExportError, Format, Taken, file_name, free_path, write
from llmtui.ui.text.spans import Line, ascii_text
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines


class Formats(Lines, can_focus=True):
    """The formats, one a line; the chosen one is marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,right,space", "step(1)", show=False),
        Binding("up,left", "step(-1)", show=False),
        Binding("enter", "screen.write", show=False),
    ]

    class Chosen(Message):
        """Another format was chosen."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self.chosen: Format = FORMATS[0]

    def content(self, width: int, height: int) -> list[Line]:
        return [
            (
                (">" if form is self.chosen and self.has_focus else " ", "focus"),
                ("(*) " if form is self.chosen else "( ) ", "accent" if form is self.chosen else "dim"),
                (form.label, "strong" if form is self.chosen else ""),
            )
            for form in FORMATS
        ]

    def action_step(self, by: int) -> None:
        """Choose the next or the previous format."""
        self._choose((FORMATS.index(self.chosen) + by) % len(FORMATS))

    def on_click(self, event: Click) -> None:
        if 0 <= event.y < len(FORMATS):
            self._choose(event.y)

    def _choose(self, at: int) -> None:
        self.chosen = FORMATS[at]
        self.redraw()
        self.post_message(self.Chosen())


def _field(name: str, value: str = "") -> Input:
    """A line to write in. Its cursor stands still: a blink is two repaints a second, down the whole line."""
    field = Input(value, id=name, compact=True, select_on_focus=False)
    field.cursor_blink = False
    return field


class ExportScreen(ModalScreen[Path | None], PaintedOnceScreen[Path | None]):
    """Dismissed with the path that was written, or None. What is hidden behind it is not drawn."""

    AUTO_FOCUS = "Formats"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "leave", show=False),
        Binding("enter", "write", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, view: ViewState, folder: Path, now: datetime.datetime) -> None:
        super().__init__()
        self._view = view
        self._folder = folder
        self._now = now
        #: The file that is there already, and that enter would replace.
        self._asked: tuple[Path, Format] | None = None
        self._offered = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as dialog:
            dialog.border_title = "llmtui: export"
            dialog.border_subtitle = "enter writes, esc leaves"
            yield Formats(self._view, id="formats")
            with Horizontal():
                yield Label("folder ")
                yield _field("folder", str(self._folder))
            with Horizontal():
                yield Label("name   ")
                yield _field("name")
            yield Static(id="message", markup=False)

    def on_mount(self) -> None:
        self.query_one("#message").styles.min_height = 2
        self._offer()

    def on_formats_chosen(self) -> None:
        self._offer()

    def on_input_changed(self) -> None:
        self._asked = None
        self._say(self._remark())

    def on_input_submitted(self) -> None:
        self.action_write()

    @property
    def _form(self) -> Format:
        return self.query_one(Formats).chosen

    def _offer(self) -> None:
        """Offer a name for the format, unless the user has written one: that gets another suffix only."""
        name = self.query_one("#name", Input)
        if name.value in ("", self._offered):
            folder = Path(self.query_one("#folder", Input).value)
            self._offered = name.value = free_path(folder / file_name(self._form, self._now)).name
        else:
            written = Path(name.value)
            if written.suffix in {form.suffix for form in FORMATS}:
                name.value = str(written.with_suffix(self._form.suffix))
        self._say(self._remark())

    def _remark(self) -> tuple[str, str]:
        """What there is to know of the format."""
        backend_views = self._view.run_view.backends.values()
        if self._form.id == "json" and any(len(backend_view.iterations) > RECENT for backend_view in backend_views):
            run = sanitize(self._view.run_view.plan.run, 20)
            return f"answers of the newest {RECENT} of a backend; all: llmtui export {run} --json FILE", "dim"
        return "", "dim"

    def _say(self, said: tuple[str, str]) -> None:
        words, kind = said
        if self._view.ascii_only:
            words = ascii_text(words)
        line = self.query_one("#message", Static)
        line.set_classes(kind)
        line.update(Text(words, overflow="fold"))
        line.scroll_visible(animate=False)

    def action_leave(self) -> None:
        """Leave without a file."""
        self.dismiss(None)

    def action_write(self) -> None:
        """Write the file, or say why not; where there is one of that name, ask first."""
        name = self.query_one("#name", Input).value.strip()
        folder = self.query_one("#folder", Input).value.strip()
        if not name or name in (".", ".."):
            self._say(("give the file a name", "bad"))
            return
        if "/" in name:
            self._say(("a name has no slash in it: the folder stands above", "bad"))
            return
        try:
            path = Path(folder or ".").expanduser() / name
        except RuntimeError:
            self._say(("there is no such home folder", "bad"))
            return
        asked = (path, self._form)
        try:
            write(self._view.run_view, self._form, path, replace=self._asked == asked)
        except Taken as error:
            self._asked = asked
            free = sanitize(free_path(path).name, 80)
            self._say((f"{error}: enter again replaces it, another name such as {free} keeps it", "warn"))
        except ExportError as error:
            self._asked = None
            self._say((str(error), "bad"))
        else:
            self.dismiss(path.absolute())
