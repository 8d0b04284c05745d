"""Every use of a private name of Textual. Each has a test that fails when Textual changes what it relies on."""

from __future__ import annotations

from typing import Any

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.events import ScreenResume
from textual.filter import Monochrome, NoColor
from textual.geometry import Size
from textual.screen import Screen, ScreenResultType
from textual.widget import AwaitMount, Widget
from textual.widgets._toast import ToastRack

__all__ = [
    "PaintedOnceScreen",
    "ResumingDriver",
    "ToastRack",
    "XTermParser",
    "build_screen",
    "keep_text_readable_without_colour",
    "lay_out",
    "paint_now",
    "redraw_notifications",
    "start_with_theme",
    "withdraw_notifications",
    "write_to_terminal",
]


class PaintedOnceScreen(Screen[ScreenResultType]):
    """A screen that is painted once where Textual paints twice: first the new layout, then the whole screen.

    When it is shown again it keeps the lines that it rendered before, unless its stylesheet gives other rules by now.
    """

    #: What the rules depended on when they were applied last: the variables' version, and the state of the app.
    _styled_for: tuple[object, ...] = ()

    def _on_timer_update(self) -> None:
        if self._layout_required and self._repaint_required and self.is_current and not self.app._batch_count:
            self._repaint_required = False
            take_repaints(self)
            self._compositor._dirty_regions.add(self.outer_size.region)
        super()._on_timer_update()

    def on_screen_resume(self, event: ScreenResume) -> None:
        # Textual matches all rules again, and each widget whose rules were applied renders all of its lines again.
        app = self.app
        styled_for = (app._css_update_count, app.theme, frozenset(app.classes), frozenset(app.pseudo_classes))
        if styled_for == self._styled_for:
            event.refresh_styles = False
        elif event.refresh_styles:
            self._styled_for = styled_for


def take_repaints(screen: Screen[Any]) -> None:
    """Add what the widgets of this screen want to repaint to its next paint.

    Only those that are in sight: the others make Textual arrange the whole screen once more.
    """
    screen._compositor.update_widgets(set(screen._compositor.visible_widgets))


class ResumingDriver(LinuxDriver):
    """A driver that ignores SIGCONT unless it was suspended.

    A terminal that is being closed sends SIGCONT too. Textual's driver then starts its threads a second time, never
    stops them, and the process does not end.
    """

    def _sigcont_application(self, *_: object) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()


def keep_text_readable_without_colour(app: App[Any]) -> None:
    """Under NO_COLOR drop colours instead of turning them into greys.

    Textual chooses its filter before the app has a theme. Greys of the terminal's own colours are black on black.
    """
    app._filters = [NoColor() if isinstance(f, Monochrome) else f for f in app._filters]


def start_with_theme(app: App[Any], name: str) -> None:
    """Give an app its theme before it runs.

    A theme that is set later parses the style sheet and applies it to every widget a second time.
    """
    app.set_reactive(App.theme, name)
    theme = app.current_theme
    app.update_classes(
        {f"-theme-{theme.name}": True, "-dark-mode": theme.dark, "-light-mode": not theme.dark}, update=False
    )
    app._refresh_truecolor_filter(app.ansi_theme)
    app.stylesheet.set_variables(app.get_css_variables())


def write_to_terminal(app: App[Any], sequence: str) -> None:
    """Write an escape sequence to the app's terminal, in order with what Textual writes."""
    if app._driver is not None:
        app._driver.write(sequence)


def build_screen(app: App[Any], screen: Screen[Any]) -> AwaitMount:
    """Mount an installed screen without showing it. Await the result to wait for its widgets."""
    return app._get_screen(screen)[1]


def lay_out(screen: Screen[Any], size: Size) -> None:
    """Give the widgets of a hidden screen their places, so that opening it paints it once."""
    screen._refresh_layout(size)


def paint_now(app: App[Any], kind: type[Widget]) -> None:
    """Paint what has changed on the widgets of this kind on the topmost screen, now and in one write.

    Textual paints widgets that asked through their own queue up to 1/60 s later, and the rest one or two sixtieths
    after those: half of a key's change would appear, then the other half.
    """
    stack = app.screen_stack
    if not app.is_running or not stack or not stack[-1].is_mounted:
        # The app is closing, or the screen was just opened and will be painted whole once it has its widgets.
        return
    screen = stack[-1]
    # Also if the whole screen is about to be painted: otherwise its widgets would be painted again one by one.
    take_repaints(screen)
    screen._dirty_widgets.update(each for each in screen._compositor.visible_widgets if isinstance(each, kind))
    screen._on_timer_update()


def withdraw_notifications(app: App[Any], message: str | None) -> bool:
    """Remove the toasts with this message (None: all) without redrawing. Return whether there was one."""
    matches = [n for n in app._notifications if message is None or n.message == message]
    for notification in matches:
        app._unnotify(notification, refresh=False)
    return bool(matches)


def redraw_notifications(app: App[Any]) -> None:
    """Show the toasts as they are after `withdraw_notifications`."""
    app._refresh_notifications()
