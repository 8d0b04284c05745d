"""What starting a server needs, gives back and may fail with; no process is started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from llmtui.model import Failure, RunConfig

#: Tells what is being done, and how far (0 to 1, or None when that is unknown).
Report: TypeAlias = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Ready:
    """A server that answers. The chat endpoint is `{url}/v1/chat/completions`; `model` is the name to ask for.

    `threads` is None for a server whose threads llmtui did not choose; `load_s` runs from launch to the first
    healthy answer, in seconds, and is None for a server that somebody else started. `full_length` are the fields of a
    request that make an answer go on to its last token, empty where there are none. `model_digest` ("sha256:...") is
    that of the model file as it was published, `context_tokens` the room for prompt and answer, where they are known.
    `listener_uids` are the users that hold the server's port; None where it was not launched, or nothing tells.
    """

    url: str
    model: str
    version: str
    weights: str
    threads: int | None
    load_s: float | None
    note: str = ""
    model_digest: str = ""
    full_length: dict[str, Any] = field(default_factory=dict)
    context_tokens: int | None = None
    listener_uids: frozenset[int] | None = None


@dataclass(frozen=True)
class Launch:
    """How to start one server: the command, where it will answer, and what its `Ready` will say.

    `healthy_below` is the first HTTP status that no longer counts as healthy at `probe_url`.
    """

    argv: Sequence[str]
    url: str
    probe_url: str
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    healthy_below: int = 300
    model: str = ""
    version: str = ""
    weights: str = ""
    threads: int | None = None
    note: str = ""
    model_digest: str = ""
    full_length: dict[str, Any] = field(default_factory=dict)
    grace_s: float = 5.0


class StartError(Exception):
    """A server cannot be had: `failure` says why and what to do, `log_tail` what the server said last."""

    def __init__(self, failure: Failure, log_tail: Sequence[str] = ()) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.log_tail = list(log_tail)


def missing(message: str, hint: str = "", log_tail: Sequence[str] = ()) -> StartError:
    """Something that is not installed or not there."""
    return StartError(Failure(kind="missing", message=message, hint=hint), log_tail)


def thread_count(config: RunConfig) -> int:
    """Threads for every embedded engine: as configured, else one core less than this process may use."""
    return config.threads or max(1, usable_cores() - 1)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
