"""Commands: what clients ask of the engine, one JSON object a line, tagged by "do"."""

from __future__ import annotations

from llmtui.model.base import Struct


class Command(Struct, frozen=True, tag_field="do"):
    """Base of what a client asks of the engine."""


class Rerun(Command, frozen=True, tag="rerun"):
    """Run a backend again as a new attempt (all backends when empty). The earlier attempt is kept."""

    backend: str = ""


class Stop(Command, frozen=True, tag="stop"):
    """Drop a backend's remaining iterations, ending the one that runs."""

    backend: str


class Pause(Command, frozen=True, tag="pause"):
    """Start no further iteration until `Resume`."""


class Resume(Command, frozen=True, tag="resume"):
    """Go on."""


class Logs(Command, frozen=True, tag="logs"):
    """Tell the last lines of a backend's server, as `LogTail`."""

    backend: str


class More(Command, frozen=True, tag="more"):
    """Add rounds until the interval of every pair reaches no further than `within` (0.05: 5 %) from its ratio.

    Ratios are of `metric` (llmtui.stats.metrics.METRICS). At most until each backend has `most` measured iterations; 0
    is ten times what was planned.
    """

    within: float = 0.05
    most: int = 0
    metric: str = "latency"


class Detach(Command, frozen=True, tag="detach"):
    """The client leaves and the run goes on, whatever `on_disconnect` says."""


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Stop everything, servers included, and end the engine."""


AnyCommand = Rerun | Stop | Pause | Resume | More | Logs | Detach | Shutdown
