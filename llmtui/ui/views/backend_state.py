"""What a panel and a backend's line share: how a backend is shown, its state, its count, its wait."""

from __future__ import annotations

import dataclasses

from llmtui.config.schema import Marker
from llmtui.model import RESTING, Progress
from llmtui.runview.run import BackendView
from llmtui.stats.metrics import MetricKey
from llmtui.ui.text.format import HIDDEN_SIGN, LOST_SIGN, STATE_ROLES, STATE_SIGNS, clock, shape, state_word
from llmtui.ui.text.spans import SERIES, Role, Span

#: How long a wait still takes is shown from this share on, and after this many seconds.
_REST_FROM = 0.03
_REST_AFTER_S = 2.0


@dataclasses.dataclass(frozen=True)
class PanelOptions:
    """How the monitor shows a backend now: its place in the plan and what the user chose."""

    index: int
    metric: MetricKey = "latency"
    marker: Marker = "braille"
    focused: bool = False
    hidden: bool = False
    waited_s: float = 0.0
    #: How many warm-ups come before the first measured iteration.
    warmups: int = 0
    #: Whether the engine has gone: nothing that is unfinished goes on.
    lost: bool = False

    @property
    def ascii_only(self) -> bool:
        """Whether the panel keeps to ASCII."""
        return self.marker == "ascii"

    @property
    def mark(self) -> str:
        """The backend's shape, or the sign in its place where the charts leave it out."""
        return HIDDEN_SIGN if self.hidden else shape(self.index, self.ascii_only)

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return SERIES[self.index % len(SERIES)]


def is_lost(backend_view: BackendView, options: PanelOptions) -> bool:
    """Whether the engine went before this backend was done."""
    return options.lost and backend_view.state.state not in RESTING


def sign_and_word(backend_view: BackendView, options: PanelOptions, short: bool = False) -> Span:
    """The backend's state with its sign and colour."""
    if is_lost(backend_view, options):
        return (f"{LOST_SIGN} {'gone' if short else 'engine gone'}", "bad")
    state = backend_view.state.state
    return (f"{STATE_SIGNS[state]} {state_word(state)}", STATE_ROLES[state])


def progress_of(backend_view: BackendView, options: PanelOptions) -> Progress | None:
    """The tokens that are arriving now."""
    return None if options.lost else backend_view.progress


def warmups_done(backend_view: BackendView, options: PanelOptions) -> int | None:
    """How many of the warm-ups are over, None when it is not warming up."""
    if backend_view.state.state != "warmup" or not options.warmups or options.lost:
        return None
    # Taken up again, an attempt warms up anew.
    over = backend_view.now.warmups
    return over if over <= options.warmups else (over - 1) % options.warmups + 1


def progress_count(backend_view: BackendView, options: PanelOptions) -> str:
    if (warmed := warmups_done(backend_view, options)) is not None and not backend_view.finished:
        return f"{warmed}/{options.warmups}"
    return f"{backend_view.finished}/{backend_view.state.planned}" if backend_view.state.planned else ""


def wait_of(backend_view: BackendView, options: PanelOptions) -> tuple[float | None, list[str]]:
    """Of a wait: the share that is over (None where nobody can know) and its clock, from the longest to the shortest.

    The time to go is told by how far it got, or by how long the same took before; none is made up. In its first second
    a wait has no clock.
    """
    waited, share, left = options.waited_s, backend_view.state.progress, None
    usual = backend_view.state.usual_load_s
    if share is not None:
        if share >= _REST_FROM and waited >= _REST_AFTER_S:
            left = waited * (1 - share) / share
    elif usual is not None and backend_view.state.state == "loading":
        if waited < usual:
            share, left = waited / usual, usual - waited
        elif waited >= usual + 1:
            return None, [f"{clock(waited)}, usually {clock(usual)}", clock(waited)]
    if waited < 1:
        return share, []
    if left is None:
        return share, [clock(waited)]
    # Both clocks change in the same instant: a second costs one redraw.
    rest = f"{clock(int(left + waited) - int(waited))} to go"
    return share, [f"{clock(waited)}, {rest}", rest]
