"""Types that all servers share: how to launch one, what is known of one that answers, and why a start failed."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llmtui.model import Failure, RunConfig
from llmtui.servers.cgroup import ROOT, cpu_limit
from llmtui.servers.sysctl import fast_cores

#: Receives the current step and its progress (0 to 1, None if unknown).
Report: TypeAlias = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Ready:
    """A server that answers requests at `url`; `model` is the name to send in them, `title` the one to show if that is
    another.

    `threads` is None if llmtui did not set the number of threads. `load_s` is the time from launch to the first healthy
    reply with the model loaded, in seconds, None if llmtui did not launch the server. `full_length` holds request
    fields that make an answer continue to `max_tokens`. `model_digest` ("sha256:...") is that of the model file as
    published, `context_tokens` the context size of one request, and `slots` how many requests it computes at a time
    (None if unknown). `listener_uids` are the users that listen on the port of a launched server, None if unknown.
    `options` are fields that every request to this server needs; those of the config go before them. `takes_system` is
    false if the chat template of its model file is known to take no system message.
    """

    url: str
    model: str = ""
    version: str = ""
    weights: str = ""
    threads: int | None = None
    load_s: float | None = None
    note: str = ""
    model_digest: str = ""
    full_length: dict[str, Any] = field(default_factory=dict)
    context_tokens: int | None = None
    slots: int | None = None
    listener_uids: frozenset[int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    takes_system: bool = True


@dataclass(frozen=True)
class Launch:
    """How to launch one server. `ready` is what is known of it beforehand, its URL included.

    The server is up when `probe_url` replies with an HTTP status below `healthy_below`, and `load`, which gets its base
    URL and raises StartError, has loaded the model. `drop_env` are prefixes of environment variables that it does not
    get. `ports` says where it may listen: "one" is the port that it was given, and others, for this machine only; with
    "inner", its processes open ports for each other in any way; "any" is not checked (the command of a config).
    """

    argv: Sequence[str]
    ready: Ready
    probe_url: str
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    healthy_below: int = 300
    grace_s: float = 5.0
    load: Callable[[str], Awaitable[None]] | None = None
    drop_env: tuple[str, ...] = ()
    ports: Literal["one", "inner", "any"] = "one"


class StartError(Exception):
    """A server could not be started or reached: `failure` has the cause and the remedy, `log_tail` its last output."""

    def __init__(self, failure: Failure, log_tail: Sequence[str] = ()) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.log_tail = list(log_tail)


def missing(message: str, hint: str = "", log_tail: Sequence[str] = ()) -> StartError:
    """Return the error for something that is not installed or does not exist."""
    return StartError(Failure(kind="missing", message=message, hint=hint), log_tail)


def thread_count(config: RunConfig) -> int:
    """Return the number of threads of every embedded engine: as configured, else one less than the usable cores.

    On Apple silicon it is the number of fast cores: a slow one more would make all others wait.
    """
    return config.threads or fast_cores() or max(1, usable_cores() - 1)


def usable_cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use: those that it may run on, within the CPU limit of a container.

    A limit of a part of a core does not count, but one core is the least.
    """
    limit = cpu_limit(root=root)
    return allowed_cores() if limit is None else max(1, min(allowed_cores(), int(limit)))


def allowed_cores() -> int:
    """Return the number of cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
