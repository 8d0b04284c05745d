"""The nouns of llmtui: what is planned, what is measured, what is told. Frozen structs, no behaviour beyond derivation.

Durations are in seconds (`_s`) or nanoseconds (`_ns`) on the monotonic clock; instants for the record are UTC,
ISO 8601.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

import msgspec

from llmtui.plain import blotted

Protocol = Literal["openai", "ollama", "tgi", "custom"]
Embedded = Literal["", "llama.cpp", "mistral.rs", "transformers"]
Order = Literal["shuffled", "round-robin", "sequential"]
Phase = Literal["warmup", "measured"]
TokenSource = Literal["usage", "server", "arrivals"]
Stamp = Literal["kernel", "user"]

#: From this many cores of foreign CPU on, an iteration is marked disturbed.
DISTURBED_CORES = 0.1


#: Shorter ones are no secrets: blotting them out would spoil every text.
MIN_SECRET_CHARS = 4

T = TypeVar("T", bound="Struct")

_RUN_ID = re.compile(r"[0-9a-f]{8}")


def is_run_id(text: str) -> bool:
    """Whether `text` can be the id of a run: eight hex digits. Paths are made of it, so check it before that."""
    return _RUN_ID.fullmatch(text) is not None


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every noun: immutable, keyword-only, small on the wire."""


class Backend(Struct, frozen=True, forbid_unknown_fields=True):
    """One serving framework under test, as configured (`[[backend]]`).

    Secret are `api_key`, `headers` and whatever came out of the environment, which `secrets` lists (no key of the
    file).
    """

    name: str
    framework: str = ""
    language: str = ""
    protocol: Protocol = "openai"
    url: str = ""
    model: str = ""
    weights: str = ""
    api_key: str = ""
    headers: dict[str, str] = {}
    enabled: bool = True
    launch: list[str] = []
    ready: str = ""
    embedded: Embedded = ""
    options: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    answer: str = ""
    stream: bool = True
    hint: str = ""
    secrets: list[str] = []

    @property
    def launched(self) -> bool:
        """Whether llmtui starts (and stops) this backend's server itself."""
        return bool(self.embedded or self.launch)

    def public(self) -> Backend:
        """The same backend without its secrets: this is what leaves the engine."""
        told = msgspec.to_builtins(msgspec.structs.replace(self, api_key="", headers={}, secrets=[]))
        return msgspec.convert(_redacted(told, [s for s in self.secrets if len(s) >= MIN_SECRET_CHARS]), Backend)


def secret_values(backend: Backend, at_least: int = MIN_SECRET_CHARS) -> list[str]:
    """What must not be told of `backend`: key, header values (and their last word, as in "Bearer KEY"), `secrets`.

    Only values of `at_least` characters; the longest first, so that a secret that holds another is hidden whole.
    """
    values = {backend.api_key, *backend.secrets}
    for value in backend.headers.values():
        values.update((value, *value.split()[-1:]))
    return sorted((v for v in values if len(v) >= at_least), key=lambda v: (-len(v), v))


def hidden(told: T, backend: Backend) -> T:
    """`told` with every secret of `backend` blotted out: a server may echo what it was sent."""
    secrets = secret_values(backend)
    if not secrets:
        return told
    return msgspec.convert(_redacted(msgspec.to_builtins(told), secrets), type(told))


def _redacted(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return blotted(value, secrets)
    if isinstance(value, list):
        return [_redacted(v, secrets) for v in value]
    if isinstance(value, dict):
        return {k: _redacted(v, secrets) for k, v in value.items()}
    return value


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What every backend is asked to do (`[run]`)."""

    prompt: str = "How many helicopters can a human eat in one sitting?"
    iterations: int = 10
    warmup: int = 3
    max_tokens: int = 64
    full_length: bool = True
    temperature: float = 0.0
    seed: int = 0
    order: Order = "shuffled"
    threads: int = 0
    fresh_prompt: bool = True
    model: str = ""
    timeout_s: float = 120.0
    connect_timeout_s: float = 5.0
    load_timeout_s: float = 180.0
    cooldown_s: float = 0.0
    restarts: int = 0
    on_disconnect: Literal["finish", "stop"] = "finish"


class Plan(Struct, frozen=True):
    """A run as the engine carries it out: the request, the order, the backends. Contains secrets until `public()`."""

    run: str
    created_utc: str
    config: RunConfig
    backends: list[Backend]
    source: str = ""

    def public(self) -> Plan:
        """The plan without secrets."""
        return msgspec.structs.replace(self, backends=[b.public() for b in self.backends])


class Failure(Struct, frozen=True):
    """Why an iteration or a backend failed, in words for the person watching. `hint` says what to do next."""

    kind: Literal["connect", "timeout", "http", "protocol", "server", "missing", "stopped"]
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class Iteration(Struct, frozen=True):
    """One request measured from send to last byte. Numbers are None where unknown or where the iteration failed.

    `arrivals_ns` are the arrivals that carried tokens, in ns since the request was written, with the tokens
    (text-bearing events) that each carried in `arrival_tokens`. `refused` counts the times that the server asked to
    come back later (429 or 503 with Retry-After): all else here is of the last request alone.
    `server_cpu` and `steal` are cores: what the server used meanwhile, and what the hypervisor took away. `swapped`
    counts pages that the machine swapped meanwhile, `throttled` the times that heat slowed a core down. `part` grows
    where a server was started again within the attempt, or the run was taken up again.
    """

    run: str
    backend: str
    attempt: int
    iteration: int
    phase: Phase
    started_utc: str
    latency_s: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    tokens_per_s: float | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    finish_reason: str | None = None
    connect_s: float | None = None
    server_prefill_s: float | None = None
    server_decode_s: float | None = None
    server_load_s: float | None = None
    foreign_cpu: float | None = None
    server_cpu: float | None = None
    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0
    stamp: Stamp | None = None
    error: Failure | None = None
    refused: int = 0
    part: int = 1
    text: str = ""
    arrivals_ns: list[int] = []
    arrival_tokens: list[int] = []

    @property
    def ok(self) -> bool:
        """Whether this iteration is a sample."""
        return self.error is None and self.latency_s is not None

    @property
    def server_s(self) -> float | None:
        """What the server's own clock accounts for: load, prefill and decode, in s; None where it tells nothing."""
        told = [s for s in (self.server_load_s, self.server_prefill_s, self.server_decode_s) if s is not None]
        return sum(told) if self.server_prefill_s is not None and self.server_decode_s is not None else None

    @property
    def transport_and_client_s(self) -> float | None:
        """Latency less the server's own time, in s: queue, transport, client, and what the server rounds away."""
        server_s = self.server_s
        return self.latency_s - server_s if self.latency_s is not None and server_s is not None else None

    @property
    def disturbed(self) -> bool:
        """Whether other work took CPU from `DISTURBED_CORES` on while it ran."""
        return self.foreign_cpu is not None and self.foreign_cpu >= DISTURBED_CORES


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


# --- Events: engine to clients, one JSON object a line, tagged by "type". ---


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


# --- Commands: clients to engine. ---


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

    Ratios are of `metric` (llmtui.stats.summary.METRICS). At most until each backend has `most` measured iterations; 0
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
