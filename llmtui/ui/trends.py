"""What the trend page shows: a backend over the runs of the history, which the monitor reads when the page is open."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmtui.stats.metrics import MetricKey

if TYPE_CHECKING:
    # The first frame does not wait for what a page needs.
    from llmtui.stats.run_series import RunSeries
    from llmtui.store.history import Store
    from llmtui.store.series import Found
    from llmtui.ui.view_state import ViewState

#: A series has at most this many runs, as in `llmtui trend`.
MOST_RUNS = 50


@dataclasses.dataclass(frozen=True)
class Asked:
    """Whose series: runs like `run` ("": the newest one of the backend), at the level of a load with this title.

    `finished` changes with each sample of the run on the screen, which may be one of the series. `visit` changes
    whenever the page is closed, as other runs may have ended until it is opened again. `energy`: of the energy per
    token, if the runs recorded it, else of `metric`.
    """

    backend: str
    run: str
    level: str
    metric: MetricKey
    finished: int
    visit: int = 0
    energy: bool = False

    def same(self, other: Asked | None) -> bool:
        """Whether both are about the same series, if perhaps with more samples."""
        return other is not None and dataclasses.replace(other, finished=self.finished) == self


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the history has: the `names` of its backends, the series, and in words what is not in it.

    Without a series `problem` says why. `energy`: the runs recorded the energy per token.
    """

    names: tuple[str, ...] = ()
    series: RunSeries | None = None
    left_out: str = ""
    problem: str = ""
    energy: bool = False


Read = Callable[[Asked, Callable[[], bool]], Shown]


class Trends:
    """The state of the page. `read` takes a question from any thread; None if the history is out of reach.

    The second argument of `read` says when its answer is not wanted any more.
    """

    def __init__(self) -> None:
        self.read: Read | None = None
        #: Why there is no `read`.
        self.out_of_reach = "this monitor does not know the history; in a terminal: llmtui trend BACKEND"
        self.reading = False
        #: Set when the monitor ends: what is being read is not needed.
        self.ended = threading.Event()
        self.answered: Asked | None = None
        self.shown = Shown()
        self._backend = ""
        #: The backend that was selected on the main screen when the page showed it last.
        self._selected = ""
        self._visit = 0
        #: Whether the page shows the energy per token, which the charts of the main screen do not have.
        self._energy = False

    def names(self, view: ViewState) -> list[str]:
        """The backends to choose from: those of the run in its order, then the others of the history."""
        return list(dict.fromkeys([*view.names, *self.shown.names]))

    def backend(self, view: ViewState) -> str:
        """The backend of the page: the one selected elsewhere since, or chosen on the page."""
        if view.selected != self._selected:
            self._backend = self._selected = view.selected
        return self._backend or next(iter(self.names(view)), "")

    def forget(self) -> None:
        """The page was closed: the next time it begins with the backend that is selected on the main screen."""
        self._selected, self._energy = "", False
        self._visit += 1

    def step(self, view: ViewState, by: int) -> None:
        """Choose the next backend (`by` 1) or the one before."""
        names = self.names(view)
        if not names:
            return
        at = names.index(self.backend(view)) if self.backend(view) in names else 0
        self._backend = names[(at + by) % len(names)]
        if self._backend in view.names:
            view.selected = self._selected = self._backend

    def next_metric(self, view: ViewState) -> None:
        """Show the next metric; after the last one the energy per token, if the runs recorded it."""
        shown = self.current(view)
        if not self._energy and view.metric == view.metrics[-1] and shown is not None and shown.energy:
            self._energy = True
        else:
            self._energy = False
            view.next_metric()

    def current(self, view: ViewState) -> Shown | None:
        """What the page shows now, None if it has not been read yet."""
        return self.shown if self.asked(view).same(self.answered) else None

    def asked(self, view: ViewState) -> Asked:
        """What the page is to show now."""
        plan, backend = view.run_view.plan, self.backend(view)
        own = backend in view.names
        level = view.level.title if own and view.level is not None else ""
        finished = view.run_view.run.finished if own else 0
        return Asked(backend, plan.run if own else "", level, view.metric, finished, self._visit, self._energy)


class TrendSource:
    """Reads series from the history at `path`, which is opened when the first one is needed. From one thread a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._store: Store | None = None
        self._found: tuple[Asked, Found | None] | None = None
        self._names: tuple[str, ...] = ()

    def __call__(self, asked: Asked, stopped: Callable[[], bool]) -> Shown:
        """Return the series. What is wrong with the history is its `problem`."""
        from llmtui.store.errors import StoreError

        try:
            return self._shown(asked, stopped)
        except StoreError as error:
            return Shown(names=self._names, problem=str(error))

    def _shown(self, asked: Asked, stopped: Callable[[], bool]) -> Shown:
        from llmtui.runview.trend import left_out_words
        from llmtui.stats.metrics import ENERGY
        from llmtui.stats.run_series import records_energy, series_of
        from llmtui.store.open import open_store
        from llmtui.store.series import backend_names

        if self._store is None:
            self._store, _ = open_store(self._path or None)
            self._names = tuple(backend_names(self._store))
        found = self._runs(self._store, asked, stopped)
        if found is None:
            return Shown(names=self._names, problem=self._none(self._store, asked))
        energy = records_energy(found.runs, asked.backend)
        metric = ENERGY.key if asked.energy and energy else asked.metric
        series = series_of(found.runs, asked.backend, metric, found.level)
        if not series.points and found.metric != metric:
            # A backend of another kind of run, which does not have the metric of the run on the screen.
            series = series_of(found.runs, asked.backend, found.metric, found.level)
        older = f"runs before the newest {MOST_RUNS} (llmtui trend -n)"
        left_out = left_out_words(found, len(found.runs) - len(series.points), older)
        return Shown(names=self._names, series=series, left_out=left_out, energy=energy)

    def _none(self, store: Store, asked: Asked) -> str:
        """The sentence for a backend without a series."""
        from llmtui.text import sanitize

        if not self._names:
            return "no run in the history can be read" if store.runs(1).unread else "the history is empty"
        where = f" at {asked.level}" if asked.level else ""
        return f"no run that has ended has samples of {sanitize(asked.backend, 60)}{where}"

    def _runs(self, store: Store, asked: Asked, stopped: Callable[[], bool]) -> Found | None:
        """The runs of the series; those of the newest question are kept for another metric."""
        from llmtui.store.errors import NoRunError
        from llmtui.store.series import runs_of_series

        key = dataclasses.replace(asked, metric="latency", energy=False)
        if self._found is None or self._found[0] != key:
            self._found = None
            try:
                found = runs_of_series(
                    store, asked.backend, MOST_RUNS, run=asked.run, level=asked.level, stopped=stopped
                )
            except NoRunError:
                # The run on the screen is not in the history.
                found = runs_of_series(store, asked.backend, MOST_RUNS, level=asked.level, stopped=stopped)
            if stopped():
                return found  # perhaps not all of them
            self._found = (key, found)
        return self._found[1]

    def close(self) -> None:
        """Close the history."""
        if self._store is not None:
            self._store.close()
            self._store = None
