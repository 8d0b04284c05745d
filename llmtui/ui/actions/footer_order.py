"""Which commands the footer shows, and which of them first if there is not room for all."""

from __future__ import annotations

from llmtui.ui.actions.command import Command
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.situation import Situation


def footer_commands(situation: Situation) -> list[Command]:
    """Return the commands that apply now and belong in the footer."""
    past = situation.phase == "past"
    return [c for c in COMMANDS if (c.footer or (past and c.footer_of_past)) and c.applies(situation)]


#: The order on the main screen: during the run, when it is done, and before it starts. What changes the charts comes
#: before what the screen says elsewhere: the line of the verdict, the question of the quit key.
_RACING = (
    "pause rerun maximise chart level_after metric hide table verdict detach stop hold log export more sort export_as"
    " rerun_all"
)
_DONE = (
    "verdict export maximise rerun table level_after rerun_all chart metric hide trend log more export_as sort hold"
    " detach"
)
_STARTING = "maximise detach log chart metric hide table stop hold sort"
#: The order on the details, and on the log and the verdict.
_DETAILS = (
    "maximise filter slowest next_failed next_outlier pause server_log sort rerun stop metric export hide detach hold"
    " export_as more rerun_all"
)
_PAGE = "more pairs metric pause export detach export_as rerun stop hold verdict log rerun_all"
#: The order on the trend of a backend.
_TREND = f"metric level_after {_PAGE}"


def by_importance(situation: Situation) -> list[str]:
    """Return the ids of all commands, the most useful in this situation first."""
    first = ["help", "quit"]
    # A state that is easily forgotten keeps its way out in sight.
    first += ["hold"] if situation.held else []
    first += ["hide"] if situation.hidden else []
    if situation.details:
        first.append("back")
        rest = _TREND if situation.page == "trend" else _PAGE if situation.page else _DETAILS
    elif situation.phase in ("connecting", "starting"):
        rest = _STARTING
    else:
        rest = _RACING if situation.phase in ("running", "paused") else _DONE
    return list(dict.fromkeys([*first, *rest.split(), *(c.id for c in COMMANDS)]))
