"""The registry of commands, used by bindings, footer, palette, help screen, `llmtui explain` and `[ui].keys`.

It imports no Textual: the config is validated with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from llmtui.model import RESTING
from llmtui.ui.situation import Situation


def _always(_: Situation) -> bool:
    return True


def _chart_with_results(s: Situation) -> bool:
    return s.charts > 0 and s.results and not (s.details or (s.table_on_key and s.table_shown))


def _several_levels(s: Situation) -> bool:
    return s.levels > 1 and s.page not in ("log", "here") and not s.requests


_ONE_LEVEL = "for a load with several levels"
#: Why a key of the details does not apply elsewhere.
_DETAILS_FIRST = "open the details of a backend first"
Group = Literal["Backend", "Run", "Charts", "Table", "Screens", "Details", "Verdict", "Application"]
#: The sections of the help: each says where its keys work.
SECTIONS: dict[Group, str] = {
    "Backend": "The selected backend",
    "Run": "The run",
    "Charts": "Charts of the main screen",
    "Table": "Table of the main screen, and of the details",
    "Screens": "Other screens",
    "Details": "Details of a backend",
    "Verdict": "The verdict",
    "Application": "Everywhere",
}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the user. `label` is its word in the footer, `short` a shorter one for narrow terminals.

    `refusal` says why it does not apply.
    """

    id: str
    key: str
    label: str
    help: str
    group: Group
    applies: Callable[[Situation], bool] = _always
    label_now: Callable[[Situation], str] | None = None
    refusal: str = ""
    footer: bool = True
    #: Whether the engine carries it out.
    engine: bool = False
    short: str = ""
    #: Whether it is for a load with several levels only: a race has no word of it.
    load: bool = False

    def word(self, situation: Situation, narrow: bool = False) -> str:
        """The footer's word for this command in `situation`."""
        if narrow and self.short:
            return self.short
        return self.label_now(situation) if self.label_now else self.label


COMMANDS: tuple[Command, ...] = (
    Command(
        "rerun",
        "r",
        "Rerun",
        "rerun this backend, in turns with the best one or alone",
        "Backend",
        lambda s: s.live and s.selected in RESTING,
        refusal="still running: stop it first",
        engine=True,
    ),
    Command(
        "stop",
        "s",
        "Stop",
        "stop this backend: drop its remaining iterations",
        "Backend",
        lambda s: s.live and s.selected is not None and s.selected not in RESTING,
        refusal="not running",
        engine=True,
    ),
    Command(
        "rerun_all",
        "R",
        "All",
        "rerun all backends",
        "Run",
        lambda s: s.live and s.resting == s.backends > 0,
        refusal="the run is still in progress",
        engine=True,
    ),
    Command(
        "pause",
        "space",
        "Pause",
        "pause the run after the current iteration, or resume it",
        "Run",
        lambda s: s.phase in ("starting", "running", "paused"),
        lambda s: "Resume" if s.phase == "paused" else "Pause",
        refusal="nothing is running",
        engine=True,
    ),
    Command(
        "more",
        "M",
        "More",
        "add rounds until every interval is within 5% of its ratio",
        "Run",
        lambda s: s.phase in ("running", "done") and s.live and s.backends > 1 and s.in_turns and s.results,
        refusal='more rounds need results, and backends that take turns (order = "shuffled")',
        engine=True,
    ),
    Command(
        "hide",
        "x",
        "Hide",
        "hide or show this backend in the charts; axes rescale",
        "Charts",
        lambda s: s.selected is not None and not s.page,
        lambda s: "Show" if s.hidden else "Hide",
    ),
    Command(
        "metric",
        "m",
        "Metric",
        "next metric: latency, TTFT, ITL, tokens/s",
        "Charts",
        lambda s: s.page != "log",
    ),
    Command(
        "chart",
        "c",
        "Chart",
        "next chart: bars, box plot, ECDF; scatter if one chart fits",
        "Charts",
        lambda s: s.charts > 0 and not s.details,
        refusal="no chart on this screen",
    ),
    Command(
        "scale",
        "y",
        "Scale",
        "log or linear scale; log by default if one is 10x the rest",
        "Charts",
        lambda s: s.charts > 0 and not (s.details or (s.table_on_key and s.table_shown)),
        refusal="no chart on this screen",
        footer=False,
    ),
    Command(
        "first_half",
        "left_square_bracket",
        "First half",
        "the scatter: first half of the iterations shown",
        "Charts",
        _chart_with_results,
        refusal="no chart with results on this screen",
        footer=False,
    ),
    Command(
        "last_half",
        "right_square_bracket",
        "Last half",
        "the scatter: last half of the iterations shown",
        "Charts",
        _chart_with_results,
        refusal="no chart with results on this screen",
        footer=False,
    ),
    Command(
        "all_iterations",
        "equals_sign",
        "All iterations",
        "the scatter: all iterations",
        "Charts",
        lambda s: s.zoomed and not s.details,
        refusal="all iterations are shown",
        footer=False,
    ),
    Command(
        "level_before",
        "less_than_sign",
        "Level",
        "the level of a load before the one shown, round and round",
        "Charts",
        _several_levels,
        refusal=_ONE_LEVEL,
        footer=False,
        load=True,
    ),
    Command(
        "level_after",
        "greater_than_sign",
        "Level",
        "the next level of a load: panels, charts, table follow",
        "Charts",
        _several_levels,
        refusal=_ONE_LEVEL,
        load=True,
    ),
    Command(
        "table",
        "T",
        "Table",
        "switch between chart and table if only one of them fits",
        "Table",
        lambda s: s.table_on_key and not s.details,
        lambda s: "Chart" if s.table_shown else "Table",
        refusal="the table is already shown",
    ),
    Command(
        "sort",
        "o",
        "Sort",
        "sort the table by the next column, or click a heading",
        "Table",
        lambda s: s.iterations or (s.table_visible and not s.details),
        refusal="the table is not shown",
    ),
    Command(
        "reverse",
        "O",
        "Reverse",
        "reverse the order of the table",
        "Table",
        lambda s: s.listing_sorted if s.iterations else s.table_visible and s.sorted and not s.details,
        refusal="the table is not sorted",
        footer=False,
    ),
    Command(
        "hold",
        "h",
        "Hold",
        "hold the screen while the run continues, or catch up",
        "Screens",
        lambda s: s.live or s.held,
        lambda s: "Go on" if s.held else "Hold",
        refusal="nothing to hold",
    ),
    Command(
        "verdict",
        "v",
        "Verdict",
        "the verdict: who, by how much, how sure; fairness checks",
        "Screens",
        lambda s: s.results and (not s.details or s.page == "verdict"),
        refusal="no results yet",
        short="Why",
    ),
    Command(
        "pairs",
        "a",
        "All pairs",
        "compare the other backends with one another too, or not",
        "Verdict",
        lambda s: s.page == "verdict",
        refusal="open the verdict first",
        short="Pairs",
    ),
    Command(
        "log",
        "L",
        "Log",
        "the run's log: messages, state changes, failures",
        "Screens",
        lambda s: not s.details or s.page == "log",
    ),
    Command(
        "server_log",
        "l",
        "Server log",
        "the last lines of the server's log, in the details",
        "Details",
        lambda s: s.iterations and not s.requests,
        refusal=_DETAILS_FIRST,
        short="Log",
    ),
    Command(
        "detach",
        "d",
        "Detach",
        "close the monitor; the run continues (`llmtui attach`)",
        "Run",
        lambda s: s.live or s.phase == "down",
        refusal="no engine to detach from",
        engine=True,
    ),
    Command(
        "export",
        "e",
        "CSV",
        "export the results table as CSV to a new dated file",
        "Run",
        lambda s: s.results,
        refusal="no results yet",
    ),
    Command(
        "export_as",
        "E",
        "Export",
        "export, with a choice of format, folder and name",
        "Run",
        lambda s: s.results,
        refusal="no results yet",
    ),
    Command(
        "maximise",
        "enter",
        "Details",
        "details of this backend: iterations, answers, token timeline",
        "Screens",
        lambda s: s.selected is not None and (not s.details or s.turns_listed),
        lambda s: "Requests" if s.turns_listed else "Details",
        short="Open",
    ),
    Command(
        "back",
        "escape",
        "Back",
        "clear the filter; back to all backends; a held screen catches up",
        "Screens",
        lambda s: s.details or s.held,
        lambda s: "Clear" if s.iterations and s.filtered else "Back",
    ),
    Command(
        "filter",
        "slash",
        "Filter",
        "filter the iterations: failed, busy, 100-200, >1.5, text",
        "Details",
        lambda s: s.iterations,
        refusal=_DETAILS_FIRST,
    ),
    Command(
        "slowest",
        "S",
        "Slowest",
        "go to the slowest iteration",
        "Details",
        lambda s: s.iterations and s.results,
        refusal=_DETAILS_FIRST,
    ),
    Command(
        "next_failed",
        "f",
        "Failed",
        "go to the next iteration that failed",
        "Details",
        lambda s: s.iterations and s.failures,
        refusal="for the details of a backend with failures",
    ),
    Command(
        "next_outlier",
        "u",
        "Outlier",
        "go to the next outlier: a latency far from the rest",
        "Details",
        lambda s: s.iterations and s.outliers and not s.requests,
        refusal="for the details of a backend with outliers",
    ),
    Command(
        "here",
        "i",
        "Here",
        "what runs here: race another model, or see how to get the rest",
        "Run",
        lambda s: not s.details or s.page == "here",
    ),
    Command(
        "theme",
        "t",
        "Theme",
        "next theme: dark, light, ansi (the terminal's own colours)",
        "Application",
        footer=False,
    ),
    Command("help", "question_mark", "Help", "all keys", "Application"),
    Command("quit", "q", "Quit", "quit; press twice while the run is in progress", "Application"),
)

BY_ID: dict[str, Command] = {c.id: c for c in COMMANDS}
