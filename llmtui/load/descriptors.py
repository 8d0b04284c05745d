"""How many connections this process may have open, and whether a level fits."""

from __future__ import annotations

import contextlib
import math
import resource

from llmtui.model import Failure, Level

#: Open files beside the connections: pipes, the event loop, what the libraries open.
_OTHERS = 64
#: macOS has no hard limit by default and refuses a soft one beyond this.
_MOST = 10_240


def raise_limit() -> None:
    """Raise this process's limit of open files as far as the system allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for soft in (hard, _MOST):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            return


def connections() -> int:
    """Return how many connections fit into this process's limit of open files."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**31 if soft == resource.RLIM_INFINITY else max(1, soft - _OTHERS)


def does_not_fit(level: Level, workers: int = 1) -> Failure | None:
    """Return why these workers cannot have as many requests under way as a level asks for; None if they can, with the
    limit of open files raised. Each of them is a process, and has the limit for itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, _MOST)
    asked, fits = level.streams or level.cap, max(1, most - _OTHERS)
    if math.ceil(asked / workers) <= fits:
        return None
    what = level.title if level.streams else f"max_concurrency = {level.cap}"
    return Failure(
        kind="stopped",
        message=f"{what}: the limit of open files leaves room for {fits * workers} connections",
        hint="raise the limit (ulimit -n), or lower the load",
    )
