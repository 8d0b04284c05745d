"""Events from the engine to its clients: one JSON object per line, tagged by "type"."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Outside, Own, Struct
from llmtui.model.plan import Plan
from llmtui.model.request_columns import RequestColumns
from llmtui.model.sample import Iteration, Phase
from llmtui.model.state import BackendState, Machine, RunState
from llmtui.model.turn import Share, Turn


class Event(Struct, frozen=True, tag_field="type"):
    """Base of all events."""


class Hello(Event, frozen=True, tag="hello"):
    """First message to every client: everything so far, except iterations that follow as `Earlier`.

    `earlier` is how many iterations and turns follow; without them the client is up to date. `log` are the newest
    entries of the run's log, oldest first, without failed iterations, which are among the iterations. `turns` are those
    of a load, whose iterations are warm-ups only. `skipped` iterations and turns are not sent, as the client said that
    it has them (`Since`): it keeps those. It is None from an engine that does not know that command.
    """

    plan: Plan
    machine: Machine
    run: RunState
    backends: list[BackendState]
    iterations: list[Iteration] = []
    notes: list[Note] = []
    earlier: int = 0
    log: list[Logged] = []
    turns: list[Turn] = []
    skipped: int | None = None


class Earlier(Event, frozen=True, tag="earlier"):
    """More iterations, then turns, from before this client connected, in order. They follow a long `Hello`.

    The `last` one comes when all that happened in the meantime has been sent, too: the client is up to date.
    """

    iterations: list[Iteration]
    turns: list[Turn] = []
    last: bool = False


class RequestBatch(Event, frozen=True, tag="requests"):
    """Requests of a turn with their texts and arrivals, in the order in which they ended, in response to `Requests`.

    Only the client that asked gets them. The `last` one has none. `problem` is why they cannot be read, else "".
    `total` is how many the turn has, 0 if it is unknown. `figures` and `place` are those of the command. `columns` have
    the figures of the requests in place of `samples`, if the command asked for them.
    """

    backend: Own
    turn: int
    samples: list[Iteration] = []
    last: bool = False
    problem: Own = ""
    total: int = 0
    figures: bool = False
    place: int | None = None
    columns: RequestColumns | None = None


class BackendChanged(Event, frozen=True, tag="backend"):
    """A backend's state changed."""

    backend: BackendState


class Sampled(Event, frozen=True, tag="sampled"):
    """Memory (resident, of the process tree) and CPU (cores, over the last second) of a server; None if unknown."""

    backend: Own
    rss_bytes: int | None
    cpu_cores: float | None


class Progress(Event, frozen=True, tag="progress"):
    """Tokens arrived: sent at most four times a second during an iteration."""

    backend: Own
    phase: Phase
    iteration: int
    tokens: int
    elapsed_s: float


class IterationDone(Event, frozen=True, tag="iteration"):
    """An iteration completed or failed."""

    iteration: Iteration


class Tick(Event, frozen=True, tag="tick"):
    """How far a turn is: sent at most four times a second. `requests` is how many will count, 0 if a duration decides.

    `elapsed_s` is the time since the turn began, `tokens` the arrivals with tokens so far, and `share` where in the
    turn requests are sent now. `failed` counts all requests that did not succeed, the `refused` ones (429 or 503) too.
    """

    backend: Own
    phase: Phase
    round: int
    level: int
    share: Share = "settling"
    elapsed_s: float = 0.0
    sent: int = 0
    in_flight: int = 0
    finished: int = 0
    failed: int = 0
    counted: int = 0
    requests: int = 0
    tokens: int = 0
    refused: int = 0


class TurnDone(Event, frozen=True, tag="turn"):
    """A turn ended, whole or not."""

    turn: Turn


class RunChanged(Event, frozen=True, tag="run"):
    """The state of the run changed."""

    run: RunState


class Note(Event, frozen=True, tag="note"):
    """A message for the user."""

    text: Outside
    level: Literal["info", "warning", "error"] = "info"
    backend: Own = ""


class Logged(Struct, frozen=True):
    """An entry of the run's log: what the engine emitted, and when. A backend's state has what the log shows of it."""

    at_utc: Own
    event: BackendChanged | RunChanged | Note


class LogTail(Event, frozen=True, tag="log"):
    """The last lines of a launched server's log as plain text, in response to `Logs`."""

    backend: Own
    lines: list[Outside]


AnyEvent = (
    Hello
    | Earlier
    | BackendChanged
    | Sampled
    | Progress
    | IterationDone
    | Tick
    | TurnDone
    | RequestBatch
    | RunChanged
    | Note
    | LogTail
)
