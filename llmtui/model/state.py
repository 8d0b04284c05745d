"""The state of a backend and of the run, and the machine that they are on."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import FreshRole, Outside, Own, Struct
from llmtui.model.sample import Failure

#: What a backend is doing; `STATE_WORDS` has the words for the screen.
State = Literal[
    "waiting",
    "preparing",
    "loading",
    "ready",
    "warmup",
    "running",
    "done",
    "failed",
    "unreachable",
    "missing",
    "stopped",
]

STATE_WORDS: dict[State, str] = {
    "waiting": "waiting",
    "preparing": "preparing",
    "loading": "loading",
    "ready": "ready",
    "warmup": "warm-up",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "unreachable": "not reachable",
    "missing": "missing",
    "stopped": "stopped",
}

#: States in which a backend does nothing until it is rerun.
RESTING: frozenset[State] = frozenset({"done", "failed", "unreachable", "missing", "stopped"})

#: Those of them in which it has failed, or is not there.
FAILED: frozenset[State] = frozenset({"failed", "unreachable", "missing"})

#: Sizes of memory that differ by less are equal: kernels reserve different parts of it.
MEMORY_SHARE = 0.05


#: How many start-up times a state holds at most: it is sent with each change.
MOST_LOADS = 100


class BackendState(Struct, frozen=True):
    """The state of a backend, and the facts about its server.

    `progress` (0 to 1) and `doing` describe a wait such as a download. `usual_load_s` is how long the server took to
    load in earlier runs, None if it is not loading or if that is unknown; `load_s` is how long it took now, which is
    part of no iteration. `launch` counts the planned launches of the server within the attempt; if there are several,
    `loads_s` has how long each took (the newest `MOST_LOADS`). `note` is a permanent remark ("a Python bridge is in
    front"), `model_digest` the digest of the published model file ("sha256:...") and `log_tail` the last lines of a
    server that failed. `context_tokens` is the size of the context for prompt and answer of one request,
    `slots` how many requests the server computes at a time (None if unknown), `device` what the server
    computes on ("" if unknown), and `listener_uids` the users that listen on the port of a server that llmtui did not
    start (None if unknown). `fresh_role` is the role of the message that has the fresh line of a prompt, None without
    such a line and in a history of 0.1.0. Backends with another `fresh_set` get other fresh lines in the same round,
    because one server is behind them.
    """

    name: Own
    state: State = "waiting"
    attempt: int = 1
    planned: int = 0
    doing: Outside = ""
    progress: float | None = None
    usual_load_s: float | None = None
    failure: Failure | None = None
    note: Outside = ""
    version: Outside = ""
    model: Outside = ""
    weights: Outside = ""
    model_digest: Own = ""
    threads: int | None = None
    context_tokens: int | None = None
    slots: int | None = None
    device: Literal["", "cpu", "gpu"] = ""
    url: Outside = ""
    load_s: float | None = None
    launch: int = 1
    loads_s: list[float] = []
    listener_uids: list[int] | None = None
    fresh_role: FreshRole | None = None
    fresh_set: int = 0
    log_tail: list[Outside] = []


def is_news(before: BackendState, after: BackendState) -> bool:
    """Whether `after` is worth an entry in the log: another state, attempt, wait or failure than `before`."""
    changed = (after.state, after.attempt, after.doing) != (before.state, before.attempt, before.doing)
    return changed or after.failure != before.failure


class Machine(Struct, frozen=True):
    """The machine of a run.

    `governor` is the frequency governor of its cores (Linux, "" if unknown), `load_1m` the load average before the run,
    and `foreign_cpu` the cores that other programs kept busy while the engine started (Linux, None if unknown).
    `cpu_limit` is the CPU limit of the container that the engine runs in, in cores, None without one. `unseen` is what
    this system does not show, in words.
    """

    cpu: Own = ""
    cores: int = 0
    memory_bytes: int = 0
    os: Own = ""
    python: Own = ""
    llmtui: Own = ""
    gpu: Own = ""
    governor: Own = ""
    load_1m: float | None = None
    foreign_cpu: float | None = None
    cpu_limit: float | None = None
    unseen: list[Own] = []

    def other_hardware(self, other: Machine) -> list[str]:
        """The names of the fields in which the hardware of `other` differs."""
        different = [name for name in ("cpu", "cores", "gpu") if getattr(self, name) != getattr(other, name)]
        least, most = sorted((self.memory_bytes, other.memory_bytes))
        return [*different, "memory_bytes"] if most > least * (1 + MEMORY_SHARE) else different


class RunState(Struct, frozen=True):
    """How far the run is. `finished` and `total` count iterations and warm-ups; one under way is not finished.

    `eta_s` is None until every backend with work left has finished an iteration. `current_s` is the part of it that
    belongs to what is under way, negative if that takes longer than expected; None if it is unknown. `at_most`: a
    search may end earlier than `total` and `eta_s` say.
    """

    phase: Literal["starting", "running", "paused", "done", "stopping"] = "starting"
    finished: int = 0
    total: int = 0
    elapsed_s: float = 0.0
    eta_s: float | None = None
    current_s: float | None = None
    at_most: bool = False
