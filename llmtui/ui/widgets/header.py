"""The header, and the lines around the table: out of sight, verdict, ranking."""

from __future__ import annotations

from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.catching_up import catching_up_line
from llmtui.ui.views.header import HeaderPhase, count_failed, header_lines, too_small
from llmtui.ui.views.here import presence_line
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.scroll import out_of_sight
from llmtui.ui.widgets.painted import Lines


class Header(Lines):
    """The plan, the progress, and the time left."""

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        if view.layout.form == "none":
            return too_small(width, height)
        record = view.run_view.own_error()
        own_error_s = record.own_error_p95_s() if record is not None else None
        failed = count_failed(view.run_view) if view.layout.scrolls else 0
        phase: HeaderPhase = "catching up" if view.catching_up else view.phase if view.names else "choosing"
        return header_lines(
            view.run_view,
            phase,
            view.elapsed_s,
            view.time_left,
            width,
            height,
            own_error_s,
            failed,
            view.behind,
            view.past.origin if view.past is not None else (),
            view.level,
        )


class OutOfSight(Lines):
    """How many backends are out of sight."""

    def content(self, width: int, height: int) -> list[Line]:
        names = self.view.names
        return [((f"   {out_of_sight(len(names), *self.view.in_sight)}", "dim"),)]


class VerdictLine(Lines):
    """The verdict in few lines above the table; a click opens all of it."""

    def __init__(self, view: ViewState, key: str, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._key = key

    def content(self, width: int, height: int) -> list[Line]:
        run_view = self.view.run_view
        # Before the engine reports the run no statistics are imported: the first frame does not wait for them.
        if not run_view.run.total or self.view.catching_up:
            return []
        from llmtui.ui.views.verdict import awaited_line, verdict_lines

        if not self.view.situation().results:
            return [awaited_line(run_view, width)]
        metric = self.view.metric
        if self.view.level is not None:
            from llmtui.ui.views.load_verdict import load_verdict_lines

            return load_verdict_lines(run_view, metric, self.view.level_number, width, height, self._key)
        return verdict_lines(run_view.verdict(metric), width, height, self._key, run_view.earlier_attempts(metric))

    async def on_click(self) -> None:
        await self.run_action("app.command('verdict')")


class Presence(Lines):
    """What is not on this machine, and which other servers run there."""

    def __init__(self, view: ViewState, key: str, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._key = key

    def content(self, width: int, height: int) -> list[Line]:
        return [presence_line(self.view.run_view.plan, width, self._key)]


class Ranking(Lines):
    """The ranking and its doubts, or a banner if the engine is lost."""

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        if view.catching_up:
            return [catching_up_line(view.run_view, width)]
        return [ranking_line(view.run_view, view.metric, width, view.banner, view.level_number)]
