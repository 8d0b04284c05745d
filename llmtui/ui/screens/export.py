"""The export dialog: format, folder, name. It stays open until the file is written or the user cancels."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Iterator
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

from llmtui.export.formats import FORMATS
from llmtui.runview.samples import RECENT
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.actions.export_files import (
    Choice,
    ExportError,
    Stopped,
    Taken,
    choices_of,
    file_name,
    free_path,
    write,
)
from llmtui.ui.actions.export_process import Long
from llmtui.ui.text.spans import Line, ascii_text, even_text
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines

#: How often the dialog says how far a file is.
PROGRESS_S = 0.25
#: The rows of the dialog besides the formats: its frame, the fields and the message, and with empty lines between them.
_OTHER_ROWS, _WITH_EMPTY = 5, 8
#: On a low screen at least as many formats are seen at a time.
_FEWEST = 3


class Formats(Lines, can_focus=True):
    """The formats, one per line; the selected one is marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,right,space", "step(1)", show=False),
        Binding("up,left", "step(-1)", show=False),
        Binding("enter", "screen.write", show=False),
    ]

    class Chosen(Message):
        """Another format was selected."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._choices = choices_of(view.run_view)
        self._at = 0
        #: The first format that is seen.
        self._top = 0

    @property
    def chosen(self) -> Choice:
        """The format that is selected."""
        return self._choices[self._at]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._choices)

    def content(self, width: int, height: int) -> list[Line]:
        self._top = min(max(self._top, self._at - height + 1), self._at)
        return [
            (
                (">" if at == self._at and self.has_focus else " ", "focus"),
                ("(*) " if at == self._at else "( ) ", "accent" if at == self._at else "dim"),
                (choice.label, "strong" if at == self._at else ""),
            )
            for at, choice in enumerate(self._choices[self._top : self._top + height], self._top)
        ]

    def action_step(self, by: int) -> None:
        """Select the next or the previous format."""
        self._choose((self._at + by) % self.count)

    def on_click(self, event: Click) -> None:
        if 0 <= self._top + event.y < self.count:
            self._choose(self._top + event.y)

    def _choose(self, at: int) -> None:
        self._at = at
        self.redraw()
        self.post_message(self.Chosen())


def _field(name: str, value: str = "") -> Input:
    """Return an input line. Its cursor does not blink: that would be two repaints a second."""
    field = Input(value, id=name, compact=True, select_on_focus=False)
    field.cursor_blink = False
    return field


class ExportScreen(ModalScreen[Path | None], PaintedOnceScreen[Path | None]):
    """Dismissed with the path of the file, or None. It is opaque: what is behind it is not drawn."""

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
        #: The existing file that a second enter replaces.
        self._asked: tuple[Path, Choice] | None = None
        self._suggested = ""
        #: The file that is being written, None without one.
        self._long: Long | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as dialog:
            dialog.border_title = "llmtui: export"
            dialog.border_subtitle = "enter writes, esc cancels"
            yield Formats(self._view, id="formats")
            with Horizontal():
                yield Label("folder ")
                yield _field("folder", str(self._folder))
            with Horizontal():
                yield Label("name   ")
                yield _field("name")
            yield Static(id="message", markup=False)

    def on_mount(self) -> None:
        rows, formats, message = self.app.size.height, self.query_one(Formats), self.query_one("#message")
        short = rows < formats.count + _WITH_EMPTY
        message.styles.min_height = 1 if short else 2
        formats.styles.height = min(formats.count, max(_FEWEST, rows - _OTHER_ROWS))
        if short:
            formats.styles.margin = message.styles.margin = 0
        self._suggest()

    def on_formats_chosen(self) -> None:
        self._suggest()

    def on_input_changed(self) -> None:
        self._asked = None
        self._show_message(self._remark())

    def on_input_submitted(self) -> None:
        self.action_write()

    @property
    def _choice(self) -> Choice:
        return self.query_one(Formats).chosen

    def _suggest(self) -> None:
        """Suggest a name for the format. A name that the user typed only gets the format's suffix."""
        name = self.query_one("#name", Input)
        if name.value in ("", self._suggested):
            folder = Path(self.query_one("#folder", Input).value)
            self._suggested = name.value = free_path(folder / file_name(self._choice, self._now)).name
        else:
            typed = Path(name.value)
            if typed.suffix in {form.suffix for form in FORMATS.values()}:
                name.value = str(typed.with_suffix(self._choice.format.suffix))
        self._show_message(self._remark())

    def _remark(self) -> tuple[str, str]:
        """Return a hint about the format, with its style."""
        if lacking := self._choice.lacking:
            return lacking, "warn"
        backend_views = self._view.run_view.backends.values()
        if self._choice.id == "json" and any(len(backend_view.iterations) > RECENT for backend_view in backend_views):
            run = sanitize(self._view.run_view.plan.run, 20)
            return f"has the answers of the newest {RECENT} iterations; for all: llmtui export {run} --json FILE", "dim"
        return "", "dim"

    def _show_message(self, message: tuple[str, str]) -> None:
        text, style = message
        text = ascii_text(text) if self._view.ascii_only else even_text(text)
        line = self.query_one("#message", Static)
        line.set_classes(style)
        line.update(Text(text, overflow="fold"))
        line.scroll_visible(animate=False)

    def action_leave(self) -> None:
        """Close the dialog without a file; one that is being written is dropped."""
        self.on_unmount()
        self.dismiss(None)

    def on_unmount(self) -> None:
        if self._long is not None:
            self._long.stop()
            self._long = None

    def action_write(self) -> None:
        """Write the file, or show why that fails. Ask before replacing a file."""
        if self._long is not None:
            return
        name = self.query_one("#name", Input).value.strip()
        folder = self.query_one("#folder", Input).value.strip()
        if not name or name in (".", ".."):
            self._show_message(("enter a name for the file", "bad"))
            return
        if "/" in name:
            self._show_message(("a name cannot contain a slash: use the folder field", "bad"))
            return
        try:
            path = Path(folder or ".").expanduser() / name
        except RuntimeError:
            self._show_message(("no such home folder", "bad"))
            return
        choice, replace = self._choice, self._asked == (path, self._choice)
        if choice.lacking or not choice.takes_long(self._view.run_view):
            with self._reported(path, choice):
                write(self._view.run_view, choice, path, replace=replace)
                self.dismiss(path.absolute())
            return
        self._long = Long(self._view.run_view, choice)
        writing = self._write_long(self._long, choice, path, path.absolute(), replace)
        self.run_worker(writing, name="export", exit_on_error=False)

    async def _write_long(self, long: Long, choice: Choice, path: Path, absolute: Path, replace: bool) -> None:
        """Write a file that takes long, and say how far it is."""
        progress = self.set_interval(PROGRESS_S, lambda: self._show_progress(long))
        try:
            with self._reported(path, choice):
                self._show_progress(long)
                await asyncio.to_thread(write, self._view.run_view, choice, path, replace=replace, long=long)
                if self._long is long:
                    self.dismiss(absolute)
        finally:
            long.stop()
            self._long = None
            progress.stop()

    def _show_progress(self, long: Long) -> None:
        if self._long is long:
            far = f": {long.read} of {plural(long.total, 'request')}" if long.total else " ..."
            self._show_message((f"writing{far}; esc stops it", "dim"))

    @contextlib.contextmanager
    def _reported(self, path: Path, choice: Choice) -> Iterator[None]:
        """Show why a file was not written."""
        try:
            yield
        except Taken as error:
            self._asked, self._long = (path, choice), None
            free = sanitize(free_path(path).name, 80)
            self._show_message(
                (f"{error}: press enter again to replace it, or choose another name such as {free}", "warn")
            )
        except Stopped:
            pass
        except ExportError as error:
            self._asked = self._long = None
            self._show_message((str(error), "bad"))
