"""The canned load in the state of a screen, and its panels and table as text."""

from __future__ import annotations

from llmtui.config.schema import UiConfig
from llmtui.model import Load
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.load_table import LoadTable, load_order
from llmtui.ui.views.panel import panel
from llmtui.ui.views.sorting import AS_PLANNED, Sort
from tests.ui import canned_load
from tests.ui.lines import text_of


def view_after(done: int = 6, load: Load = canned_load.LOAD) -> ViewState:
    view = ViewState(canned_load.plan(load), UiConfig())
    view.run_view.apply(canned_load.hello(done, load))
    view.structure_changed()
    return view


def drawn(view: ViewState, width: int, height: int, name: str = "llama.cpp") -> str:
    options = view.panel_options(view.names.index(name), focused=False)
    return text_of(panel(view.run_view.backends[name], options, width, height))


def load_table(view: ViewState, height: int = 30, sort: Sort = AS_PLANNED) -> LoadTable:
    assert view.level is not None
    order = load_order(view.run_view, view.metric, sort, view.level, height - 1)
    return LoadTable(view.run_view, view.metric, view.level, order, frozenset(view.hidden), sort)


def table(view: ViewState, width: int, height: int, sort: Sort = AS_PLANNED) -> list[str]:
    return [text_of([line]) for line in load_table(view, height, sort).lines(width, height)]
