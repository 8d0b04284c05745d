"""The question of the rerun key, on the last line: alone, or in turns with the backend that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.model import RESTING, Rerun
from llmtui.text import sanitize
from llmtui.ui.views.rerun_choice import ALONE, NOT, TOGETHER, is_out_of_turn, rerun_choice

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp


class RerunQuestion:
    """Asks before a rerun that would end a comparison, and carries out the answer."""

    def __init__(self, app: MonitorApp) -> None:
        self._app = app

    def rerun(self) -> None:
        """Rerun the selected backend, at once if nothing is compared with it."""
        view = self._app.view
        choice = rerun_choice(view.run_view, view.selected)
        if choice is None or not (view.covered or view.layout.footer):
            self._app.session.send(Rerun(backend=view.selected))
            if is_out_of_turn(view.run_view, view.selected):
                name = sanitize(view.selected, 40)
                self._app.report(f"{name} is rerun alone, not in turns; for a star rerun all at the end", log=False)
            return
        view.choice = choice
        self._show()

    def withdraw(self) -> bool:
        """Take the question back. Return whether it was asked."""
        asked, self._app.view.choice = self._app.view.choice is not None, None
        if asked:
            self._show()
        return asked

    def answered_by(self, command_id: str) -> bool:
        """Whether a key answers the question. Any other key takes the question back, and does what it always does."""
        choice = self._app.view.choice
        if choice is None or not self.withdraw():
            return False
        if command_id == TOGETHER:
            self._send(Rerun(backend=choice.name, also=[choice.partner]))
        elif command_id == ALONE:
            self._send(Rerun(backend=choice.name))
        return command_id in (TOGETHER, ALONE, NOT)

    def _show(self) -> None:
        """Redraw the last line, and nothing else."""
        from llmtui.ui.screens.run import topmost_opaque
        from llmtui.ui.widgets.footer import Footer

        for footer in topmost_opaque(self._app.screen_stack).query(Footer):
            footer.redraw()
        self._app.main.paint()

    def _send(self, command: Rerun) -> None:
        """Send the command, unless another client has started one of these backends meanwhile."""
        views = self._app.run_view.backends
        for name in (command.backend, *command.also):
            if name not in views or views[name].state.state not in RESTING:
                self._app.report(f"{sanitize(name, 40)} is not at rest any more: nothing was rerun", log=False)
                return
        self._app.session.send(command)
