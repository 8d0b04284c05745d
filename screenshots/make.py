"""Make the pictures in this folder from real runs: `python screenshots/make.py`, with llmtui[local] or [hf] installed.

Each picture shows the monitor with a real engine and real servers, as SVG by Textual and as PNG by rsvg-convert
(Debian: librsvg2-bin, with fonts-dejavu-core and fonts-freefont-ttf). Some are made only if named: `servers` needs a
llama-server on port 8080 with the model of the race, those of a load take ten minutes, and `demo` and `sweep` record
a race and a load of llama.cpp and mistral.rs, and draw them with pyte and Pillow.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from grid import on_grid

from llmtui.cli.history import earlier_run, opened
from llmtui.cli.racing import plan_of
from llmtui.config.schema import UiConfig
from llmtui.link.client import EngineLink
from llmtui.link.process import EngineProcess
from llmtui.runview.run import RunView
from llmtui.ui.app import MonitorApp
from llmtui.ui.past import PastLink, past_hello, past_run

HERE = Path(__file__).parent

#: Where `servers` expects a llama-server with the model of the race.
LLAMA_SERVER = "http://127.0.0.1:8080"

#: What is recorded and not a picture, see demo.py.
DEMOS = ("demo", "sweep")
#: The pictures of a load, and its options.
LOADS = {"load": (120, 40), "load-narrow": (80, 24), "load-large": (200, 50)}
LOAD = "--concurrency 1,2,4,8 --requests 8 --rounds 6 --warmup 0 --max-tokens 8 --slo ttft=2"

Pilot = Any
Act = Callable[[Any, MonitorApp], Awaitable[None]]


async def picture(
    name: str,
    size: tuple[int, int],
    act: Act,
    theme: str = "dark",
    words: tuple[str, ...] = (),
) -> None:
    """Race what `words` name, or the repository's config, at `size`, act, and save the screen."""
    what = words or (str(HERE.parent / "config.toml"),)
    plan = (await asyncio.to_thread(plan_of, what, None, (), {}, ()))[1]
    engine = EngineProcess.start(plan)

    async def link() -> EngineLink:
        return await engine.connect()

    app = MonitorApp(plan.public(), link, ui=UiConfig(theme=theme))
    try:
        await shown(app, name, size, act)
    finally:
        await engine.wait()


async def past(name: str, size: tuple[int, int]) -> None:
    """Race twice, and save the screen of the second run with the first one beside it."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        for label in ("before", "after"):
            await recorded(store, label, "llama.cpp", "mistral.rs")
        await reopened(store, "after", name, size, done, against="before")


async def loads(names: list[str]) -> None:
    """Put the engines of the repository's config under load once, and save the screen at several sizes."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        await recorded(store, "load", str(HERE.parent / "config.toml"), *LOAD.split())
        for name in names:
            await reopened(store, "load", name, LOADS[name], done)


async def recorded(store: str, label: str, *words: str) -> None:
    """Carry out a run without a terminal."""
    command = ("run", *words, "-q", "--label", label, "--store", store)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "llmtui", *command)
    if await process.wait():
        raise SystemExit(f"the run {label} failed")


async def reopened(store: str, label: str, name: str, size: tuple[int, int], act: Act, against: str = "") -> None:
    """Open a run of the history, with another one beside it, act, and save the screen."""
    with opened(store) as history:
        stored = history.load(label)

    async def link() -> EngineLink:
        return PastLink(past_hello(stored))

    earlier = earlier_run(against, store) if against else None
    app = MonitorApp(stored.plan, link, ui=UiConfig(theme="dark"), past=past_run(stored), against=earlier)
    await shown(app, name, size, act)


async def shown(app: MonitorApp, name: str, size: tuple[int, int], act: Act) -> None:
    """Run the monitor at `size`, act, and save the screen."""
    async with app.run_test(size=size) as pilot:
        await act(pilot, app)
        app.clear_notifications()
        await pilot.pause(0.6)
        svg = app.export_screenshot(title=f"llmtui {size[0]}x{size[1]}")
    path = HERE / f"{name}.svg"
    path.write_text(svg, "utf-8")
    drawn = path.with_suffix(".drawn.svg")
    drawn.write_text(on_grid(svg), "utf-8")
    if shutil.which("rsvg-convert"):
        process = await asyncio.create_subprocess_exec("rsvg-convert", "-o", path.with_suffix(".png"), drawn)
        if await process.wait():
            raise SystemExit(f"rsvg-convert could not draw {drawn}")
    drawn.unlink()
    print(f"{name}: {size[0]}x{size[1]}, {run_counts(app.run_view)}", flush=True)


def run_counts(run_view: RunView) -> str:
    """Return how many iterations of each backend were done."""
    return ", ".join(
        f"{name} {backend_view.summary.n}/{backend_view.state.planned}"
        for name, backend_view in run_view.backends.items()
    )


async def until(pilot: Pilot, app: MonitorApp, holds: Callable[[RunView], bool]) -> None:
    """Let the monitor run until its run fulfils a condition."""
    while not holds(app.run_view):
        await pilot.pause(0.1)
    await pilot.pause(0.6)


def measured(count: int) -> Callable[[RunView], bool]:
    """Return whether every running backend has `count` measured iterations, as a condition for `until`."""

    def holds(run_view: RunView) -> bool:
        backend_views = [
            backend_view for backend_view in run_view.backends.values() if backend_view.state.load_s is not None
        ]
        return (
            bool(backend_views)
            and all(backend_view.summary.n >= count for backend_view in backend_views)
            and run_view.run.finished > 0
        )

    return holds


async def running(pilot: Pilot, app: MonitorApp) -> None:
    """Wait for the middle of the run."""
    await until(pilot, app, measured(7))


async def done(pilot: Pilot, app: MonitorApp) -> None:
    """Wait for the end of the run."""
    await until(pilot, app, lambda run_view: run_view.run.phase == "done")


async def details(pilot: Pilot, app: MonitorApp) -> None:
    """Open the details of the second backend at the end of the run."""
    await done(pilot, app)
    await pilot.press("2", "enter")
    await pilot.pause(0.6)


async def verdict(pilot: Pilot, app: MonitorApp) -> None:
    """Open the verdict at the end of the run."""
    await done(pilot, app)
    await pilot.press("v")
    await pilot.pause(0.6)


async def main(wanted: list[str]) -> None:
    """Make all pictures, or the named ones."""
    if recorded := [name for name in wanted if name in DEMOS]:
        import demo

        for name in recorded:
            demo.make(name)
        wanted = [name for name in wanted if name not in recorded]
        if not wanted:
            return
    pictures: dict[str, tuple[tuple[int, int], Act, str]] = {
        "wide": ((120, 40), running, "dark"),
        "narrow": ((80, 24), running, "dark"),
        "large": ((200, 50), done, "dark"),
        "light": ((120, 40), done, "light"),
        "details": ((120, 40), details, "dark"),
        "verdict": ((120, 40), verdict, "dark"),
    }
    for name in wanted or [*pictures, "against"]:
        if name == "against":
            await past(name, (120, 40))
        elif name == "servers":
            await picture(name, (120, 40), done, words=("llama.cpp", "mistral.rs", LLAMA_SERVER))
        elif name in LOADS:
            continue
        else:
            size, act, theme = pictures[name]
            await picture(name, size, act, theme)
    if of_load := [name for name in wanted if name in LOADS]:
        await loads(of_load)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
