"""What decides which commands apply now, from the state of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtui.model import RESTING
from llmtui.ui.situation import Situation

if TYPE_CHECKING:
    from llmtui.ui.view_state import ViewState


def situation_of(view: ViewState) -> Situation:
    """Return the situation of a screen in this state."""
    backend_views = view.run_view.backends.values()
    page, selected = view.request_page, view.backend_view
    listing = page.listing if page is not None else view.listing
    return Situation(
        phase="past" if view.past is not None else view.phase if view.link == "up" else view.link,
        backends=len(view.run_view.backends),
        resting=sum(1 for backend_view in backend_views if backend_view.state.state in RESTING),
        results=any(backend_view.listed for backend_view in backend_views),
        selected=selected.state.state if selected else None,
        hidden=view.selected in view.hidden,
        charts=view.layout.charts,
        table_on_key=view.layout.whole_table_rows > 0,
        table_shown=view.table_shown,
        details=view.covered,
        table_visible=view.layout.table or (view.table_shown and view.layout.whole_table_rows > 0),
        sorted=bool(view.sort.column),
        held=view.behind is not None,
        page=view.page,
        zoomed=view.zoom.window is not None,
        filtered=bool(listing.typed.strip()),
        listing_sorted=bool(listing.sort.column),
        failures=bool(page.requests.failed) if page else selected is not None and selected.failed > 0,
        outliers=selected is not None and selected.outliers > 0,
        turns=selected is not None and bool(selected.turns),
        requests=page is not None,
        levels=len(view.run_view.levels_shown),
        in_turns=view.run_view.plan.config.order != "sequential",
    )
