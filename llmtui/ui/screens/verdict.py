"""The verdict: who is fastest, by how much, how sure, what to do; then bars, checks, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult

from llmtui.runview import levels
from llmtui.runview.run import RunView
from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import BY_ID
from llmtui.ui.screens.overlay import Paged
from llmtui.ui.text.spans import Line, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.typical import typical_rows
from llmtui.ui.views.verdict import verdict_page
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines


def _found(run_view: RunView) -> list[str]:
    """What a search has found, or the knees of a sweep."""
    if not run_view.plan.levels or not any(view.turns for view in run_view.backends.values()):
        return []
    from llmtui.runview.search import search_sentences, undecided_text

    return [*filter(None, [undecided_text(run_view)]), *search_sentences(run_view)]


class VerdictTitle(Lines):
    """The title, and the number of lines below the visible ones."""

    def __init__(self, view: ViewState, body: VerdictLines, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._body = body

    def content(self, width: int, height: int) -> list[Line]:
        below = f"{self._body.below} more below " if self._body.below else ""
        return [justify([(" verdict", "title")], [(below, "warn")], width)]


class VerdictLines(ScrollingLines):
    """The lines of the verdict."""

    def __init__(self, view: ViewState, keys: Mapping[str, str], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._keys = keys
        self._top = 0
        #: Whether the pairs without the best backend are shown.
        self._pairs = False
        #: How many lines are below the visible ones.
        self.below = 0

    def content(self, width: int, height: int) -> list[Line]:
        more = BY_ID["more"]
        key = key_word(self._keys[more.id]) if more.applies(self.view.situation()) else ""
        run_view, metric, level = self.view.run_view, self.view.metric, self.view.level
        shown = level.number if level is not None else 0
        found = _found(run_view)
        searched = bool(run_view.plan.load.search)
        others = levels.sentences(run_view, metric, without=shown)
        lines = verdict_page(
            run_view.verdict(metric, shown), width, key, typical_rows(run_view, metric, shown),
            pairs_key=key_word(self._keys["pairs"]), pairs=self._pairs,
            earlier=run_view.earlier_attempts(metric),
            levels=others if searched else [*found, *others], found=found if searched else (),
            checks=levels.checks(run_view, metric) if shown else None,
        )  # fmt: skip
        self._top = max(0, min(self._top, len(lines) - height))
        self.below = max(0, len(lines) - height - self._top)
        return lines[self._top : self._top + height]

    def forget(self) -> None:
        self._top, self._pairs = 0, False

    def toggle_pairs(self) -> None:
        """Show the pairs without the best backend, or hide them."""
        self._pairs = not self._pairs
        self.redraw()
        self.after_scroll()

    def move_by(self, rows: int) -> None:
        self._top = max(0, self._top + rows)

    def after_scroll(self) -> None:
        self.screen.query_one(VerdictTitle).redraw()


class VerdictScreen(Paged):
    """What the data show, and whether the comparison was fair."""

    AUTO_FOCUS = "VerdictLines"
    page_type, title_type = VerdictLines, VerdictTitle

    def compose(self) -> ComposeResult:
        body = VerdictLines(self.view, self._keys, id="verdict-page")
        yield Header(self.view, id="header")
        yield VerdictTitle(self.view, body, id="verdict-title")
        yield body
        yield Footer(self.view, self._keys, id="footer")

    def toggle_pairs(self) -> None:
        """Show the pairs without the best backend, or hide them."""
        self.query_one(VerdictLines).toggle_pairs()
