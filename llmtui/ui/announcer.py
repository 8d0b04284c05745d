"""What the terminal shows besides the screen: its title, and that the run is done."""

from __future__ import annotations

import os
from collections.abc import Callable

from llmtui.runview.loads import worded
from llmtui.text.format import plural
from llmtui.ui import escapes
from llmtui.ui.view_state import ViewState


class Announcer:
    """Writes the terminal's title, and announces the end of the run in the way that the config asks for."""

    def __init__(self, view: ViewState, write: Callable[[str], None]) -> None:
        self._view = view
        self.write = write
        self._title = ""
        #: Whether the terminal was given a title.
        self.titled = False
        #: Set when the monitor leaves: the title stays as it is.
        self.muted = False

    def update_title(self) -> None:
        """Write the title if it has changed."""
        title = escapes.title_words(self._view.run_view.run, self._view.phase)
        if not self._view.options.title or title == self._title or self.muted:
            return
        self.write(("" if self.titled else escapes.SAVE_TITLE) + escapes.set_title(title))
        self._title, self.titled = title, True

    def announce_end(self) -> None:
        """Ring the bell or notify the desktop: the run is done."""
        run = self._view.run_view.run
        match self._view.options.notify:
            case "bell":
                self.write(escapes.BELL)
            case "desktop":
                far = worded(plural(run.total, "iteration"), self._view.run_view.plan)
                message = f"llmtui: the run is done, {run.finished} of {far}"
                self.write(escapes.notification(message, os.environ))
