"""What a panel and a backend's line share: how a backend is shown, its state, its count, its wait."""

from __future__ import annotations

import dataclasses

from llmtui.config.schema import Marker
from llmtui.model import RESTING, Level, Progress
from llmtui.runview.backend import BackendView
from llmtui.runview.launches import launch_words, load_words
from llmtui.stats.metrics import MetricKey
from llmtui.text import sanitize
from llmtui.text.format import figure
from llmtui.ui.text.format import (
    HIDDEN_SIGN,
    LOST_SIGN,
    STATE_ROLES,
    STATE_SIGNS,
    clock,
    cores,
    memory,
    shape,
    state_word,
    with_unit,
)
from llmtui.ui.text.spans import Role, Span, series_role
from llmtui.ui.views.attempts import ShownAttempt
from llmtui.ui.views.catching_up import CATCHING_UP

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
    #: How often the server is launched in the attempt.
    launches: int = 1
    #: How far the small plot reaches above and below the median, as a share of it; None if it fits its own values.
    reach: float | None = None
    #: Whether the engine has exited: an unfinished backend stays unfinished.
    lost: bool = False
    #: Whether the run is paused: only an answer under way goes on.
    paused: bool = False
    #: Whether iterations from before the monitor connected are still to come.
    catching_up: bool = False
    #: How many backends the plan has.
    backends: int = 1
    #: The level of a load that counts, None in a race, and all levels.
    level: Level | None = None
    levels: tuple[Level, ...] = ()
    #: What a search has found so far, or the knee of a sweep, in a few words.
    found: str = ""

    @property
    def number(self) -> str:
        """The backend's number, as wide as that of the last one."""
        return f"{self.index + 1:>{len(str(self.backends))}}"

    @property
    def ascii_only(self) -> bool:
        """Whether the panel uses ASCII only."""
        return self.marker == "ascii"

    @property
    def mark(self) -> str:
        """The backend's shape, or the sign that replaces it if the backend is hidden."""
        return HIDDEN_SIGN if self.hidden else shape(self.index, self.ascii_only)

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return series_role(self.index)


def is_lost(backend_view: BackendView, options: PanelOptions) -> bool:
    """Return whether the engine exited before this backend was done."""
    return options.lost and backend_view.state.state not in RESTING


def sign_and_word(backend_view: BackendView, options: PanelOptions, short: bool = False) -> Span:
    """Return the backend's state with its sign and colour."""
    if options.catching_up:
        return (f"… {CATCHING_UP}", "accent")
    if is_lost(backend_view, options):
        return (f"{LOST_SIGN} {'gone' if short else 'engine gone'}", "bad")
    state = backend_view.state.state
    if (
        options.paused
        and backend_view.progress is None
        and backend_view.tick is None
        and state in ("waiting", "ready", "warmup", "running")
    ):
        return ("□ paused", "warn")
    return (f"{STATE_SIGNS[state]} {state_word(state)}", STATE_ROLES[state])


def progress_of(backend_view: BackendView, options: PanelOptions) -> Progress | None:
    """Return the progress of the current answer, None without one."""
    return None if options.lost else backend_view.progress


def warmups_done(backend_view: BackendView, options: PanelOptions) -> int | None:
    """Return how many warm-ups are done, None if the backend is not warming up."""
    if backend_view.state.state != "warmup" or not options.warmups or options.lost:
        return None
    # A resumed attempt repeats its warm-ups.
    done = backend_view.figures.warmups
    return done if done <= options.warmups else (done - 1) % options.warmups + 1


def progress_count(backend_view: BackendView, options: PanelOptions) -> str:
    """Return how many of the iterations (or warm-ups) are done, as in "6/10"; empty if unknown."""
    if (warmed := warmups_done(backend_view, options)) is not None and not backend_view.finished:
        return f"{warmed}/{options.warmups}"
    return f"{backend_view.finished}/{backend_view.state.planned}" if backend_view.state.planned else ""


def more_facts(backend_view: BackendView, options: PanelOptions, shown: ShownAttempt) -> list[str]:
    """The facts of a backend that its line has no column for, the most important first."""
    ttft, spread = shown.summary.ttft, shown.summary.spread(options.metric)
    state = backend_view.state
    facts = (
        launch_words(state, options.launches),
        f"refused {backend_view.refused}x" if backend_view.refused else "",
        sanitize(state.note, 60),
        f"TTFT {figure(ttft.median, 's')}" if ttft is not None and options.metric != "ttft" else "",
        f"sd {with_unit(options.metric, spread.stddev)}" if spread is not None and spread.stddev is not None else "",
        *load_words(state)[:1],
        memory(backend_view.rss_bytes),
        cores(backend_view.cpu_cores),
        sanitize(backend_view.weights, 20),
        backend_view.backend.start_words,
    )
    return [fact for fact in facts if fact]


def wait_of(backend_view: BackendView, options: PanelOptions) -> tuple[float | None, list[str]]:
    """Return the share of a wait that is over (None if unknown) and its clock, from the longest text to the shortest.

    The remaining time follows from the progress, or from how long the same took before; otherwise there is none. In
    its first second a wait has no clock.
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
    # Both clocks change at the same time: a second costs one redraw.
    rest = f"{clock(int(left + waited) - int(waited))} to go"
    return share, [f"{clock(waited)}, {rest}", rest]
