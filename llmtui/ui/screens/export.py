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

from llmtui.runview.samples import RECENT
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.actions.export_files import (
    FORMATS,
    ExportError,
    Format,
    Long,
    Stopped,
    Taken,
    file_name,
    formats_of,
    free_path,
    write,
)
from llmtui.ui.text.spans import Line, ascii_text, even_text
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines

#: How often the dialog says how far a file is.
PROGRESS_S = 0.25
#: A screen of so few rows has no empty lines in the dialog, so that all formats are seen.
SHORT = 12


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
        self._formats = formats_of(view.run_view)
        self.chosen: Format = self._formats[0]

    def content(self, width: int, height: int) -> list[Line]:
        return [
            (
                (">" if form is self.chosen and self.has_focus else " ", "focus"),
                ("(*) " if form is self.chosen else "( ) ", "accent" if form is self.chosen else "dim"),
                (form.label, "strong" if form is self.chosen else ""),
            )
            for form in self._formats
        ]

    def action_step(self, by: int) -> None:
        """Select the next or the previous format."""
        self._choose((self._formats.index(self.chosen) + by) % len(self._formats))

    def on_click(self, event: Click) -> None:
        if 0 <= event.y < len(self._formats):
            self._choose(event.y)

    def _choose(self, at: int) -> None:
        self.chosen = self._formats[at]
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
        self._asked: tuple[Path, Format] | None = None
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
        short = self.app.size.height <= SHORT
        formats, message = self.query_one(Formats), self.query_one("#message")
        message.styles.min_height = 1 if short else 2
        formats.styles.height = len(formats_of(self._view.run_view))
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
    def _form(self) -> Format:
        return self.query_one(Formats).chosen

    def _suggest(self) -> None:
        """Suggest a name for the format. A name that the user typed only gets the format's suffix."""
        name = self.query_one("#name", Input)
        if name.value in ("", self._suggested):
            folder = Path(self.query_one("#folder", Input).value)
            self._suggested = name.value = free_path(folder / file_name(self._form, self._now)).name
        else:
            typed = Path(name.value)
            if typed.suffix in {form.suffix for form in FORMATS}:
                name.value = str(typed.with_suffix(self._form.suffix))
        self._show_message(self._remark())

    def _remark(self) -> tuple[str, str]:
        """Return a hint about the format, with its style."""
        backend_views = self._view.run_view.backends.values()
        if self._form.id == "json" and any(len(backend_view.iterations) > RECENT for backend_view in backend_views):
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
        form, replace = self._form, self._asked == (path, self._form)
        with self._reported(path, form):
            if form.pieces is None:
                write(self._view.run_view, form, path, replace=replace)
                self.dismiss(path.absolute())
                return
            self._long = Long(self._view.run_view, form.pieces)
            writing = self._write_long(self._long, form, path, path.absolute(), replace)
            self.run_worker(writing, name="export", exit_on_error=False)

    async def _write_long(self, long: Long, form: Format, path: Path, absolute: Path, replace: bool) -> None:
        """Write a file that takes long in a thread, and say how far it is."""
        progress = self.set_interval(PROGRESS_S, lambda: self._show_progress(long))
        try:
            with self._reported(path, form):
                long.start()
                self._show_progress(long)
                await asyncio.to_thread(write, self._view.run_view, form, path, replace=replace, long=long)
                if self._long is long:
                    self.dismiss(absolute)
        finally:
            self._long = None
            progress.stop()

    def _show_progress(self, long: Long) -> None:
        if self._long is long:
            self._show_message((f"writing: {long.read} of {plural(long.total, 'request')}; esc stops it", "dim"))

    @contextlib.contextmanager
    def _reported(self, path: Path, form: Format) -> Iterator[None]:
        """Show why a file was not written."""
        try:
            yield
        except Taken as error:
            self._asked, self._long = (path, form), None
            free = sanitize(free_path(path).name, 80)
            self._show_message(
                (f"{error}: press enter again to replace it, or choose another name such as {free}", "warn")
            )
        except Stopped:
            pass
        except ExportError as error:
            self._asked = self._long = None
            self._show_message((str(error), "bad"))
