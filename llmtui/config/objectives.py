"""`[slo]` and its options: checks. Pure."""

from __future__ import annotations

import math

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.model import Slo

MAX_S = 86_400.0


def check_slo(slo: Slo, place: Place | Option) -> Slo:
    """Return `slo`. Raises ConfigError; `place` is that of [slo]."""
    for key in ("ttft_s", "tpot_s", "latency_s"):
        value = getattr(slo, key)
        if not math.isfinite(value) or not 0 <= value <= MAX_S:
            raise ConfigError(f"{place.key(key)}: expected a number of seconds above 0, got {show(value)}")
    if not 0 < slo.share <= 1:
        raise ConfigError(f"{place.key('share')}: expected a share above 0 and up to 1, got {show(slo.share)}")
    return slo
