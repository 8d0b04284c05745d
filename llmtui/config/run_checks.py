"""`[run]` and its options: checks. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Place
from llmtui.model import RunConfig
from llmtui.model.plan import LEAST_LAUNCHES

#: Each launch takes seconds.
MAX_LAUNCHES = 1000
#: The largest context of one request, in tokens.
MAX_CONTEXT = 10_000_000


def _launches(most: int) -> str:
    """The allowed numbers of launches, if there is an iteration for `most` of them."""
    if most < LEAST_LAUNCHES:
        return f"1 (more launches need at least {LEAST_LAUNCHES} iterations)"
    return f"1, or {LEAST_LAUNCHES} to {most} (an interval needs {LEAST_LAUNCHES}, and each launch an iteration)"


def check_run(run: RunConfig, place: Place, folder: Path) -> RunConfig:
    """Check the ranges of all values. Return `run` with an absolute path in `model`, resolved from `folder`.

    Raises ConfigError; `place` is that of [run] in its message.
    """

    def require(key: str, holds: Callable[[Any], bool], allowed: str) -> None:
        value = getattr(run, key)
        if (isinstance(value, float) and not math.isfinite(value)) or not holds(value):
            raise ConfigError(f"{place.key(key)}: expected {allowed}, got {show(value)}")

    require("iterations", lambda v: 1 <= v <= 1_000_000, "1 to 1000000")
    require("warmup", lambda v: 0 <= v <= 10_000, "0 to 10000")
    most = min(run.iterations, MAX_LAUNCHES)
    require("launches", lambda v: v == 1 or LEAST_LAUNCHES <= v <= most, _launches(most))
    require("max_tokens", lambda v: 1 <= v <= 1_000_000, "1 to 1000000")
    require("temperature", lambda v: 0 <= v <= 10, "0 to 10")
    require("seed", lambda v: 0 <= v < 2**31, "0 to 2147483647")
    require("threads", lambda v: 0 <= v <= 4096, "0 (cores - 1) to 4096")
    require("prompt", lambda v: bool(v.strip()), "a text that is not empty")
    require("timeout_s", lambda v: 0 < v <= 86_400, "a number of seconds above 0")
    require("connect_timeout_s", lambda v: 0 < v <= 3_600, "a number of seconds above 0")
    require("load_timeout_s", lambda v: 0 < v <= 86_400, "a number of seconds above 0")
    require("restarts", lambda v: 0 <= v <= 1000, "0 to 1000")
    require("cooldown_s", lambda v: 0 <= v <= 3_600, "0 to 3600 seconds")
    require("context_tokens", lambda v: v == 0 or 64 <= v <= MAX_CONTEXT, f"0 (as needed) or 64 to {MAX_CONTEXT}")
    if run.model:
        require("model", lambda v: "\0" not in v, "the path of a GGUF file")
        try:
            path = Path(run.model).expanduser()
        except RuntimeError:
            raise ConfigError(
                f"{place.key('model')}: no home folder for {show(run.model)}; write the whole path"
            ) from None
        run = msgspec.structs.replace(run, model=str(path if path.is_absolute() else (folder / path).absolute()))
    return run
