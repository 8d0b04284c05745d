"""What is on this machine, and the plan of a run that depends on it.

Other machines are contacted only if OLLAMA_HOST or a config names them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from llmtui.config.frameworks import ENGINES, OLLAMA, SCANNED_PORTS, absent_packages, framework
from llmtui.config.lineup import (
    Lineup,
    chat_models,
    full_name,
    groups,
    one_server,
    resolve,
    resolve_named,
    wanted_model,
    with_programs,
)
from llmtui.config.ollama_host import ollama_url
from llmtui.model import Backend, DiscoveredServer, Embedded, Found, Plan
from llmtui.model.errors import CommandError, UsageError
from llmtui.runview.presence import race_command, server_text
from llmtui.servers.open_ports import listening
from llmtui.servers.own.programs import programs
from llmtui.servers.server_ports import unusual_urls
from llmtui.text import redact, sanitize
from llmtui.text.model_names import same_model

#: The most models of a server that a message lists.
_LISTED = 5
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def complete(
    plan: Plan, model: str = "", urls: Sequence[str] | None = None, *, named: bool = False, or_choose: bool = False
) -> Plan:
    """Return `plan` with whole backends in place of those that give a framework or a URL alone (see lineup.resolve).

    `model` is the model that they race, a name or the path of a file; "" is that of the plan. `urls` are the places to
    look at (None: the usual ones). If every backend is whole, nothing is contacted. Raises UsageError if nothing is
    here to race. `named`: the user named each backend and perhaps the model, so that none of them may be missing.
    Raises CommandError if one is. `or_choose`: if nothing has the model and other models can be raced, return a plan
    without backends, so that the user can choose.
    """
    if not any(backend.open or backend.unnamed for backend in plan.backends):
        if any(backend.server and not backend.program for backend in plan.backends):
            return msgspec.structs.replace(plan, backends=with_programs(plan.backends, programs()))
        return plan
    model = model or plan.config.model
    found = asyncio.run(look(*wanted_places(plan.backends, urls)))
    return with_found(plan, found, model, named=named, or_choose=or_choose)


def with_found(plan: Plan, found: Found, model: str, *, named: bool = False, or_choose: bool = False) -> Plan:
    """Return `plan` with what was `found` on this machine, for `complete`, with its arguments and errors. Pure."""
    if model and not os.path.isabs(model):
        model = full_name(model, found.servers)
    lineup = (resolve_named if named else resolve)(plan.backends, found.servers, found.engines, model, found.programs)
    if named:
        lineup = _all_here(lineup, plan.backends, found.servers, model)
    if not lineup.backends and not (or_choose and groups(found, model)):
        raise UsageError(nothing_here(lineup, model))
    return msgspec.structs.replace(plan, backends=lineup.backends, absent=lineup.absent, others=lineup.others)


def _all_here(lineup: Lineup, entries: Iterable[Backend], servers: Sequence[DiscoveredServer], model: str) -> Lineup:
    """Return `lineup` without the servers of frameworks that were not named.

    Raises CommandError if a backend of `entries` is not here, and UsageError if one is named twice or lacks the model.
    """
    for one in lineup.absent:
        own = [server for server in servers if server.framework == one.framework]
        if any(one_server(server.url, entry.url) for server in own for entry in entries if entry.url):
            raise UsageError(f"{one.framework} is the server at {own[0].url}, which is named too; name it once")
        if own and own[0].usable:
            raise UsageError(_has_not(one.framework, model, own[0], "" if os.path.isabs(model) else one.remedy))
    if lineup.absent:
        each = [
            f"{one.framework} is not here ({sanitize(one.reason, 100)}; {sanitize(one.remedy, 200)})"
            for one in lineup.absent
        ]
        raise CommandError(
            f"{', '.join(each)}; to race without {'it' if len(each) == 1 else 'them'}, leave out the name"
        )
    backends: list[Backend] = []
    for backend in lineup.backends:
        if any(backend.url and one_server(backend.url, one.url) and backend.model == one.model for one in backends):
            raise UsageError(f"{_address_of(backend)} is named twice; name each server once")
        if model and not os.path.isabs(model) and not backend.on_shared_file:
            server = next((server for server in servers if one_server(server.url, backend.url)), None)
            listed = [one.name for one in server.models] if server is not None else []
            if not backend.model or model in listed:
                backend = msgspec.structs.replace(backend, model=model)
            elif server is not None and not same_model(backend.model, model):
                raise UsageError(_has_not(f"the server at {_address_of(backend)}", model, server, ""))
        backends.append(backend)
    named = {framework(entry.framework).title for entry in entries if entry.framework}
    return Lineup(backends=backends, others=[one for one in lineup.others if one.framework in named])


def _address_of(backend: Backend) -> str:
    return sanitize(redact(backend.url, backend.secrets))


def _has_not(name: str, model: str, server: DiscoveredServer, remedy: str) -> str:
    has = ", ".join(sanitize(each, 60) for each in chat_models(server)[:_LISTED])
    todo = sanitize(remedy, 200) or "name one of these with --model, or leave it out"
    only = f", only {has}" if has else ""
    return f"{name} has no model {sanitize(wanted_model(model), 60)}{only}; {todo}"


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
    engines, here = installed_engines(), programs()
    if not (answering := await listening(urls)):
        return Found(engines=engines, elsewhere=elsewhere, programs=here)
    # httpx's command line would import Rich; without it, the rest takes 0.1 s to import.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from llmtui.servers.discovery import query

    replies = await query(answering)
    return Found(
        servers=[one for one in replies.values() if isinstance(one, DiscoveredServer)],
        engines=engines,
        problems={url: one for url, one in replies.items() if isinstance(one, str)},
        elsewhere=elsewhere,
        programs=here,
    )


def installed_engines() -> list[Embedded]:
    """Return the embedded engines whose packages are installed."""
    return [one.engine for one in ENGINES if not absent_packages(one.engine)]


def places(ollama_host: str) -> tuple[list[str], str]:
    """Return the URLs to try on this machine, and the URL in OLLAMA_HOST if that is another machine, else "".

    They are the usual ones, and those of this user's servers on other ports.
    """
    usual, elsewhere = _usual_places(ollama_host)
    ports = {*SCANNED_PORTS, *(urlsplit(url).port or 0 for url in usual)}
    return [*usual, *unusual_urls(ports)], elsewhere


def _usual_places(ollama_host: str) -> tuple[list[str], str]:
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


def nothing_here(lineup: Lineup | Plan, model: str) -> str:
    """Why there is nothing to race, and what to do."""
    name = sanitize(wanted_model(model), 60)
    if lineup.others:
        running = ", ".join(server_text(server) for server in lineup.others)
        return f"nothing here has the model {name}; running: {running}; to race these: {race_command(lineup.others)}"
    missing = ", ".join(f"{one.framework} ({sanitize(one.reason, 80)})" for one in lineup.absent)
    return f"nothing here can be raced: {missing}; llmtui init says how to get them"
