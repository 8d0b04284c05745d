"""How far things are: a backend, the run, and the machine that both are on."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct
from llmtui.model.sample import Failure

#: What a backend is doing, in one word; `STATE_WORDS` has the words that the screen shows.
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

#: States in which a backend will do nothing more until it is rerun.
RESTING: frozenset[State] = frozenset({"done", "failed", "unreachable", "missing", "stopped"})


class BackendState(Struct, frozen=True):
    """What is known of a backend beyond its configuration. `load_s` is its own figure, never inside an iteration.

    `progress` (0 to 1) and `doing` describe a wait such as a download; while a server loads, `usual_load_s` is how long
    that took before, where the history knows; `note` is a standing remark
    ("a Python bridge stands in front"); `model_digest` is that of the model file as it was published ("sha256:..."),
    where it is known; `log_tail` the server's last lines when it failed. `context_tokens` is the room that the server
    has for prompt and answer; `device` is what it computes on, "" where that cannot be told. `listener_uids` are the
    users that hold the port of a server that ran already, where the system tells.
    """

    name: str
    state: State = "waiting"
    attempt: int = 1
    planned: int = 0
    doing: str = ""
    progress: float | None = None
    usual_load_s: float | None = None
    failure: Failure | None = None
    note: str = ""
    version: str = ""
    model: str = ""
    weights: str = ""
    model_digest: str = ""
    threads: int | None = None
    context_tokens: int | None = None
    device: Literal["", "cpu", "gpu"] = ""
    url: str = ""
    load_s: float | None = None
    listener_uids: list[int] | None = None
    log_tail: list[str] = []


class Machine(Struct, frozen=True):
    """Where the figures come from. `governor` is how its cores' frequency is chosen (Linux's word, "" where it is not
    told), `load_1m` its load average before anything was started."""

    cpu: str = ""
    cores: int = 0
    memory_bytes: int = 0
    os: str = ""
    python: str = ""
    llmtui: str = ""
    gpu: str = ""
    governor: str = ""
    load_1m: float | None = None


class RunState(Struct, frozen=True):
    """How far the run is. `eta_s` is None until at least one iteration of every running backend is known."""

    phase: Literal["starting", "running", "paused", "done", "stopping"] = "starting"
    finished: int = 0
    total: int = 0
    elapsed_s: float = 0.0
    eta_s: float | None = None
