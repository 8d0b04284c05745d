"""`[workers]` and its options: checks. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.config.schedulers import check_scheduler
from llmtui.model import Load, Workers

#: The most workers. Each is a process.
MAX_WORKERS = 64
_SCHEMES = ("tls", "tcp")
_ADDRESS = "the address of a Dask scheduler, such as 'tls://host:8786'"


def check_workers(workers: Workers, place: Place | Option) -> Workers:
    """Return `workers`. Raises ConfigError; `place` is that of [workers]."""
    if workers.count != "auto" and not 1 <= workers.count <= MAX_WORKERS:
        key = place.key("workers" if isinstance(place, Option) else "count")
        raise ConfigError(f"{key}: expected 'auto' or 1 to {MAX_WORKERS} processes, got {show(workers.count)}")
    if workers.scheduler:
        try:
            parts = urlsplit(workers.scheduler)
            whole = parts.scheme in _SCHEMES and bool(parts.hostname and parts.port) and "@" not in parts.netloc
        except ValueError:
            whole = False
        if not whole or not workers.scheduler.isprintable() or " " in workers.scheduler:
            raise ConfigError(f"{place.key('scheduler')}: expected {_ADDRESS}, got {show(workers.scheduler)}")
    return workers


def workers_changes(workers: Workers, given: dict[str, Any], option: Option) -> Workers:
    """Take the options of [workers] out of `given`, and return `workers` with them. Raises ConfigError."""
    changes = {key: given.pop(key) for key in ("scheduler", "insecure_cluster") if given.get(key) is not None}
    if (text := given.pop("workers", None)) is not None:
        word = str(text).strip()
        if word != "auto" and not (word.isascii() and word.isdecimal()):
            raise ConfigError(f"{option.key('workers')}: expected auto or 1 to {MAX_WORKERS}, got {show(text)}")
        changes["count"] = "auto" if word == "auto" else int(word[:6])
    return check_workers(msgspec.structs.replace(workers, **changes), option) if changes else workers


def check_of_load(workers: Workers, load: Load, place: Place) -> None:
    """Raise ConfigError for workers of a race, which has none; `place` is that of [workers]."""
    if load.levels:
        check_scheduler(workers, place)
        return
    if not workers.given or (workers.count == 1 and not workers.scheduler):
        return
    key = place.key("scheduler" if workers.scheduler else "count")
    raise ConfigError(
        f"{key}: is for the requests of a load, and this is a race; set concurrency above 1 in [load] (--concurrency), "
        "or leave it out"
    )
