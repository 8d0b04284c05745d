"""Events: what the engine tells its clients, one JSON object a line, tagged by "type"."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct
from llmtui.model.plan import Plan
from llmtui.model.sample import Iteration, Phase
from llmtui.model.state import BackendState, Machine, RunState


class Event(Struct, frozen=True, tag_field="type"):
    """Base of what the engine tells its clients."""


class Hello(Event, frozen=True, tag="hello"):
    """First message to every client: all that happened so far, but for iterations that follow as `Earlier`."""

    plan: Plan
    machine: Machine
    run: RunState
    backends: list[BackendState]
    iterations: list[Iteration] = []
    notes: list[Note] = []


class Earlier(Event, frozen=True, tag="earlier"):
    """More of what happened before this client came, in order: right behind a `Hello` that would be too long."""

    iterations: list[Iteration]


class BackendChanged(Event, frozen=True, tag="backend"):
    """A backend's state is now this."""

    backend: BackendState


class Sampled(Event, frozen=True, tag="sampled"):
    """Memory (resident, summed over the process tree) and CPU (cores, over the last second) of a server."""

    backend: str
    rss_bytes: int
    cpu_cores: float


class Progress(Event, frozen=True, tag="progress"):
    """Tokens are arriving: told at most four times a second while an iteration runs."""

    backend: str
    phase: Phase
    iteration: int
    tokens: int
    elapsed_s: float


class IterationDone(Event, frozen=True, tag="iteration"):
    """An iteration completed or failed."""

    iteration: Iteration


class RunChanged(Event, frozen=True, tag="run"):
    """The run as a whole moved on."""

    run: RunState


class Note(Event, frozen=True, tag="note"):
    """Something the person watching should read once."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    backend: str = ""


class LogTail(Event, frozen=True, tag="log"):
    """The last lines that a launched server has printed, as plain text: what a `Logs` asked for."""

    backend: str
    lines: list[str]


AnyEvent = Hello | Earlier | BackendChanged | Sampled | Progress | IterationDone | RunChanged | Note | LogTail
