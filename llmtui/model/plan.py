"""The plan of a run: the request, the backends, and their secrets."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

import msgspec

from llmtui.model.base import Struct
from llmtui.text import redact_data

Protocol = Literal["openai", "ollama", "tgi", "custom"]
Embedded = Literal["", "llama.cpp", "mistral.rs", "transformers"]
Order = Literal["shuffled", "round-robin", "sequential"]

#: Shorter values are not treated as secrets: redacting them would garble any text.
MIN_SECRET_CHARS = 4
#: The same in the history and the log, which are searched for the secrets of all backends ("none", "ollama" are usual).
MIN_STORED_SECRET_CHARS = 8

T = TypeVar("T", bound=Struct)

_RUN_ID = re.compile(r"[0-9a-f]{8}")


def is_run_id(text: str) -> bool:
    """Whether `text` is a valid id of a run: eight hex digits. Check it before making a path of it."""
    return _RUN_ID.fullmatch(text) is not None


class Backend(Struct, frozen=True, forbid_unknown_fields=True):
    """One serving framework under test, as configured (`[[backend]]`).

    Secrets are `api_key`, `headers` and the values in `secrets`, which come from the environment and not from the file.
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
        """Whether llmtui starts and stops this backend's server."""
        return bool(self.embedded or self.launch)

    @property
    def bridged(self) -> bool:
        """Whether llmtui's own HTTP bridge is in front of this framework's engine."""
        return self.embedded == "mistral.rs"

    def public(self) -> Backend:
        """Return the backend without its secrets, as clients get it."""
        public = msgspec.to_builtins(msgspec.structs.replace(self, api_key="", headers={}, secrets=[]))
        return msgspec.convert(redact_data(public, [s for s in self.secrets if len(s) >= MIN_SECRET_CHARS]), Backend)


def secret_values(backend: Backend, at_least: int = MIN_SECRET_CHARS) -> list[str]:
    """Return a backend's secrets: key, header values and their last words (as in "Bearer KEY"), `secrets`.

    Values shorter than `at_least` are left out. The longest come first, because one may contain another.
    """
    values = {backend.api_key, *backend.secrets}
    for value in backend.headers.values():
        values.update((value, *value.split()[-1:]))
    return sorted((v for v in values if len(v) >= at_least), key=lambda v: (-len(v), v))


def redacted(struct: T, backend: Backend) -> T:
    """Return `struct` without the secrets of `backend`: a server may echo what it was sent."""
    secrets = secret_values(backend)
    if not secrets:
        return struct
    return msgspec.convert(redact_data(msgspec.to_builtins(struct), secrets), type(struct))


def plan_secrets(plan: Plan) -> list[str]:
    """Return the secrets of all backends of `plan` that must not be stored, the longest first."""
    values = {value for backend in plan.backends for value in secret_values(backend, MIN_STORED_SECRET_CHARS)}
    return sorted(values, key=len, reverse=True)


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The work of every backend (`[run]`)."""

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
    """A run as the engine carries it out: the request, the order, the backends. Contains secrets; see `public()`."""

    run: str
    created_utc: str
    config: RunConfig
    backends: list[Backend]
    source: str = ""

    def public(self) -> Plan:
        """Return the plan without secrets."""
        return msgspec.structs.replace(self, backends=[b.public() for b in self.backends])
