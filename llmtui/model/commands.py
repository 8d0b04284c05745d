"""Commands from clients to the engine: one JSON object per line, tagged by "do"."""

from __future__ import annotations

from llmtui.model.base import Struct


class EngineCommand(Struct, frozen=True, tag_field="do"):
    """Base of all commands."""


class Rerun(EngineCommand, frozen=True, tag="rerun"):
    """Start a new attempt of a backend and of `also`, which take turns, or of all backends if `backend` is empty.

    All of one rerun have the same attempt number. Earlier attempts stay in the history.
    """

    backend: str = ""
    also: list[str] = []


class Stop(EngineCommand, frozen=True, tag="stop"):
    """Drop a backend's remaining iterations and cancel the one that is running."""

    backend: str


class Pause(EngineCommand, frozen=True, tag="pause"):
    """Start no more iterations until `Resume`."""


class Resume(EngineCommand, frozen=True, tag="resume"):
    """End a pause."""


class Logs(EngineCommand, frozen=True, tag="logs"):
    """Send the last lines of a backend's server as `LogTail`."""

    backend: str


class Requests(EngineCommand, frozen=True, tag="requests"):
    """Send the requests of a backend's turn (its `seq`) as `RequestBatch`, once it has ended.

    With `figures` they come without texts and arrivals, and with `columns` too as columns, from an engine that has
    them: an older one sends them one by one. With a `place` only one request is sent: the one that ended
    after this many others. A further command ends the answer to the one before; one with a `place` ends only another
    one with a `place`.
    """

    backend: str
    turn: int
    figures: bool = False
    place: int | None = None
    columns: bool = False


class Since(EngineCommand, frozen=True, tag="since"):
    """Send a `Hello` without the first `iterations` and `turns` of the run, which this client has.

    `iteration` and `turn` say which the last ones are (`llmtui.link.since`). Nothing is skipped if they are others
    here. What was to be sent before is not sent any more. It is only for an engine whose `Hello` says how many it
    `skipped`.
    """

    iterations: int = 0
    turns: int = 0
    iteration: str = ""
    turn: str = ""


class More(EngineCommand, frozen=True, tag="more"):
    """Add rounds until the interval of every pair is within `within` (0.05: 5%) of its ratio.

    Ratios are of `metric` (llmtui.stats.metrics.METRICS). Rounds end when each backend has `most` measured iterations;
    0 means ten times the plan.
    """

    within: float = 0.05
    most: int = 0
    metric: str = "latency"


class Detach(EngineCommand, frozen=True, tag="detach"):
    """Disconnect the client and let the run go on, whatever `on_disconnect` says."""


class Shutdown(EngineCommand, frozen=True, tag="shutdown"):
    """Stop the run and its servers, and exit the engine."""


AnyCommand = Rerun | Stop | Pause | Resume | More | Logs | Requests | Since | Detach | Shutdown
