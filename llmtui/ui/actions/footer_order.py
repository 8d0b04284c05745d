"""Which commands the footer shows, and which of them first if there is not room for all."""

from __future__ import annotations

from llmtui.ui.actions.registry import COMMANDS, Command, Situation


def footer_commands(situation: Situation) -> list[Command]:
    """The commands that the footer shows where it has room: those that apply now."""
    return [c for c in COMMANDS if c.footer and c.applies(situation)]


#: What one does on the screen of all backends: while they race, and when there is nothing more to come.
_RACING = (
    "pause rerun maximise verdict detach table metric stop hide hold chart export log more sort export_as rerun_all"
)
_OVER = "verdict export maximise rerun table rerun_all metric log more export_as hide chart sort hold detach"
_STARTING = "maximise detach log table stop metric hide hold chart sort"
#: And on those over it.
_DETAILS = "server_log pause rerun stop metric export hide detach hold export_as more rerun_all"
_PAGE = "more metric pause export detach export_as rerun stop hold verdict log rerun_all"


def by_importance(situation: Situation) -> list[str]:
    """The ids of the commands that a footer may show, what is needed most in this situation first."""
    first = ["help", "quit"]
    # The way out of what is easily forgotten stays in sight.
    first += ["hold"] if situation.held else []
    first += ["hide"] if situation.hidden else []
    if situation.details:
        first.append("back")
        rest = _PAGE if situation.log_shown or situation.verdict_shown else _DETAILS
    elif situation.phase in ("connecting", "starting"):
        rest = _STARTING
    else:
        rest = _RACING if situation.phase in ("running", "paused") else _OVER
    return list(dict.fromkeys([*first, *rest.split(), *(c.id for c in COMMANDS)]))
