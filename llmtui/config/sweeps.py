"""`[[sweep]]`, a grid: its checks, and the backends and lengths that it stands for. Pure.

Lengths of prompts and answers are set request by request, so each load is taken at each of them: they are levels.
Models, threads and arguments of a command belong to a server, so each of them makes a backend of its own.
"""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from llmtui.config.errors import ConfigError, show, suggestion
from llmtui.config.loads import MAX_LEVELS
from llmtui.config.named_secrets import named_secrets
from llmtui.config.own_server_checks import MAX_THREADS
from llmtui.config.places import Place
from llmtui.config.variables import expand
from llmtui.model import LABELS, Backend, Cells, Load, Plan, Prompts, Struct, Variant
from llmtui.model.mixes import MOST_TOKENS
from llmtui.text import sanitize

#: The longest name of a backend, in characters.
_NAME_CHARS = 40
#: Where the words of `args` go in `launch` and `env`; without it at the end of `launch`.
_ARGS = "{args}"


class Sweep(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of a grid, or all of them together: the values of each setting that is varied.

    `args` are words that go into a backend's `launch` or `env`, where these have {args}, else at the end of `launch`.
    `secrets` is not read from the file: it has the values of environment variables in it that may be keys.
    """

    max_tokens: list[int] = []
    prompt_tokens: list[int] = []
    threads: list[int] = []
    model: list[str] = []
    args: list[list[str]] = []
    secrets: list[str] = []


_KEYS = tuple(field for field in Sweep.__struct_fields__ if field != "secrets")
_RANGES = {"max_tokens": MOST_TOKENS, "prompt_tokens": MOST_TOKENS, "threads": MAX_THREADS}


def check_sweep_names(table: Mapping[str, Any], root: Place) -> None:
    """Raise ConfigError if [sweep] is not a list of tables, has an unknown key, or has a key in two tables."""
    sweeps = table.get("sweep", [])
    if isinstance(sweeps, dict):
        raise ConfigError(f"{root.section('sweep')} is a single table; write [[sweep]], with two brackets")
    seen: set[str] = set()
    for index, entry in enumerate(sweeps) if isinstance(sweeps, list) else ():
        for key in entry if isinstance(entry, dict) else ():
            place = root.sweep(index)
            if key not in _KEYS:
                raise ConfigError(f"{place.entry(key)}: unknown key {show(key)}{suggestion(key, _KEYS)}")
            if key in seen:
                raise ConfigError(f"{place.key(key)}: is in another [[sweep]] too; write one list with all its values")
            seen.add(key)


def expanded(sweeps: Any, root: Place, env: dict[str, str]) -> Any:
    """Return the tables as they are in the file with `${NAME}` expanded, as in a [[backend]]. Raises ConfigError.

    Anything that is not a list of tables is returned unchanged, and refused later.
    """

    def of(index: int, entry: dict[str, Any]) -> dict[str, Any]:
        place, secrets = root.sweep(index), list[str]()
        values = {
            key: expand(value, place.key(key), env, [] if key in LABELS else secrets) for key, value in entry.items()
        }
        return {**values, "secrets": secrets} if secrets else values

    if not isinstance(sweeps, list):
        return sweeps
    return [of(index, entry) if isinstance(entry, dict) else entry for index, entry in enumerate(sweeps)]


def check_sweep(sweeps: list[Sweep], table: Mapping[str, Any], root: Place) -> Sweep:
    """Return all tables together. Raises ConfigError for an empty list, a value out of range, or one listed twice.

    `table` is the file as it is written: a message shows no value of an environment variable.
    """
    values: dict[str, Any] = {"secrets": [secret for sweep in sweeps for secret in sweep.secrets]}
    for index, (sweep, written) in enumerate(zip(sweeps, table.get("sweep", []), strict=True)):
        for key in written:
            place, listed = root.sweep(index).key(key), getattr(sweep, key)
            if not listed:
                raise ConfigError(f"{place}: the list is empty; list the values to try, or remove the key")
            for number, value in enumerate(listed):
                shown = show(written[key][number])
                if value in listed[:number]:
                    raise ConfigError(f"{place}: {shown} is listed twice; list each value once")
                if (most := _RANGES.get(key)) and not 1 <= value <= most:
                    raise ConfigError(f"{place}: expected 1 to {most}, got {shown}")
                if key == "model" and not value.strip():
                    raise ConfigError(f"{place}: expected the name of a model or a file, got {shown}")
            values[key] = listed
    return Sweep(**values)


def with_cells(load: Load, sweep: Sweep, prompts: Prompts, place: Place) -> Load:
    """Return `load` with the lengths of a grid. Raises ConfigError if they cannot be combined with it."""
    if sweep == Sweep():
        return load
    if load.search:
        raise ConfigError(f"{place}: a search chooses the levels, and a grid lists them; leave one of them out")
    if not (sweep.max_tokens or sweep.prompt_tokens):
        return load
    if load.trace:
        raise ConfigError(f"{place}: a grid of lengths cannot be combined with a trace; leave one of them out")
    for key in ("prompt_tokens", "max_tokens"):
        if getattr(sweep, key) and prompts.mix:
            raise ConfigError(f"{place.key(key)}: the mix {show(prompts.mix)} sets the lengths; leave one of them out")
    if sweep.prompt_tokens and prompts.file:
        raise ConfigError(f"{place.key('prompt_tokens')}: a file of prompts is given too; leave one of them out")
    load = msgspec.structs.replace(load, cells=Cells(sweep.max_tokens, sweep.prompt_tokens))
    check_cells(load, place)
    return load


def check_cells(load: Load, place: Place) -> None:
    """Raise ConfigError for too many levels, or a length out of range, before there are any levels."""
    if (cells := load.cells) is None:
        return
    for value in (*cells.max_tokens, *cells.prompt_tokens):
        if not 1 <= value <= MOST_TOKENS:
            raise ConfigError(f"{place}: expected lengths of 1 to {MOST_TOKENS} tokens, got {show(value)}")
    loads = len(msgspec.structs.replace(load, cells=None).levels) or 1
    levels = loads * (len(cells.max_tokens) or 1) * (len(cells.prompt_tokens) or 1)
    if levels > MAX_LEVELS:
        raise ConfigError(f"{place}: {levels} levels, of loads and lengths; a run has at most {MAX_LEVELS}")


class _Choice(NamedTuple):
    """One value of a setting of a server, and how it is named."""

    key: str
    value: Any
    words: str


def with_variants(plan: Plan, sweep: Sweep, place: Place, most: int) -> Plan:
    """Return `plan` with a backend for each combination of the settings of servers. Raises ConfigError.

    A backend that has no use for a setting, such as threads of a server that runs already, is not varied by it. There
    may be at most this many backends.
    """
    settings = {key: getattr(sweep, key) for key in ("model", "threads", "args") if getattr(sweep, key)}
    if "args" not in settings and (asks := next(filter(_has_args, plan.backends), None)) is not None:
        key = "launch" if any(_ARGS in word for word in asks.launch) else "env"
        raise ConfigError(
            f"{place.key('args')}: {key} of {sanitize(asks.name)!r} has {_ARGS}, and no grid lists any; add args = "
            f"[[]] to a [[sweep]], or remove {_ARGS}"
        )
    if not settings:
        return plan
    for key in settings:
        if not any(_takes(backend, key) for backend in plan.backends):
            raise ConfigError(f"{place.key(key)}: {_NO_USE[key]}")
    backends: list[Backend] = []
    variants: dict[str, Variant] = {}
    for backend in plan.backends:
        varied = {key: values for key, values in settings.items() if _takes(backend, key)}
        for choices in itertools.product(*(_choices(key, values, sweep) for key, values in varied.items())):
            backends.append(_varied(backend, choices, {one.name for one in backends}, sweep))
            if choices:
                of: dict[str, Any] = {one.key: one.value for one in choices}
                variants[backends[-1].name] = Variant(of=backend.name, **of)
    if len(backends) > most:
        raise ConfigError(f"{place}: {len(backends)} backends; a run compares at most {most}")
    return msgspec.structs.replace(plan, backends=backends, variants=variants)


_NO_USE = {
    "model": "no backend here can be given another model",
    "threads": "llmtui sets the threads of servers that it launches: embedded, server, or {threads} in launch",
    "args": "these words are added to launch, and no backend has one",
}


def _takes(backend: Backend, key: str) -> bool:
    """Whether a setting can be changed for a backend."""
    texts = (*backend.launch, *backend.env.values())
    if key == "args":
        return bool(backend.launch) or _has_args(backend)
    if key == "threads":
        return backend.on_shared_file or any("{threads}" in text for text in texts)
    if backend.launch:
        return any("{model}" in text for text in texts)
    return backend.on_shared_file or backend.protocol != "custom"


def _choices(key: str, values: list[Any], sweep: Sweep) -> Iterator[_Choice]:
    for value in values:
        if key == "args":
            # A name is shown everywhere, so it has no keys.
            secrets = _secrets_in(value, sweep)
            yield _Choice(key, value, " ".join(word for word in value if not any(one in word for one in secrets)))
        elif key == "threads":
            yield _Choice(key, value, f"threads={value}")
        else:
            yield _Choice(key, value, os.path.basename(value).removesuffix(".gguf"))


def _secrets_in(words: list[str], sweep: Sweep) -> list[str]:
    """Return the keys in `args`, by the names beside them or as values of environment variables."""
    return [*named_secrets(words), *(one for one in sweep.secrets if any(one in word for word in words))]


def _varied(backend: Backend, choices: tuple[_Choice, ...], taken: set[str], sweep: Sweep) -> Backend:
    changes: dict[str, Any] = {one.key: one.value for one in choices}
    if "args" in changes:
        args = changes.pop("args")
        changes |= _with_args(backend, args) | {"secrets": [*backend.secrets, *_secrets_in(args, sweep)]}
    words = " ".join(one.words for one in choices if one.words)
    return msgspec.structs.replace(backend, name=_name(backend.name, words, taken), **changes)


def _with_args(backend: Backend, words: list[str]) -> dict[str, Any]:
    """Return the settings of a backend with these words in the place of {args}, or at the end of `launch`.

    {args} that is a whole word of `launch` becomes as many words as there are. In a longer text, such as the command
    line of a shell, they are quoted for a shell.
    """
    quoted = shlex.join(words)
    launch: list[str] = []
    for word in backend.launch:
        launch += words if word == _ARGS else [word.replace(_ARGS, quoted)]
    env = {name: value.replace(_ARGS, quoted) for name, value in backend.env.items()}
    if not _has_args(backend):
        launch += words
    return {"launch": launch, "env": env}


def _has_args(backend: Backend) -> bool:
    return any(_ARGS in text for text in (*backend.launch, *backend.env.values()))


def _name(name: str, words: str, taken: set[str]) -> str:
    """Return a name that is not taken: with the words as far as there is room, else with a number."""
    whole = sanitize(f"{name} {words}".strip())
    if len(whole) <= _NAME_CHARS and whole not in taken:
        return whole
    numbers = (f" #{number}" for number in itertools.count(1))
    return next(one for end in numbers if (one := whole[: _NAME_CHARS - len(end)].strip() + end) not in taken)
