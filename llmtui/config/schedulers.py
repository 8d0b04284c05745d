"""Whether the Dask scheduler of `[workers]` may be used. Pure; nothing of Dask is imported."""

from __future__ import annotations

import importlib.util
import re
from urllib.parse import urlsplit

from llmtui.config.errors import ConfigError
from llmtui.config.places import Place
from llmtui.model import Workers

_IPV4_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}")


def check_scheduler(workers: Workers, place: Place) -> None:
    """Raise ConfigError if Dask is missing, or the line to the scheduler is open to others. `place`: [workers]."""
    if not workers.scheduler:
        return
    key, parts = place.key("scheduler"), urlsplit(workers.scheduler)
    host = parts.hostname or ""
    here = host in ("localhost", "::1") or _IPV4_LOOPBACK.fullmatch(host) is not None
    if parts.scheme != "tls" and not workers.insecure_cluster and not here:
        raise ConfigError(
            f"{key}: {workers.scheduler} is another machine, and without TLS anyone who reaches it can run programs "
            "on its workers; use tls:// (llmtui explain cluster), or allow it: --insecure-cluster"
        )
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError(f"{key}: workers on other machines need Dask: pip install 'llmtui[cluster]'")
