"""No method or attribute overrides one of Textual by accident."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.driver import Driver
from textual.message_pump import MessagePump
from textual.screen import Screen

import llmtui.ui
from llmtui.ui.screens.overlay import Overlay

#: What is overridden or set on purpose.
MEANT = {
    *("ALLOW_SELECT", "AUTO_FOCUS", "BINDINGS", "COMMANDS", "CSS_PATH", "ENABLE_COMMAND_PALETTE", "TITLE"),
    *("compose", "get_content_height", "notify_style_update", "render_line", "watch_has_focus", "run_input_thread"),
    *("get_default_screen", "get_driver_class", "get_theme_variable_defaults", "action_quit"),
    *("focus_next", "focus_previous"),
    *("_filters", "animation_level", "theme", "use_command_palette", "focused", "has_focus"),
    # Overrides that call Textual's own.
    *("_on_timer_update", "_repaint_required", "_sigcont_application"),
    *("border_title", "border_subtitle", "cursor_blink"),
}


@functools.cache
def classes(path: str) -> dict[str, ast.stmt]:
    """The classes of a file, which is parsed once."""
    return {node.name: node for node in ast.parse(Path(path).read_text("utf-8")).body if isinstance(node, ast.ClassDef)}


@functools.cache
def names(cls: type) -> set[str]:
    """What the body of this class defines, and what its methods set on their object."""
    tree = classes(inspect.getsourcefile(cls) or "").get(cls.__qualname__)
    if tree is None:
        # A class in a function.
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    names_of_class: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names_of_class.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                names_of_class.add(name)
    for inner in ast.walk(tree):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names_of_class.add(name)
    return {name for name in names_of_class if not name.startswith("__")}


def clashes(cls: type) -> set[str]:
    """The names that this class, or a base of it that is ours, has in common with Textual, unless they are meant."""
    theirs: set[str] = set()
    ours: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("textual."):
            theirs |= names(base)
        elif base.__module__.partition(".")[0] not in ("builtins", "abc", "typing"):
            ours |= names(base)
    return (ours & theirs) - MEANT


def drawn() -> Iterator[type]:
    """Every widget, screen, app and driver of the monitor."""
    for module in pkgutil.walk_packages(llmtui.ui.__path__, "llmtui.ui."):
        for cls in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(cls) and cls.__module__ == module.name and issubclass(cls, MessagePump | Driver):
                yield cls


@pytest.mark.parametrize("cls", list(drawn()), ids=lambda cls: cls.__name__)
def test_no_name_of_textual_is_overridden_by_accident(cls: type) -> None:
    assert clashes(cls) == set()


def test_an_accidental_override_is_detected() -> None:
    # Textual lays a screen out by its `arrange`: one of ours, which returns None, ended the monitor.
    class Hiding(Overlay):
        def arrange(self) -> None:  # type: ignore[override]
            self._compositor = None  # type: ignore[assignment]

    class Other(Screen[None]):
        def place(self) -> None: ...

    assert clashes(Hiding) == {"arrange", "_compositor"}
    assert clashes(Other) == set()
