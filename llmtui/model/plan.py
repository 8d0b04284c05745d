"""The plan of a run: the request, the backends, and their secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from llmtui.model.base import Embedded, FreshRole, OwnServerName, Protocol, Start, Struct
from llmtui.model.discovered import Absent, DiscoveredServer
from llmtui.model.imported import Imported
from llmtui.model.load import Level, Load
from llmtui.model.objectives import Slo
from llmtui.model.prompts import Prompts
from llmtui.model.spread import PairSpread
from llmtui.model.variant import Variant
from llmtui.model.workers import Workers
from llmtui.text import Redactor, is_ordinary, looks_like_key

Order = Literal["shuffled", "round-robin", "sequential"]
#: The metrics that the monitor draws, one of which decides who is the fastest; those of a turn are for loads.
Counting = Literal["latency", "ttft", "itl", "tokens_per_s", "output_tokens_per_s", "goodput"]

#: Settings of a backend that are always shown as they are: no key belongs there.
LABELS = frozenset(
    {
        "name",
        "framework",
        "language",
        "protocol",
        "model",
        "weights",
        "enabled",
        "embedded",
        "server",
        "stream",
        "measured_by",
    }
)

#: `Backend.start` in words.
START_WORDS: dict[Start, str] = {
    "running": "was running",
    "server": "own server",
    "embedded": "embedded",
    "launch": "launched",
    "imported": "imported",
}

#: The words of a header value, as in "Bearer KEY" or "a=KEY; b=KEY".
_BETWEEN_WORDS = re.compile(r"[\s,;=\"']+")

#: The fewest launches whose spread says something about the next one.
LEAST_LAUNCHES = 5

_RUN_ID = re.compile(r"[0-9a-f]{8}")


def is_run_id(text: str) -> bool:
    """Whether `text` is a valid id of a run: eight hex digits. Check it before making a path of it."""
    return _RUN_ID.fullmatch(text) is not None


def is_backend_name(text: str) -> bool:
    """Whether `text` can name a backend: 1 to 40 printable characters, and the joiners of emoji and some scripts."""
    without_joiners = text.replace("\u200d", "").replace("\u200c", "")
    return text == text.strip() and len(text) <= 40 and without_joiners.isprintable() and without_joiners != ""


class Backend(Struct, frozen=True, forbid_unknown_fields=True):
    """One serving framework under test, as configured (`[[backend]]`).

    A config may give the framework alone or the URL alone: see `open` and `unnamed`. The backends of a run are neither.
    `server` is the framework's own server program, which llmtui starts on the model file of the race; `program` is its
    path if it is not on PATH. `env` are environment variables of a server that llmtui starts. `threads` are its threads
    (0: those of the run). Secrets are `api_key`,
    `headers`, and the values in `secrets`, which are keys that stand in other settings. `measured_by` is the other tool
    of an imported run.
    """

    name: str = ""
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
    server: OwnServerName = ""
    program: str = ""
    env: dict[str, str] = {}
    options: dict[str, Any] = {}
    omit: list[str] = []
    body: dict[str, Any] | None = None
    answer: str = ""
    stream: bool = True
    hint: str = ""
    secrets: list[str] = []
    threads: int = 0
    measured_by: str = ""

    @property
    def launched(self) -> bool:
        """Whether llmtui starts and stops this backend's server."""
        return bool(self.embedded or self.server or self.launch)

    @property
    def on_shared_file(self) -> bool:
        """Whether it computes with the model file of the race, which llmtui gives it."""
        return bool(self.embedded or self.server)

    @property
    def start(self) -> Start:
        """How it came to be."""
        if self.measured_by:
            return "imported"
        return "server" if self.server else "embedded" if self.embedded else "launch" if self.launch else "running"

    @property
    def start_words(self) -> str:
        """How it came to be, as screens and exports say it: "own server"."""
        return START_WORDS[self.start]

    @property
    def open(self) -> bool:
        """Whether it says which framework, but not where: what is on this machine decides (see config.lineup)."""
        return not (self.url or self.launched)

    @property
    def unnamed(self) -> bool:
        """Whether it says where, but not what: the answers of the server decide."""
        return not self.name

    @property
    def bridged(self) -> bool:
        """Whether llmtui's own HTTP bridge is in front of this framework's engine."""
        return self.embedded == "mistral.rs"


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The work of every backend (`[run]`).

    `launches` cuts the rounds into blocks: before each, every server that llmtui launches is launched and warmed up
    again. `context_tokens` is the context of one request in these servers, 0: as much as the requests need.
    """

    prompt: str = "How many helicopters can a human eat in one sitting?"
    iterations: int = 10
    warmup: int = 3
    launches: int = 1
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
    metric: Counting = "latency"
    on_disconnect: Literal["finish", "stop"] = "finish"
    context_tokens: int = 0

    def launch_of(self, number: int) -> int:
        """Return the launch to which a round belongs, from 1 on. Added rounds go on in blocks of the same length."""
        return (number - 1) * self.launches // self.iterations + 1 if self.launches > 1 else 1

    def launches_of(self, backend: Backend, planned: int) -> int:
        """Return the planned launches of a backend's server for this many rounds; 1 if it is launched once or runs."""
        return self.launch_of(planned) if backend.launched and planned else 1

    def warmups_of(self, backend: Backend, planned: int, *, load: bool = False) -> int:
        """Return the warm-ups of one request of a backend for this many rounds: the same number after each launch.

        The first request of a load shows which requests the server takes, so that a load has one at least.
        """
        return (max(1, self.warmup) if load else self.warmup) * self.launches_of(backend, planned)

    def warmup_turns_of(self, backend: Backend, planned: int, levels: int) -> int:
        """Return the warm-ups of a backend at this many levels of a load: a turn at each of them after each launch."""
        return levels * self.launches_of(backend, planned) if self.warmup else 0


class Plan(Struct, frozen=True):
    """A run as the engine carries it out: the request, the order, the backends. Contains secrets; see `public()`.

    `absent` are the wanted frameworks that were not on this machine, `others` the servers that were, and are not
    measured. `fresh_role` is the role of the message that has the fresh line of a prompt (`fresh_prompt`) where a
    server takes it: in runs of 0.1.0 the user's. `spreads` is how far launches of its backends differed in earlier
    runs, as the engine reads it from the history at the start (llmtui.store.spreads); a pair without an entry has no
    known spread. `load` is how many requests are under way, `slo` what their answers have to keep, `prompts` what they
    ask, `workers` who sends them. `imported` says which other tool measured the run: of
    its `config` only the counts, the order and the metric are known. `variants` are what a grid gave backends, by name.
    """

    run: str
    created_utc: str
    config: RunConfig
    backends: list[Backend]
    source: str = ""
    absent: list[Absent] = []
    others: list[DiscoveredServer] = []
    spreads: list[PairSpread] = []
    fresh_role: FreshRole = "user"
    load: Load = Load()
    slo: Slo = Slo()
    prompts: Prompts = Prompts()
    workers: Workers = Workers()
    imported: Imported | None = None
    variants: dict[str, Variant] = {}

    def config_at(self, level: Level | None) -> RunConfig:
        """Return the work at a level: of a grid with its limit of answers."""
        if level is None or not level.max_tokens:
            return self.config
        return msgspec.structs.replace(self.config, max_tokens=level.max_tokens)

    def prompts_at(self, level: Level | None) -> Prompts:
        """Return the prompts at a level: of a grid perhaps synthetic ones of one length."""
        if level is None or not level.prompt_tokens:
            return self.prompts
        mix = f"D({level.prompt_tokens},{self.config_at(level).max_tokens})"
        return Prompts(mix=mix, turns=self.prompts.turns)

    @property
    def levels(self) -> list[Level]:
        """The levels of the load; empty for a race."""
        return self.load.levels

    @property
    def head_level(self) -> Level | None:
        """The level that is shown first (`Load.head_level`): it counts unless the run is a search. None for a race."""
        return self.load.head_level

    @property
    def relaunches(self) -> bool:
        """Whether any server is launched more than once by plan, so that launches are samples."""
        return self.config.launches > 1 and any(backend.launched for backend in self.backends)

    def public(self) -> Plan:
        """Return the plan as clients and the history get it: without keys and headers, other settings redacted.

        Labels (`LABELS`) stay as they are.
        """
        redact = redactor(self)
        return msgspec.structs.replace(
            self,
            backends=[_public(backend, redact) for backend in self.backends],
            variants={
                name: msgspec.structs.replace(variant, args=redact.data(variant.args))
                for name, variant in self.variants.items()
            },
        )


def secret_values(backend: Backend) -> set[str]:
    """Return what may be secret: key, header values and their words (as in "Bearer KEY"), and `secrets`."""
    values = {backend.api_key, *backend.secrets}
    for value in (backend.api_key, *backend.headers.values()):
        values.update((value, *_BETWEEN_WORDS.split(value), *_basic(value)))
    return values - {""}


def redactor(plan: Plan) -> Redactor:
    """Return what redacts the secrets of all backends of `plan`.

    Ordinary words (see llmtui.text.ordinary) are not redacted, nor is what the plan shows anyway: a part of a name, a
    model or the prompt, or of another setting unless it looks like a key or its name says so.
    """
    labels = "\n".join([plan.config.prompt, plan.config.model, *_labels(plan.backends)])
    settings = "\n".join(_settings(plan.backends))
    secrets = set()
    for backend in plan.backends:
        for value in secret_values(backend):
            named = value in backend.secrets or looks_like_key(value)
            words = [value] if value == backend.api_key else _BETWEEN_WORDS.split(value)
            if not all(map(is_ordinary, words)) and value not in labels and (named or value not in settings):
                secrets.add(value)
    return Redactor(secrets, labels)


def _public(backend: Backend, redact: Redactor) -> Backend:
    bare = msgspec.structs.replace(backend, api_key="", headers={}, secrets=[])
    changes = {name: redact.data(getattr(bare, name)) for name in Backend.__struct_fields__ if name not in LABELS}
    return msgspec.structs.replace(bare, **changes)


def _basic(value: str) -> list[str]:
    """Return user:password and the password of an Authorization header of the type Basic."""
    scheme, _, data = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        pair = base64.b64decode(data.strip(), validate=True).decode()
    except ValueError:
        return []
    return [pair, pair.partition(":")[2]]


def _labels(backends: Iterable[Backend]) -> Iterator[str]:
    return (str(getattr(backend, name)) for backend in backends for name in LABELS)


def _settings(backends: Iterable[Backend]) -> Iterator[str]:
    """Yield all further texts of the backends that `public` shows."""
    for backend in backends:
        bare = msgspec.structs.replace(backend, api_key="", headers={}, secrets=[])
        yield from _texts([getattr(bare, name) for name in Backend.__struct_fields__ if name not in LABELS])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
