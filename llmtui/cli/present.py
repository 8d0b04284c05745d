"""What is on this machine, and the plan of a run that depends on it.

Other machines are contacted only if OLLAMA_HOST or a config names them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from llmtui.config.frameworks import ENGINES, OLLAMA, SCANNED_PORTS, absent_packages, framework
from llmtui.config.lineup import Lineup, resolve, wanted_model
from llmtui.config.ollama_host import ollama_url
from llmtui.model import Backend, DiscoveredServer, Embedded, Found, Plan
from llmtui.model.errors import UsageError
from llmtui.runview.presence import server_text
from llmtui.servers.open_ports import listening
from llmtui.text import sanitize

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def complete(plan: Plan, model: str = "", urls: Sequence[str] | None = None) -> Plan:
    """Return `plan` with whole backends in place of those that give a framework or a URL alone (see lineup.resolve).

    `model` is the model that they race, a name or the path of a file; "" is that of the plan. `urls` are the places to
    look at (None: the usual ones). If every backend is whole, nothing is contacted. Raises UsageError if nothing is
    here to race.
    """
    if not any(backend.open or backend.unnamed for backend in plan.backends):
        return plan
    model = model or plan.config.model
    found = asyncio.run(look(*wanted_places(plan.backends, urls)))
    lineup = resolve(plan.backends, found.servers, found.engines, model)
    if not lineup.backends:
        raise UsageError(nothing_here(lineup, model))
    return msgspec.structs.replace(plan, backends=lineup.backends, absent=lineup.absent, others=lineup.others)


def wanted_places(entries: Iterable[Backend], urls: Sequence[str] | None = None) -> tuple[list[str], str]:
    """Return the URLs to look at for `entries`, and OLLAMA_HOST if that is another machine that none of them names."""
    entries = list(entries)
    named = [entry.url for entry in entries if entry.unnamed]
    elsewhere = ""
    if not any(entry.open for entry in entries):
        usual: list[str] = []
    elif urls is not None:
        usual = list(urls)
    else:
        usual, elsewhere = places(os.environ.get("OLLAMA_HOST", ""))
        if elsewhere and any(entry.open and framework(entry.framework) is OLLAMA for entry in entries):
            usual, elsewhere = [elsewhere, *usual], ""
    return list(dict.fromkeys([*usual, *named])), elsewhere


async def look(urls: Sequence[str], elsewhere: str = "") -> Found:
    """Return what answers at `urls`, and which engines are installed. Takes at most about 1.5 s."""
    engines = installed_engines()
    if not (answering := await listening(urls)):
        return Found(engines=engines, elsewhere=elsewhere)
    # It takes 0.2 s to import.
    from llmtui.servers.discovery import query

    replies = await query(answering)
    return Found(
        servers=[one for one in replies.values() if isinstance(one, DiscoveredServer)],
        engines=engines,
        problems={url: one for url, one in replies.items() if isinstance(one, str)},
        elsewhere=elsewhere,
    )


def installed_engines() -> list[Embedded]:
    """Return the embedded engines whose packages are installed."""
    return [one.engine for one in ENGINES if not absent_packages(one.engine)]


def places(ollama_host: str) -> tuple[list[str], str]:
    """Return the URLs to try on this machine, and the URL in OLLAMA_HOST if that is another machine, else ""."""
    ollama = ollama_url(ollama_host)
    urls = [f"http://127.0.0.1:{port}" for port in SCANNED_PORTS if port != OLLAMA.port]
    try:
        host, _ = urlsplit(ollama).hostname or "", urlsplit(ollama).port
    except ValueError:
        return [*urls, ollama_url("")], ""
    if host in LOCAL_HOSTS or host in _own_addresses():
        return [ollama, *(url for url in urls if url != ollama)], ""
    return urls, ollama


def _own_addresses() -> set[str]:
    import psutil

    try:
        return {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    except (psutil.Error, OSError):
        return set()


# --- Messages. ---


def nothing_here(lineup: Lineup, model: str) -> str:
    """Why there is nothing to race, and what to do."""
    name = sanitize(wanted_model(model), 60)
    if lineup.others:
        running = ", ".join(server_text(server) for server in lineup.others)
        return f"nothing here has the model {name}; running: {running}; to race these, write a config: llmtui init"
    missing = ", ".join(f"{one.framework} ({sanitize(one.reason, 80)})" for one in lineup.absent)
    return f"nothing here can be raced: {missing}; llmtui init says how to get them"
