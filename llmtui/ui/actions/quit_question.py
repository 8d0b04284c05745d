"""The question that the quit key asks while the run is in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.ui.actions.keys import key_word
from llmtui.ui.textual_internals import redraw_notifications, withdraw_notifications

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp

#: How long a second press of the quit key quits, in seconds.
QUIT_AGAIN_S = 3.0
_NEVER = float("-inf")


class QuitQuestion:
    """A toast that asks for a second press of the quit key."""

    def __init__(self, app: MonitorApp) -> None:
        self._app = app
        self._asked_at = _NEVER

    @property
    def asked(self) -> bool:
        """Whether the next press of the quit key quits."""
        return self._app.view.now() - self._asked_at <= QUIT_AGAIN_S

    @property
    def _text(self) -> str:
        again, away, back = (key_word(self._app.keys[command]) for command in ("quit", "detach", "back"))
        return f"the run is still in progress: {again} again stops it and its servers, {away} detaches, {back} cancels"

    def ask(self) -> None:
        """Ask."""
        self._asked_at = self._app.view.now()
        self._app.report(self._text, "warning", QUIT_AGAIN_S)

    def withdraw(self) -> bool:
        """Take the question back. Return whether it was asked."""
        asked, self._asked_at = self.asked, _NEVER
        if withdraw_notifications(self._app, self._text):
            redraw_notifications(self._app)
        return asked
