"""Snapshots of the monitor as text, compared exactly. `python -m tests.ui.snapshots` renews tests/ui/snapshots/.

Each has the rows of the screen. With styles, a second block of the same size has a letter for the style of each cell,
and a list of the letters follows. Events, clocks and the folder for exports are canned.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import ascii_letters
from unittest.mock import patch

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from llmtui.model import (
    AnyEvent,
    BackendChanged,
    Failure,
    Hello,
    IterationDone,
    Load,
    LogTail,
    Note,
    Power,
    RunChanged,
    RunState,
)
from llmtui.ui.app import MonitorApp
from llmtui.ui.screens import run as run_screen
from tests.ui import canned_load, canned_search, canned_trend
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import answer_shown, make, settle, trend_read
from tests.ui.quiet import Together

FOLDER = Path(__file__).parent / "snapshots"
NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)
_FAILED = BackendChanged(
    backend=canned.state(
        "mistral.rs",
        state="failed",
        failure=Failure(kind="server", message="the server ended with exit code 1", hint="enter shows its last lines"),
        log_tail=["error: no such model"],
    )
)
_LOADING: list[AnyEvent] = [
    BackendChanged(
        backend=canned.state("llama.cpp", state="preparing", doing="fetching the model", progress=0.42, load_s=None)
    ),
    BackendChanged(backend=canned.state("HuggingFace", state="waiting", load_s=None)),
    RunChanged(run=RunState(phase="starting", total=39)),
]
_DONE: list[AnyEvent] = [
    *(BackendChanged(backend=canned.state(n, state="done")) for n in ("llama.cpp", "mistral.rs", "HuggingFace")),
    canned.run_done(),
]
_PAUSED = RunChanged(run=RunState(phase="paused", finished=27, total=39, elapsed_s=42.0))
_LOGGED: list[AnyEvent] = [
    Note(text="the server ended (signal 9): it is started again, 1 of 3", level="warning", backend="mistral.rs"),
    BackendChanged(backend=canned.state("llama.cpp", state="done")),
    _FAILED,
    _PAUSED,
]


@dataclasses.dataclass(frozen=True)
class Shot:
    """A snapshot: first events, keys, later events, the size of the terminal."""

    name: str
    size: tuple[int, int] = (80, 24)
    done: int = 6
    events: Sequence[AnyEvent] = ()
    keys: Sequence[str] = ()
    later: Sequence[AnyEvent] = ()
    theme: str = "dark"
    marker: str = "braille"
    no_color: bool = False
    styles: bool = False
    #: Whether it is the canned load, and not the race.
    load: bool = False
    #: The first message of a search, in place of the race.
    search: Hello | None = None
    #: How many runs the history has for the trend page.
    runs: int = 24
    #: The load of the canned one.
    shape: Load = canned_load.LOAD


_BEHIND = [IterationDone(iteration=canned.iteration("llama.cpp", n)) for n in (7, 8)]
_STALLED: list[AnyEvent] = [
    IterationDone(
        iteration=canned.iteration(
            "llama.cpp", 7, stamp="kernel", token_source="usage", finish_reason="length",
            **canned.arrivals(gaps={23: 0.084, 40: 0.045}),
        )
    ),
    LogTail(backend="llama.cpp", lines=[f"slot 0 released, n_past = {n}" for n in range(90, 110)]),
]  # fmt: skip
_LOAD_WARMING: list[AnyEvent] = [
    canned_load.turn_done("mistral.rs", 1, 1, phase="warmup"),
    canned_load.tick(number=1, level=2, phase="warmup", share="settling", finished=3, counted=0, in_flight=4),
]
_LOAD_PARTIAL: list[AnyEvent] = [
    canned_load.turn_done("llama.cpp", 7, 1, finished=36, failed=3, timed_out=1),
    canned_load.turn_done("llama.cpp", 7, 3, state="partial", finished=12, requests=15, unfinished=3),
]
#: A turn of llama.cpp at 4 streams up to its ninth second.
_LOAD_COURSE: list[AnyEvent] = [
    canned_load.tick(
        level=2,
        share="settling" if n < 8 else "window",
        elapsed_s=n / 4,
        in_flight=min(4, n),
        finished=n * 3 // 4,
        tokens=max(0, n - 2) * 53,
        failed=2 * (n > 20),
        refused=int(n > 20),
    )
    for n in range(37)
]
#: Conversations with a probe beside them: the first round of each level.
_LOAD_BESIDE: list[AnyEvent] = [
    canned_load.turn_done(name, 1, level, **canned_load.beside(level)) for level in (1, 3) for name in canned_load.NAMES
]
#: A meter of power: what an answer took, by backend (J/token).
_JOULES = {"llama.cpp": 0.412, "mistral.rs": 0.655, "HuggingFace": 2.31}


def _power(name: str, number: int) -> Power:
    joules = _JOULES[name] * (1 + number / 100)
    return Power(
        meters=["package-0"],
        seconds=1.0,
        watts=35.5,
        joules=64 * joules,
        joules_error=0.8,
        idle_watts=6.2,
        joules_per_token=joules,
        joules_per_token_error=0.0125,
    )


_ENERGY: list[AnyEvent] = [
    *(BackendChanged(backend=canned.state(name)) for name in _JOULES),
    *(
        IterationDone(iteration=canned.iteration(name, number, power=_power(name, number)))
        for number in range(1, 7)
        for name in _JOULES
    ),
]
_LOAD_ENERGY: list[AnyEvent] = [
    canned_load.turn_done(name, number, level, power=_power(name, number))
    for number in range(1, 4)
    for level in (1, 3)
    for name in _JOULES
]
#: The probes of a search so far.
_HALF = {"four": (1, 2, 4), "two": (1, 2, 4)}
SHOTS = (
    Shot("running-dark", styles=True),
    Shot("running-light", theme="light", styles=True),
    Shot("running-ansi", theme="ansi", styles=True),
    Shot("running-no-color", theme="ansi", no_color=True, styles=True),
    Shot("running-ascii", marker="ascii"),
    Shot("running-120x40", (120, 40), keys=["2", "o"]),
    Shot("running-200x50", (200, 50), keys=["5", "tab"]),
    Shot("running-40x12", (40, 12)),
    Shot("loading", done=0, events=_LOADING),
    Shot("loading-120x40", (120, 40), done=0, events=_LOADING),
    Shot("paused-hidden", events=[_PAUSED], keys=["3", "x"]),
    Shot("failed-120x40", (120, 40), events=[_FAILED]),
    Shot("done-table", done=10, events=_DONE, keys=["T", "o", "O"]),
    Shot("held", keys=["h"], later=_BEHIND),
    Shot("help", keys=["question_mark"]),
    Shot("export", keys=["E", "down"]),
    Shot("export-60x15", (60, 15), keys=["E", "tab", "tab", "ctrl+u", "enter"]),
    Shot("details", events=_STALLED, keys=["enter"], styles=True),
    Shot("details-ascii", events=_STALLED, keys=["enter"], marker="ascii", theme="ansi"),
    Shot("details-40x12", (40, 12), events=_STALLED, keys=["enter"]),
    Shot("details-120x40", (120, 40), events=_STALLED, keys=["enter", "up", "tab"]),
    Shot("details-server-log", events=_STALLED, keys=["enter", "l"]),
    Shot("details-failed", events=[_FAILED], keys=["2", "enter"]),
    Shot("log", events=_LOGGED, keys=["L"]),
    Shot("verdict", events=_DONE, done=10, keys=["v"]),
    Shot("verdict-end-ascii", events=_DONE, done=10, keys=["v", "end"], marker="ascii"),
    Shot("verdict-running-120x40", (120, 40), keys=["v"]),
    Shot("verdict-40x12", (40, 12), events=_DONE, done=10, keys=["v"]),
    Shot("energy-120x40", (120, 40), done=0, events=_ENERGY),
    Shot("energy-details-120x40", (120, 40), done=0, events=_ENERGY, keys=["enter"]),
    Shot("energy-load-120x40", (120, 40), done=0, events=_LOAD_ENERGY, keys=["T"], load=True),
    Shot("load", events=[canned_load.tick()], load=True, styles=True),
    Shot("load-ascii", events=[canned_load.tick()], load=True, marker="ascii", theme="ansi"),
    Shot("load-40x12", (40, 12), events=[canned_load.tick()], load=True),
    Shot("load-120x40", (120, 40), events=[canned_load.tick()], load=True),
    Shot("load-level", done=10, events=canned_load.done_events(), keys=["less_than_sign", "T"], load=True),
    Shot(
        "load-level-120x40",
        (120, 40),
        events=[canned_load.tick(level=2, in_flight=4)],
        keys=["less_than_sign"] * 2,
        load=True,
    ),
    Shot("load-200x50", (200, 50), events=[canned_load.tick()], keys=["2"], load=True),
    Shot("load-table", done=10, events=canned_load.done_events(), keys=["T", "o"], load=True),
    Shot("load-ttft", events=_LOAD_COURSE, keys=["c"], load=True),
    Shot("load-pareto-ascii", events=_LOAD_COURSE, keys=["c", "c"], load=True, marker="ascii"),
    Shot("load-turn", events=_LOAD_COURSE, keys=["c", "c", "c"], load=True, styles=True),
    Shot("load-pareto-120x40", (120, 40), events=_LOAD_COURSE, keys=["c"], load=True),
    Shot("load-heat-120x40", (120, 40), events=_LOAD_COURSE, keys=["c", "c", "c"], load=True),
    Shot("grid-120x40", (120, 40), load=True, shape=canned_load.GRID),
    Shot("grid-heat-120x40", (120, 40), keys=["c", "c", "c"], load=True, shape=canned_load.GRID),
    Shot("grid-heat", keys=["c", "c", "c", "c", "less_than_sign"], load=True, shape=canned_load.GRID, marker="ascii"),
    Shot("grid-table", keys=["T"], load=True, shape=canned_load.GRID),
    Shot("load-warming-120x40", (120, 40), done=0, events=_LOAD_WARMING, load=True),
    Shot("load-details-120x40", (120, 40), events=_LOAD_PARTIAL, keys=["enter"], load=True),
    Shot("load-details", events=_LOAD_PARTIAL, keys=["enter", "up", "up"], load=True),
    Shot("load-beside", done=0, events=_LOAD_BESIDE, keys=["enter"], load=True),
    Shot("load-beside-120x40", (120, 40), done=0, events=_LOAD_BESIDE, load=True),
    Shot("load-beside-200x50", (200, 50), done=0, events=_LOAD_BESIDE, load=True),
    Shot("load-beside-details-120x40", (120, 40), done=0, events=_LOAD_BESIDE, keys=["enter"], load=True),
    Shot("load-requests", keys=["enter", "enter", *["down"] * 19], load=True),
    Shot("load-requests-120x40", (120, 40), keys=["enter", "enter", "f"], load=True),
    Shot("load-log", events=_LOAD_PARTIAL, keys=["L"], load=True),
    Shot("load-export", keys=["E", "down"], load=True),
    Shot("load-help", keys=["question_mark"], load=True),
    Shot("load-verdict", done=10, events=canned_load.done_events(), keys=["v"], load=True),
    Shot("search", events=[canned_search.tick("four", 4)], search=canned_search.hello(_HALF)),
    Shot("search-120x40", (120, 40), events=[canned_search.tick("four", 8)], search=canned_search.hello(_HALF)),
    Shot("search-done", events=canned_search.done_events(), search=canned_search.hello(), styles=True),
    Shot(
        "search-objectives-200x50",
        (200, 50),
        events=canned_search.done_events(),
        search=canned_search.hello(load=canned_search.OBJECTIVES),
    ),
    Shot(
        "search-undecided-ascii",
        events=canned_search.done_events(),
        keys=["m", "m"],
        search=canned_search.hello(load=canned_search.OBJECTIVES, few=True),
        marker="ascii",
    ),
    Shot("trend", events=_DONE, done=10, keys=["H"], styles=True),
    Shot("trend-end-ascii", events=_DONE, done=10, keys=["H", "end"], marker="ascii", theme="ansi"),
    Shot("trend-40x12", (40, 12), events=_DONE, done=10, keys=["H"]),
    Shot("trend-120x40", (120, 40), events=_DONE, done=10, keys=["H", "down", "m"]),
    Shot("trend-200x50", (200, 50), events=_DONE, done=10, keys=["H"]),
    Shot("trend-one-run", events=_DONE, done=10, keys=["H"], runs=1),
    Shot("trend-measuring", keys=["H"]),
    Shot("search-verdict", events=canned_search.done_events(), keys=["v"], search=canned_search.hello()),
)
#: Other sizes of pages that the fast tests compare at one size, or two kinds of marks.
SLOW = {
    *("loading-120x40", "details-120x40", "details-40x12", "verdict-running-120x40", "verdict-40x12", "export-60x15"),
    *("energy-details-120x40", "load-40x12", "load-level-120x40", "load-200x50", "load-requests-120x40"),
    *("load-beside", "load-beside-200x50", "load-beside-details-120x40", "load-pareto-120x40", "load-details-120x40"),
    *("grid-120x40", "search-120x40", "trend-40x12", "trend-120x40", "trend-200x50"),
}


def _described(style: Style) -> str:
    words = [w for w in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, w)]
    words += [style.color.name] if style.color is not None else []
    words += [f"on {style.bgcolor.name}"] if style.bgcolor is not None else []
    return " ".join(words)


def picture(app: MonitorApp, styles: bool) -> str:
    """Return the screen as text, after the app's colour filters."""
    rows: list[str] = []
    marks: list[str] = []
    letters: dict[str, str] = {}
    for strip in app.screen._compositor.render_strips():
        rows.append(strip.text.rstrip())
        row = ""
        for text, style, _ in strip:
            shown = style or Style()
            for enabled in (f for f in app._filters if f.enabled):
                shown = enabled.apply([Segment(text, shown)], app.screen.styles.background)[0].style or shown
            # A blank looks the same in any colour and weight.
            for part in filter(None, re.split(r"(\s+)", text)):
                word = _described(Style(bgcolor=shown.bgcolor) if part.isspace() else shown)
                letter = letters.setdefault(word, "." if not letters else ascii_letters[len(letters) - 1])
                row += letter * cell_len(part)
        marks.append(row.rstrip("."))
    out = rows
    if styles:
        out = [*rows, "-" * app.size.width, *marks, "-" * app.size.width]
        out += [f"{letter} {word or 'plain'}" for word, letter in letters.items()]
    return "\n".join(out) + "\n"


async def take(shot: Shot) -> str:
    """Run the monitor and return the text of a snapshot."""
    environ = {"LLMTUI_STATE": tempfile.gettempdir() + "/llmtui-there-is-none", "TERM": "xterm-256color"}
    with patch.dict(os.environ, environ), patch.object(run_screen, "Throttle", Together):
        os.environ.pop("NO_COLOR", None)
        if shot.no_color:
            os.environ["NO_COLOR"] = "1"
        raced = canned_load.hello(shot.done, shot.shape) if shot.load else canned.hello(done=shot.done)
        hello = shot.search or raced
        link = (canned_load.LoadLink if shot.load else FakeLink)(
            hello, *(() if shot.search else canned.samples()), *shot.events
        )
        plan = canned_load.plan(shot.shape) if shot.load else shot.search.plan if shot.search else None
        app = make(link, plan, theme=shot.theme, marker=shot.marker)
        app.wall = lambda: NOON
        app.view.now = lambda: 1000.0
        app.view.run_changed()
        app.export_dir = Path("/home/user")
        app.trends.read = canned_trend.read(shot.runs)
        async with app.run_test(size=shot.size, notifications=False) as pilot:
            await settle(pilot, link)
            for key in shot.keys:
                await pilot.press(key)
                await settle(pilot)
                await trend_read(app, pilot)
            link.put(*shot.later)
            await settle(pilot, link)
            await settle(pilot)
            if app.view.request_page is not None:
                await answer_shown(app, pilot, link)
            return picture(app, shot.styles)


def path_of(shot: Shot) -> Path:
    """Return the path of a snapshot."""
    return FOLDER / f"{shot.name}.txt"


async def renew() -> None:
    """Take every snapshot again, and remove files that belong to none."""
    FOLDER.mkdir(exist_ok=True)
    for shot in SHOTS:
        text = await take(shot)
        old = path_of(shot).read_text("utf-8") if path_of(shot).exists() else ""
        path_of(shot).write_text(text, "utf-8")
        print(f"{shot.name}: {'unchanged' if text == old else 'new'}")
    for path in set(FOLDER.glob("*.txt")) - {path_of(shot) for shot in SHOTS}:
        path.unlink()
        print(f"{path.stem}: removed")


if __name__ == "__main__":
    asyncio.run(renew())
