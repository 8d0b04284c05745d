"""The private names of Textual that the monitor relies on. A failure here means that Textual has changed."""

from __future__ import annotations

import ast
import signal
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.filter import Monochrome, NoColor
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Static

import llmtui.ui
from llmtui.ui import textual_internals as internals

UI = Path(llmtui.ui.__file__).parent


class Sample(App[None]):
    """An app with one line of text on a screen of the monitor's kind."""

    CSS = "Static { height: 1; }"

    def get_default_screen(self) -> Screen[None]:
        return internals.PaintedOnceScreen(id="_default")

    def compose(self) -> Any:
        yield Static("text", id="text")


class Plain(Sample):
    def get_default_screen(self) -> Screen[None]:
        return Screen(id="_default")


class Hidden(internals.PaintedOnceScreen[None]):
    def compose(self) -> Any:
        yield Static("hidden", id="hidden")


def private_names(path: Path) -> set[str]:
    """The private attributes of other objects, and private modules of Textual, that a file uses."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                names.add(name)
            case ast.ImportFrom(module=str(module)) if module.startswith("textual.") and "._" in module:
                names.add(module)
    return names


def test_private_names_are_in_one_file() -> None:
    users = {path.name for path in UI.rglob("*.py") if private_names(path)}
    assert users == {"textual_internals.py"}


@pytest.mark.parametrize(
    ("own", "paints"),
    [(True, [LayoutUpdate]), (False, [ChopsUpdate, LayoutUpdate])],
    ids=["ours", "Textual's"],
)
async def test_layout_and_repaint_are_one_paint(own: bool, paints: list[type], monkeypatch: pytest.MonkeyPatch) -> None:
    app = Sample() if own else Plain()
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        updates: list[object] = []
        real = Compositor.render_update

        def counted(compositor: Compositor, *args: Any, **kwargs: Any) -> object:
            update = real(compositor, *args, **kwargs)
            updates.extend([update] if update is not None else [])
            return update

        monkeypatch.setattr(Compositor, "render_update", counted)
        app.query_one("#text").styles.height = 3
        app.screen.refresh()
        await pilot.pause(0.1)
        await pilot.pause()
        # The last one is the text, which repaints itself after its resize.
        assert [type(update) for update in updates[:-1]] == paints


@pytest.mark.parametrize("name", ["textual-light", "ansi-dark", "nord"])
async def test_a_theme_from_the_start_is_as_one_set_later(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Themed(Sample):
        CSS = "Static { height: 1; background: $primary; color: $foreground; }"

    parsed: list[Stylesheet] = []
    real = Stylesheet.reparse

    def counted(sheet: Stylesheet) -> None:
        parsed.append(sheet)
        real(sheet)

    monkeypatch.setattr(Stylesheet, "reparse", counted)
    looks: list[tuple[object, ...]] = []
    for early in (False, True):
        app = Themed()
        if early:
            internals.start_with_theme(app, name)
        async with app.run_test(size=(40, 10)) as pilot:
            if not early:
                app.theme = name
            await pilot.pause()
            filters = [(type(f), f.enabled) for f in app._filters]
            shown = [list(strip) for strip in app.screen._compositor.render_strips()]
            looks.append((app.theme, app.classes, app.stylesheet._variables, filters, shown))
    assert looks[0] == looks[1]
    assert len(parsed) == 1, "only for the one set later"


async def test_sigcont_starts_nothing_unless_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    resumed: list[bool] = []
    monkeypatch.setattr(LinuxDriver, "_sigcont_application", lambda *_: resumed.append(True))
    handlers: dict[int, object] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    driver = internals.ResumingDriver(App())
    assert handlers[signal.SIGCONT] == driver._sigcont_application
    driver._sigcont_application()
    assert not resumed
    driver._must_signal_resume = True
    driver._sigcont_application()
    assert resumed


def test_no_color_drops_colours_and_does_not_grey_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = App[None]()
    assert any(isinstance(f, Monochrome) for f in app._filters)
    internals.keep_text_readable_without_colour(app)
    assert not any(isinstance(f, Monochrome) for f in app._filters)
    assert any(isinstance(f, NoColor) for f in app._filters)


async def test_a_sequence_reaches_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Sample()
    internals.write_to_terminal(app, "before there is a driver")
    async with app.run_test():
        written: list[str] = []
        assert app._driver is not None
        monkeypatch.setattr(app._driver, "write", written.append)
        internals.write_to_terminal(app, "\x07")
        assert written == ["\x07"]


async def test_a_hidden_screen_is_built_and_laid_out() -> None:
    async with (app := Sample()).run_test(size=(40, 10)):
        hidden = Hidden()
        app.install_screen(hidden, "hidden")
        await internals.build_screen(app, hidden)
        internals.lay_out(hidden, app.size)
        assert hidden.query_one("#hidden").size == Size(40, 1)
        assert app.screen is not hidden


async def test_a_changed_widget_is_painted_without_waiting() -> None:
    async with (app := Sample()).run_test(size=(40, 10)) as pilot:
        await pilot.pause(0.1)
        await pilot.pause()
        shown: list[object] = []
        real = app._display

        def display(screen: Screen[Any], renderable: Any) -> None:
            shown.append(renderable)
            real(screen, renderable)

        app._display = display  # type: ignore[method-assign]
        app.query_one("#text").refresh()
        assert shown == []
        internals.paint_now(app, Static)
        assert len([update for update in shown if update is not None]) == 1


async def test_a_paint_arranges_nothing_although_a_widget_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (app := Sample()).run_test(size=(40, 10)) as pilot:
        await app.screen.mount(hidden := Static("hidden"))
        hidden.display = False
        await pilot.pause(0.1)
        await pilot.pause()
        arranged: list[object] = []
        monkeypatch.setattr(Compositor, "_arrange_root", lambda *args, **_: arranged.append(args))
        hidden.refresh()
        app.query_one("#text").refresh()
        internals.paint_now(app, Static)
        assert arranged == []


async def test_a_screen_that_is_shown_again_renders_no_line_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (app := Sample()).run_test(size=(40, 10)) as pilot:
        rendered: list[int] = []
        real = Static.render_line

        def counted(widget: Static, y: int) -> Any:
            rendered.append(y)
            return real(widget, y)

        monkeypatch.setattr(Static, "render_line", counted)
        app.install_screen(hidden := Hidden(), "hidden")
        counts = []
        for theme in (app.theme, app.theme, "textual-light"):
            app.theme = theme
            rendered.clear()
            app.push_screen(hidden)
            await pilot.pause(0.1)
            await pilot.pause()
            counts.append(len(rendered))
            app.pop_screen()
            await pilot.pause()
        # The first time, and with other colours.
        assert counts[0] and not counts[1] and counts[2]


async def test_a_toast_can_be_withdrawn() -> None:
    async with (app := Sample()).run_test(notifications=True) as pilot:
        app.notify("one")
        app.notify("two")
        await pilot.pause()
        assert internals.withdraw_notifications(app, "one")
        assert not internals.withdraw_notifications(app, "one")
        internals.redraw_notifications(app)
        await pilot.pause()
        assert [n.message for n in app._notifications] == ["two"]
        assert len(app.screen.query("Toast")) == 1
        assert app.screen.query_one(internals.ToastRack)


def test_the_parser_makes_keys_of_bytes() -> None:
    parser = internals.XTermParser()
    events = [*parser.feed("a\x1b[A"), *parser.tick()]
    assert [event.key for event in events if isinstance(event, Key)] == ["a", "up"]
