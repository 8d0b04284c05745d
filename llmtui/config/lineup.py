"""Which backends a run has: the entries of a config, or the words of a command, put together with what is here.

Pure. What is here comes from servers/discovery.py; cli/present.py asks it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from llmtui.config.frameworks import FRAMEWORKS, OLLAMA, UNKNOWN, Framework, framework
from llmtui.model import Absent, Backend, DiscoveredServer, Embedded, Found, Plan, Program, Struct
from llmtui.model.discovered import NO_CHAT, Model
from llmtui.text import sanitize
from llmtui.text.model_names import model_family, same_model

#: The model of a run without `[run] model`, under its own name; servers/model_file.py fetches it.
BUILT_IN_MODEL = "SmolLM2-135M-Instruct"
#: The most models of another server that a plan records.
MAX_OTHER_MODELS = 20
#: The most characters of a backend's name.
_NAME_CHARS = 40


class Lineup(Struct, frozen=True):
    """The result of `resolve`: what is raced, what is wanted and not here, and the other servers that run."""

    backends: list[Backend] = []
    absent: list[Absent] = []
    others: list[DiscoveredServer] = []


def wanted_model(model: str) -> str:
    """Return the name of the model that a run is about. `model` is `[run] model`, or any name of a model; may be ""."""
    return os.path.basename(model) if os.path.isabs(model) else model or BUILT_IN_MODEL


def resolve(
    entries: Sequence[Backend],
    servers: Sequence[DiscoveredServer],
    engines: Collection[Embedded],
    model: str,
    programs: Sequence[Program] = (),
) -> Lineup:
    """Return which backends `entries` stand for on a machine with these `servers`, `programs` and installed `engines`.

    An entry is one of these:

    - a whole backend (a name, and url, embedded or launch): it stays as it is;
    - a framework alone (`Backend(framework="ollama")`): its running server that has the model; else, if the model is a
      file, its own server program, or its engine if that is installed; else it is absent. `model` of the entry goes
      before that of the run;
    - a URL alone (`Backend(url="http://...")`): the server there, under the name of what it answers. One that does not
      answer keeps its address as its name, and will be reported as not reachable.

    `model` is what they race: the absolute path of a file, a name ("qwen3:8b"), or "" for the built-in model. All
    backends of the result have a name, and no two have the same one. Pure.
    """
    here = {_address(server.url): server for server in servers}
    names = {entry.name for entry in entries if entry.name and not entry.open}
    given = {_address(entry.url) for entry in entries if entry.url}
    at_urls = [server for entry in entries if entry.unnamed and (server := here.get(_address(entry.url)))]
    joined: set[tuple[str, str]] = set()
    # Next to frameworks, which race the built-in model, a server does so too if it can.
    shared = wanted_model(model) if model or any(entry.open for entry in entries) else ""
    lineup = Lineup()
    for entry in with_programs(entries, programs):
        if entry.open:
            free = [s for s in servers if _address(s.url) not in given]
            one = _of_framework(entry, free, engines, programs, model, joined)
        elif entry.unnamed:
            one = _at_url(entry, here.get(_address(entry.url)), at_urls, shared)
        else:
            lineup.backends.append(entry)
            continue
        if isinstance(one, Absent):
            lineup.absent.append(one)
            continue
        joined.add((_address(one.url), one.model))
        name = _free(one.name, names)
        names.add(name)
        lineup.backends.append(msgspec.structs.replace(one, name=name))
    lineup.others.extend(_others(servers, given | {address for address, _ in joined}))
    return lineup


def with_programs(entries: Iterable[Backend], programs: Iterable[Program]) -> list[Backend]:
    """Return `entries`, those with `server` with the path of its program, so that a run records it."""
    paths = {program.server: program.path for program in programs}
    return [
        msgspec.structs.replace(one, program=paths.get(one.server, "")) if one.server and not one.program else one
        for one in entries
    ]


def resolve_named(
    entries: Sequence[Backend],
    servers: Sequence[DiscoveredServer],
    engines: Collection[Embedded],
    model: str,
    programs: Sequence[Program] = (),
) -> Lineup:
    """Like `resolve`, for frameworks and URLs that the user named one by one.

    If no model is asked for, and the frameworks do not all have the built-in one, those that run take part with the
    models that they have, if possible with the same.
    """
    lineup = resolve(entries, servers, engines, model, programs)
    if model or (not lineup.absent and _one_model(lineup.backends)):
        return lineup
    free = [s for s in servers if chat_models(s) and _address(s.url) not in {_address(e.url) for e in entries}]
    running = {server.framework: server for server in reversed(free)}
    at_servers = [
        Backend(framework=entry.framework, url=running[title].url)
        if entry.open and (title := framework(entry.framework).title) in running
        else entry
        for entry in entries
    ]
    return resolve(at_servers, servers, engines, model, programs)


def full_name(model: str, servers: Iterable[DiscoveredServer]) -> str:
    """Return `model`, or the one model of `servers` whose name it begins, as "llama3.2" begins "llama3.2:3b"."""
    models = [name for server in servers for name in chat_models(server)]
    if any(same_model(name, model) for name in models):
        return model
    begun = [name for name in models if model_family(name).startswith(model_family(model) + " ")]
    return begun[0] if begun and all(same_model(name, begun[0]) for name in begun) else model


def one_server(url: str, other: str) -> bool:
    """Whether two URLs are those of one server, as far as they tell."""
    return _address(url) == _address(other)


def _one_model(backends: Sequence[Backend]) -> bool:
    models = [BUILT_IN_MODEL if backend.on_shared_file else backend.model for backend in backends]
    return all(same_model(model, models[0]) for model in models)


def usual(entry: Backend, ollama: str) -> list[Backend]:
    """Return what a framework alone may have stood for when a run started: its program, its engine, its usual address.

    `ollama` is the address of Ollama. 0.1.0 did not look for servers.
    """
    facts = framework(entry.framework)
    named = msgspec.structs.replace(
        entry, name=entry.name or facts.title, language=entry.language or facts.language, protocol=facts.protocol
    )
    url = ollama if facts is OLLAMA else f"http://127.0.0.1:{facts.port}"
    return [
        *([msgspec.structs.replace(named, server=facts.own.server)] if facts.own else []),
        *([msgspec.structs.replace(named, embedded=facts.engine)] if facts.engine else []),
        msgspec.structs.replace(named, url=url, model=entry.model or facts.example_model),
    ]


def chat_models(server: DiscoveredServer) -> list[str]:
    """Return the models of a server that can chat, the most suitable first."""
    return [one.name for one in server.models if one.fitness != NO_CHAT] if server.usable else []


def _of_framework(
    entry: Backend,
    servers: Iterable[DiscoveredServer],
    engines: Collection[Embedded],
    programs: Sequence[Program],
    model: str,
    joined: Collection[tuple[str, str]],
) -> Backend | Absent:
    facts = framework(entry.framework)
    wanted = entry.model or wanted_model(model)
    own = [server for server in servers if server.framework == facts.title]
    for server in own:
        name = _served(server, wanted)
        if name and (_address(server.url), name) not in joined:
            return _backend(entry, server, name)
    loadable = not entry.model and _is_file(model)
    whole = msgspec.structs.replace(entry, name=entry.name or facts.title, language=entry.language or facts.language)
    if loadable and (program := _program(facts, programs)):
        return msgspec.structs.replace(
            whole, protocol=facts.protocol, server=program.server, program=entry.program or program.path
        )
    if loadable and facts.engine and facts.engine in engines:
        return msgspec.structs.replace(whole, embedded=facts.engine)
    if facts is UNKNOWN:
        return Absent(framework=entry.name or entry.framework, reason="no url", remedy="set url in the config")
    return _absent(facts, own, wanted, loadable=loadable)


def _program(facts: Framework, programs: Iterable[Program]) -> Program | None:
    return next((one for one in programs if facts.own is not None and one.server == facts.own.server), None)


def _absent(facts: Framework, own: Sequence[DiscoveredServer], wanted: str, *, loadable: bool) -> Absent:
    """`loadable`: its engine could load the model if it were installed."""
    if loadable and facts.engine:
        return Absent(framework=facts.title, reason="not installed", remedy=facts.install)
    if own and own[0].locked:
        return Absent(framework=facts.title, reason="it requires a key", remedy="set url and api_key in the config")
    if own:
        example = facts.example_model if same_model(facts.example_model, wanted) else wanted
        return Absent(framework=facts.title, reason=f"it has no {wanted}", remedy=facts.pull_hint(example))
    start = facts.start_hint(facts.port)
    if loadable and facts.own is not None and not facts.own.needs:
        # Neither its server is here nor the program, which llmtui would start.
        return Absent(framework=facts.title, reason="not running, not on PATH", remedy=f"put it on PATH, or {start}")
    return Absent(framework=facts.title, reason="not running", remedy=start)


def _at_url(
    entry: Backend, server: DiscoveredServer | None, all_named: Sequence[DiscoveredServer], model: str
) -> Backend:
    if server is None:
        title = framework(entry.framework).title if entry.framework else ""
        name = (title if title != UNKNOWN.title else entry.framework) or _place(entry.url)
        return msgspec.structs.replace(entry, name=name, framework=entry.framework or name)
    return _backend(entry, server, entry.model or _shared_model(server, all_named, model))


def _shared_model(server: DiscoveredServer, all_named: Sequence[DiscoveredServer], model: str) -> str:
    """Return which model of `server` to race: `model` ("": any), else the first that most of the named servers have."""
    if model and (name := _served(server, model)):
        return name
    models = chat_models(server)
    if not models:
        return ""
    return max(models, key=lambda name: sum(bool(_served(other, name)) for other in all_named))


def _backend(entry: Backend, server: DiscoveredServer, model: str) -> Backend:
    """Return the backend of a discovered server, with the further settings of `entry`."""
    facts = framework(server.framework)
    rightly_named = facts is not UNKNOWN and framework(entry.framework) is facts
    name = server.framework if facts is not UNKNOWN else _place(server.url)
    return msgspec.structs.replace(
        entry,
        name=entry.name or name,
        framework=entry.framework if rightly_named else server.framework,
        language=entry.language or facts.language,
        protocol=server.protocol if entry.protocol == "openai" else entry.protocol,
        url=entry.url or server.url,
        model=model,
    )


def _served(server: DiscoveredServer, wanted: str) -> str:
    """Return the name under which `server` has the model `wanted`, "" if it has not."""
    models = chat_models(server)
    return wanted if wanted in models else next((name for name in models if same_model(name, wanted)), "")


def _others(servers: Iterable[DiscoveredServer], taken: set[str]) -> list[DiscoveredServer]:
    return [
        msgspec.structs.replace(server, models=server.models[:MAX_OTHER_MODELS])
        for server in servers
        if _address(server.url) not in taken and chat_models(server)
    ]


def _is_file(model: str) -> bool:
    """Whether an embedded engine can load it: the built-in model and every file, but not a name."""
    return not model or os.path.isabs(model)


def _free(name: str, names: Collection[str]) -> str:
    name = sanitize(name, _NAME_CHARS).strip()
    number, free = 2, name
    while free in names:
        end = f" {number}"
        free = name[: _NAME_CHARS - len(end)] + end
        number += 1
    return free


def _address(url: str) -> str:
    """Return `url` in the form in which URLs of one server are equal."""
    return url.rstrip("/").removesuffix("/v1").replace("//localhost", "//127.0.0.1")


def _place(url: str) -> str:
    """Return the host and port of `url`; of this machine the port alone, which is what a narrow column has room for."""
    try:
        parts = urlsplit(url)
        if parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port:
            return f":{parts.port}"
        return parts.netloc.rpartition("@")[2] or url
    except ValueError:
        return url


# --- What could be raced. ---


class Group(Struct, frozen=True):
    """Backends that have the same model, which is named as the first of them names it."""

    model: str
    backends: list[Backend]


def groups(found: Found, model: str) -> list[Group]:
    """Return the races that are possible here: servers and engines by model, the largest group first.

    `model` is `[run] model`, which the engines load. Pure.
    """
    by_family: dict[str, Group] = {}
    starting = _startable(found)
    if starting and _is_file(model):
        name = wanted_model(model)
        by_family[model_family(name)] = Group(model=name, backends=starting)
    for server in found.servers:
        raced: set[str] = set()
        for name in chat_models(server)[:MAX_OTHER_MODELS]:
            family = model_family(name) or name
            if family in by_family and not same_model(name, by_family[family].model):
                family = name
            if family not in raced:
                # One server may have a model with several weights: the best of them for a chat.
                raced.add(family)
                group = by_family.setdefault(family, Group(model=name, backends=[]))
                group.backends.append(_grouped(server, name, group))
    return sorted(by_family.values(), key=lambda group: -len(group.backends))


def _startable(found: Found) -> list[Backend]:
    """Return the backends that llmtui can start on a model file: of each framework its own program, else its engine."""
    backends = []
    for facts in FRAMEWORKS:
        backend = Backend(name=facts.title, framework=facts.title, language=facts.language)
        if program := _program(facts, found.programs):
            backend = msgspec.structs.replace(
                backend, protocol=facts.protocol, server=program.server, program=program.path
            )
        elif facts.engine and facts.engine in found.engines:
            backend = msgspec.structs.replace(backend, embedded=facts.engine)
        if backend.launched:
            backends.append(backend)
    return backends


def _grouped(server: DiscoveredServer, model: str, group: Group) -> Backend:
    names = {backend.name for backend in group.backends}
    backend = _backend(Backend(), server, model)
    name = f"{backend.name} server" if backend.name in names else backend.name
    return msgspec.structs.replace(backend, name=_free(name, names))


def others_than(group: Group, found: Found) -> list[DiscoveredServer]:
    """Return the servers that run and are not in a race."""
    return _others(found.servers, {_address(backend.url) for backend in group.backends if backend.url})


def missing(found: Found) -> list[Absent]:
    """Return the frameworks of which no server runs and no engine is installed, with what gets them."""
    here = {server.framework for server in found.servers} | {backend.framework for backend in _startable(found)}
    return [
        Absent(framework=one.title, reason="not installed", remedy=one.install)
        if one.engine
        else Absent(framework=one.title, reason="not running", remedy=one.start_hint(one.port))
        for one in FRAMEWORKS
        if (one.port or one.engine) and one.title not in here
    ]


def recorded(plan: Plan, engines: list[Embedded]) -> Found:
    """Return what a run knew of this machine: its own servers and programs, and the others. Nothing is contacted."""
    own = [
        DiscoveredServer(
            # As a server that is looked for has it; a config may say "ollama".
            framework=backend.framework if (facts := framework(backend.framework)) is UNKNOWN else facts.title,
            url=backend.url,
            protocol=backend.protocol,
            models=[Model(name=backend.model)] if backend.model else [],
        )
        for backend in plan.backends
        if backend.url and not backend.launch and backend.protocol != "custom"
    ]
    programs = [Program(server=b.server, path=b.program) for b in plan.backends if b.server]
    return Found(servers=[*own, *plan.others], engines=engines, programs=programs)
