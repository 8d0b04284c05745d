"""The one registry of commands: it feeds bindings, footer, palette, help screen, README table and `[ui].keys`.

Cheap to import: config validation checks `[ui].keys` with `resolve_keys`, so nothing here draws.
"""

from __future__ import annotations

import dataclasses
import difflib
import string
from collections.abc import Callable, Mapping
from typing import Literal

from llmtui.model import RESTING, State

Phase = Literal["connecting", "starting", "running", "paused", "done", "stopping", "gone"]


@dataclasses.dataclass(frozen=True)
class Situation:
    """What the monitor shows now, as far as it decides which commands apply."""

    phase: Phase = "connecting"
    backends: int = 1
    resting: int = 0
    results: bool = False
    selected: State | None = None
    hidden: bool = False
    #: How many charts stand on the screen.
    charts: int = 1
    table_on_key: bool = False
    table_shown: bool = False
    #: Whether another screen (details, log) lies over all backends.
    details: bool = False
    #: Whether the table can be seen, and whether it has another order than the plan's.
    table_visible: bool = True
    sorted: bool = False
    held: bool = False
    log_shown: bool = False
    verdict_shown: bool = False
    #: Whether the backends take turns, so that rounds can be added.
    in_turns: bool = True

    @property
    def live(self) -> bool:
        """Whether an engine is there to take commands."""
        return self.phase in ("starting", "running", "paused", "done")


def _always(_: Situation) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Command:
    """One thing a user can ask for. `label` is the footer's short word; `refusal` says why it does not apply now."""

    id: str
    key: str
    label: str
    help: str
    group: Literal["Backend", "Run", "View", "Application"]
    applies: Callable[[Situation], bool] = _always
    label_now: Callable[[Situation], str] | None = None
    refusal: str = ""
    footer: bool = True
    #: Whether the engine carries it out.
    engine: bool = False

    def word(self, situation: Situation) -> str:
        """The footer's word for this command in `situation`."""
        return self.label_now(situation) if self.label_now else self.label


COMMANDS: tuple[Command, ...] = (
    Command(
        "rerun",
        "r",
        "Rerun",
        "rerun the focused backend; the earlier attempt is kept",
        "Backend",
        lambda s: s.live and s.selected in RESTING,
        refusal="still busy: s stops it first",
        engine=True,
    ),
    Command(
        "stop",
        "s",
        "Stop",
        "stop the focused backend: drop its remaining iterations",
        "Backend",
        lambda s: s.live and s.selected is not None and s.selected not in RESTING,
        refusal="already at rest",
        engine=True,
    ),
    Command(
        "rerun_all",
        "R",
        "All",
        "rerun all backends",
        "Run",
        lambda s: s.live and s.resting == s.backends > 0,
        refusal="the run is still going",
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
        "add rounds until the verdict is decided: intervals of 5 %",
        "Run",
        lambda s: s.phase in ("running", "done") and s.live and s.backends > 1 and s.in_turns and s.results,
        refusal='rounds are added where several backends with results take turns: order = "shuffled"',
        engine=True,
    ),
    Command(
        "hide",
        "x",
        "Hide",
        "hide or show the focused backend in the charts; axes rescale",
        "View",
        lambda s: s.selected is not None and not (s.log_shown or s.verdict_shown),
        lambda s: "Show" if s.hidden else "Hide",
    ),
    Command(
        "metric",
        "m",
        "Metric",
        "next metric: latency, TTFT, ITL, tokens/s",
        "View",
        lambda s: not s.log_shown,
    ),
    Command(
        "chart",
        "c",
        "Chart",
        "next chart: bars, box plot, ECDF; scatter too where one fits",
        "View",
        lambda s: s.charts > 0 and not s.details,
        refusal="there is no chart here",
    ),
    Command(
        "scale",
        "y",
        "Scale",
        "log or linear charts; log by itself at ten times the rest",
        "View",
        lambda s: s.charts > 0 and not (s.details or (s.table_on_key and s.table_shown)),
        refusal="there is no chart here",
        footer=False,
    ),
    Command(
        "table",
        "T",
        "Table",
        "switch between chart and table where only one of them fits",
        "View",
        lambda s: s.table_on_key and not s.details,
        lambda s: "Chart" if s.table_shown else "Table",
        refusal="the table is on the screen",
    ),
    Command(
        "sort",
        "o",
        "Sort",
        "sort the table by the next column; a click on a heading does too",
        "View",
        lambda s: s.table_visible and not s.details,
        refusal="the table is not on the screen",
    ),
    Command(
        "reverse",
        "O",
        "Reverse",
        "turn the order of the table round",
        "View",
        lambda s: s.table_visible and s.sorted and not s.details,
        refusal="the table has the plan's order: sort it first",
        footer=False,
    ),
    Command(
        "hold",
        "h",
        "Hold",
        "hold the screen still while the run goes on, or let it go on",
        "View",
        lambda s: s.live or s.held,
        lambda s: "Go on" if s.held else "Hold",
        refusal="there is nothing to hold",
    ),
    Command(
        "verdict",
        "v",
        "Verdict",
        "what the data say: every pair, intervals, fairness checks",
        "View",
        lambda s: s.results and (not s.details or s.verdict_shown),
        refusal="no result yet",
    ),
    Command(
        "log",
        "L",
        "Log",
        "the run's log: what was said, state changes, failures",
        "View",
        lambda s: not s.details or s.log_shown,
    ),
    Command(
        "server_log",
        "l",
        "Server log",
        "the server's last lines, in the details",
        "View",
        lambda s: s.details and not (s.log_shown or s.verdict_shown),
        refusal="it is in the details of a backend: open them first",
    ),
    Command(
        "detach",
        "d",
        "Detach",
        "leave the run going; `llmtui attach` comes back to it",
        "Run",
        lambda s: s.live,
        refusal="there is no engine to leave",
        engine=True,
    ),
    Command(
        "export",
        "e",
        "CSV",
        "export the results table as CSV to a new dated file",
        "Run",
        lambda s: s.results,
        refusal="no result yet",
    ),
    Command(
        "export_as",
        "E",
        "Export",
        "export with a choice of format, folder and name",
        "Run",
        lambda s: s.results,
        refusal="no result yet",
    ),
    Command(
        "maximise",
        "enter",
        "Details",
        "all of the focused backend: iterations, answers, token timeline",
        "View",
        lambda s: s.selected is not None and not s.details,
    ),
    Command(
        "back",
        "escape",
        "Back",
        "back to all backends; a held screen goes on",
        "View",
        lambda s: s.details or s.held,
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
    Command("quit", "q", "Quit", "quit; asked twice while the run is going", "Application"),
)

BY_ID: dict[str, Command] = {c.id: c for c in COMMANDS}

#: Keys that are not to be given away: they choose a backend or always leave.
RESERVED = frozenset({*"123456789", "ctrl+c", "ctrl+q", "ctrl+p", "tab", "shift+tab"})

_NAMES = {
    "?": "question_mark",
    " ": "space",
    "esc": "escape",
    "return": "enter",
    "/": "slash",
    "+": "plus",
    "-": "minus",
    ".": "full_stop",
    ",": "comma",
    "!": "exclamation_mark",
    "*": "asterisk",
    "#": "number_sign",
    ":": "colon",
    ";": "semicolon",
    "=": "equals_sign",
    "<": "less_than_sign",
    ">": "greater_than_sign",
    "_": "underscore",
    "@": "at",
    "$": "dollar_sign",
    "%": "percent_sign",
    "&": "ampersand",
    "'": "apostrophe",
    '"': "quotation_mark",
    "(": "left_parenthesis",
    ")": "right_parenthesis",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    "\\": "backslash",
    "|": "vertical_line",
    "^": "circumflex_accent",
    "`": "grave_accent",
    "~": "tilde",
}
_LETTERS = frozenset(string.ascii_letters)
#: Every key that Textual (and a terminal) has a name for.
KEY_NAMES = frozenset(
    {
        *_LETTERS,
        *string.digits,
        *_NAMES.values(),
        *(f"f{n}" for n in range(1, 25)),
        *("tab", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up", "down", "left", "right"),
    }
)
_MODIFIERS = ("ctrl", "alt", "shift")
_SHOWN = {"question_mark": "?", "escape": "esc"} | {v: k for k, v in _NAMES.items() if len(k) == 1 and k != " "}


def key_word(key: str) -> str:
    """A key as it is shown: `question_mark` is `?`, `escape` is `esc`."""
    return _SHOWN.get(key, key)


def _refused(key: str) -> str:
    """Why `key`, by Textual's name, is no key, in words; empty where it is one."""
    *modifiers, name = key.split("+")
    if name in KEY_NAMES and all(m in _MODIFIERS for m in modifiers) and len(set(modifiers)) == len(modifiers):
        # A terminal sends the capital, not shift and the letter.
        return f'did you mean "{name.upper()}"?' if modifiers == ["shift"] and name in _LETTERS else ""
    near = difflib.get_close_matches(name, sorted(n for n in KEY_NAMES if len(n) > 1), n=1, cutoff=0.5)
    if not near or not all(m in _MODIFIERS for m in modifiers):
        return 'examples: "r", "R", "f5", "ctrl+r", "space"'
    return f'did you mean "{"+".join([*modifiers, near[0]])}"?'


def resolve_keys(overrides: Mapping[str, str]) -> dict[str, str]:
    """The key of every command, by id, after `[ui].keys`.

    Raises ValueError, in words, for an unknown id (naming the nearest), for what is not a key, and for a clash.
    """
    keys = {c.id: c.key for c in COMMANDS}
    for command_id, key in overrides.items():
        if command_id not in keys:
            near = difflib.get_close_matches(command_id, keys, n=1, cutoff=0.5)
            meant = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(keys)}"
            raise ValueError(f'unknown command "{command_id}"; {meant}')
        named = _NAMES.get(key, key)
        if refused := _refused(named):
            raise ValueError(f'"{command_id}": "{key}" is not a key; {refused}')
        if named in RESERVED:
            raise ValueError(f'"{command_id}": the key "{key}" is taken: it cannot be given to a command')
        keys[command_id] = named
    owner: dict[str, str] = {}
    for command_id, key in keys.items():
        if key in owner:
            raise ValueError(f'"{command_id}" and "{owner[key]}" both have the key "{key_word(key)}"')
        owner[key] = command_id
    return keys


def key_table() -> str:
    """The keys as the README's table (Markdown): key, command id for `[ui].keys`, what it does."""
    rows = [f"| `{key_word(c.key)}` | `{c.id}` | {c.help} |" for c in COMMANDS]
    return "\n".join(["| key | id | what it does |", "|---|---|---|", *rows])


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
