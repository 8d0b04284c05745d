"""The sections of config.toml, their checks, and the plan of a run. An error names file, key, cause and remedy.

Nothing here opens a socket or draws.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import tomli

from llmtui.config import launch
from llmtui.config.entries import named
from llmtui.config.errors import ConfigError, backend_label, check_names, explain, show, suggestion
from llmtui.config.file import DEFAULT_FILE, DEFAULT_SOURCE, find, read, read_named_by_history
from llmtui.config.frameworks import OLLAMA, framework, framework_of_server
from llmtui.config.loads import check_load, check_metric, with_metric
from llmtui.config.named_secrets import named_secrets, secret_env
from llmtui.config.objectives import check_objectives, check_slo
from llmtui.config.ollama_host import ollama_url
from llmtui.config.own_server_checks import check_env, check_threads, distinct, on_shared_file
from llmtui.config.places import Option, Place
from llmtui.config.prompts import check_prompts
from llmtui.config.requests import check_requests
from llmtui.config.run_checks import check_run
from llmtui.config.searches import check_search
from llmtui.config.section_changes import section_changes
from llmtui.config.sweeps import Sweep, check_sweep, check_sweep_names, expanded, with_cells
from llmtui.config.talks import check_talks
from llmtui.config.traces import with_trace
from llmtui.config.variables import expand
from llmtui.config.workers import check_of_load, check_workers
from llmtui.model import (
    LABELS,
    Backend,
    Load,
    Plan,
    Prompts,
    RunConfig,
    Slo,
    Struct,
    Workers,
    is_backend_name,
    secret_values,
)
from llmtui.text import sanitize
from llmtui.text.times import now_text

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_SOURCE",
    "Config",
    "ConfigError",
    "UiConfig",
    "changed",
    "find",
    "load",
    "ollama_url",
    "parse",
]

#: The characters of small plots. `ascii` restricts the whole screen to ASCII.
Marker = Literal["braille", "fhd", "dot", "ascii"]


class UiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the monitor looks (`[ui]`). `keys` maps command ids to keys.

    `title`: show the progress in the terminal's title. `notify`: how to announce the end of the run.
    """

    theme: str = ""
    marker: Marker = "braille"
    title: bool = True
    notify: Literal["off", "bell", "desktop"] = "off"
    keys: dict[str, str] = {}


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A checked config.toml. `source` is its path, `text` its content, both for messages.

    `metric_named`: the file says which metric counts.
    """

    run: RunConfig = RunConfig()
    ui: UiConfig = UiConfig()
    load: Load = Load()
    slo: Slo = Slo()
    prompts: Prompts = Prompts()
    workers: Workers = Workers()
    sweep: list[Sweep] = []
    backend: list[Backend] = []
    source: str = ""
    text: str = ""
    metric_named: bool = False

    @property
    def grid(self) -> Sweep:
        """All that is varied; nothing without a [[sweep]]."""
        return self.sweep[0] if self.sweep else Sweep()

    @property
    def place(self) -> Place:
        """The whole file, for messages about one of its settings."""
        return Place(self.source, self.text)

    def place_of(self, name: str) -> Place:
        """The table of the backend with this name. Raises ValueError if there is none."""
        return self.place.backend([b.name for b in self.backend].index(name), f"backend {name!r}")

    def plan(self, *, only: tuple[str, ...] = ()) -> Plan:
        """Return the plan of a new run of the enabled backends, or of those named in `only`, enabled or not.

        Raises ConfigError if there are none, a name in `only` is unknown, or the metric that counts is not one of the
        load.
        """
        load = with_cells(self.load, self.grid, self.prompts, self.place.sweep(0))
        run = self.run if self.metric_named else with_metric(self.run, load)
        check_metric(run, load, self.place.section("run"))
        check_objectives(self.slo, load, run, self.place.section("run"))
        check_search(run, load, self.slo, self.place)
        check_talks(load, self.prompts, self.place)
        check_of_load(self.workers, load, self.place.section("workers"))
        only = chosen_names(only, [b.name for b in self.backend], self.source)
        chosen = [b for b in self.backend if (b.name in only if only else b.enabled)]
        if not chosen:
            raise ConfigError(
                f"{self.source}: every backend is disabled; set enabled = true on one, or run: llmtui init"
            )
        for backend in chosen:
            if not backend.enabled:
                # Named by `only`: it was not checked when the file was read.
                check_requests(backend, self.place_of(backend.name))
        return Plan(
            run=secrets.token_hex(4),
            created_utc=now_text(),
            config=run,
            backends=[msgspec.structs.replace(b, enabled=True) for b in chosen],
            # Absolute, so that a run can be resumed from any working folder.
            source=self.source if self.source == DEFAULT_SOURCE else os.path.abspath(self.source),
            fresh_role="system",
            load=with_trace(load),
            slo=self.slo,
            prompts=self.prompts,
            workers=self.workers,
        )


def chosen_names(words: Iterable[str], names: Sequence[str], source: str) -> tuple[str, ...]:
    """Return the names that `words`, the values of --only, mean, in any case. Raises ConfigError for an unknown one."""
    chosen = []
    for word in words:
        same = [name for name in names if name == word] or [n for n in names if n.casefold() == word.casefold()]
        if len(same) != 1:
            raise ConfigError(f"{source}: no backend is named {word!r}{suggestion(word, [n for n in names if n])}")
        chosen += same
    return tuple(chosen)


#: Limited, because every pair of backends is compared.
MAX_BACKENDS = 100
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "run": RunConfig,
    "load": Load,
    "slo": Slo,
    "prompts": Prompts,
    "workers": Workers,
    "ui": UiConfig,
    "backend": Backend,
}
#: Fields that are not keys of the file.
_NO_KEYS = frozenset({"source", "text", "secrets", "metric_named", "trace_turn", "cells", "facts", "measured_by"})


def load(path: Path, *, implicit: bool = False, backends: bool = True, environ: dict[str, str] | None = None) -> Config:
    """Read and check a config file. Raises ConfigError.

    `implicit`: the user did not name it; see `file.read`. Without `backends`, only [run] and [ui] are read.
    """
    source = DEFAULT_SOURCE if path == DEFAULT_FILE else str(path)
    text = read(path, implicit=implicit)
    return parse(text, source=source, folder=path.parent, backends=backends, environ=environ)


def load_named_by_history(name: str, trust: str) -> Config:
    """Load the config that a history names, with the checks of `implicit`. Raises ConfigError.

    `trust` is the command with which the user can name a file instead.
    """
    if name == DEFAULT_SOURCE:
        return load(DEFAULT_FILE)
    path = Path(name)
    return parse(read_named_by_history(path, trust), source=name, folder=path.parent)


def parse(
    text: str, *, source: str, folder: Path, backends: bool = True, environ: dict[str, str] | None = None
) -> Config:
    """Parse and check the text of a config file. Paths in it are relative to `folder`. Raises ConfigError.

    Without `backends`, they are neither read nor checked.
    """
    env = dict(os.environ) if environ is None else environ
    try:
        table = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(_not_toml(str(error), source)) from None
    if not backends:
        table.pop("backend", None)
    root = Place(source, text)
    check_names(table, root, _SECTIONS, _NO_KEYS)
    check_sweep_names(table, root)
    tables = table.get("backend")
    as_written = {**table, "backend": list(tables)} if isinstance(tables, list) else dict(table)
    if "sweep" in table and backends:
        table["sweep"] = expanded(table["sweep"], root, env)
    if isinstance(tables, list):
        for index, entry in enumerate(tables):
            if isinstance(entry, dict) and entry.get("enabled", True) is not False:
                place = root.backend(index, backend_label(table, index))
                secrets: list[str] = []
                whole = {
                    key: expand(value, place.key(key), env, [] if key in LABELS else secrets)
                    for key, value in entry.items()
                }
                tables[index] = {**whole, "secrets": [*secrets, *named_secrets(whole), *secret_env(whole)]}
    try:
        config = msgspec.convert(table, Config, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error), as_written, _SECTIONS, root)) from None
    run = check_run(config.run, root.section("run"), folder)
    load = check_load(config.load, root.section("load"), given=table.get("load", {}), folder=folder)
    slo = check_slo(config.slo, root.section("slo"))
    prompts = check_prompts(config.prompts, root.section("prompts"), folder)
    workers = check_workers(config.workers, root.section("workers"))
    unnamed = {index for index, entry in enumerate(as_written.get("backend", [])) if "name" not in entry}
    each = [named(b, root.backend(i, f"backend {i + 1}")) if i in unnamed else b for i, b in enumerate(config.backend)]
    each = distinct(each, unnamed)
    checked = [_check_backend(b, i, root, env, folder, i in unnamed) for i, b in enumerate(each)]
    if backends and not checked:
        raise ConfigError(f"{source}: no [[backend]]; write a config of the servers on this machine with: llmtui init")
    if len(checked) > MAX_BACKENDS:
        raise ConfigError(f"{source}: {len(checked)} backends; a run compares at most {MAX_BACKENDS}")
    _check_names(checked, unnamed, root)
    return msgspec.structs.replace(
        config,
        run=run,
        load=load,
        slo=slo,
        prompts=prompts,
        workers=workers,
        sweep=[check_sweep(config.sweep, as_written, root)] if config.sweep else [],
        backend=checked,
        source=source,
        text=text,
        metric_named="metric" in table.get("run", {}),
    )


def _check_names(backends: list[Backend], unnamed: set[int], root: Place) -> None:
    seen: dict[str, int] = {}
    for index, backend in enumerate(backends):
        shown = sanitize(backend.name)
        if shown in seen:
            remedy = "; give it a name" if index in unnamed or seen[shown] in unnamed else ""
            place = root.backend(index, f"backend {index + 1}").key("name")
            raise ConfigError(f"{place}: {shown!r} is already the name of backend {seen[shown] + 1}{remedy}")
        if shown:
            seen[shown] = index


def _not_toml(error: str, source: str) -> str:
    """The message for a file that tomli cannot read, with the line as in other messages."""
    at = re.search(r" \(at line (\d+), column (\d+)\)$", error)
    if at is None:
        return f"{source}: not valid TOML: {error}"
    return f"{source}:{at[1]}: not valid TOML: {error[: at.start()]} (at column {at[2]})"


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """Return `config` with [run] changed by the command line (None: no change). Raises ConfigError."""
    given = {key: value for key, value in changes.items() if value is not None}
    option = Option("the command line")
    sections = section_changes(config.load, config.slo, config.prompts, config.workers, config.run, given, option)
    config = msgspec.structs.replace(config, **sections)
    if not given:
        return config
    table = {"run": {**msgspec.to_builtins(config.run), **given}}
    try:
        run = msgspec.convert(table["run"], RunConfig, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error).replace("`$.", "`$.run."), table, _SECTIONS, option)) from None
    return msgspec.structs.replace(config, run=check_run(run, option, Path.cwd()))


# --- Checks beyond types. ---


def _check_backend(
    backend: Backend, index: int, root: Place, env: dict[str, str], folder: Path, unnamed: bool
) -> Backend:
    """`unnamed`: it has no name in the file, so it may give the framework alone, or the URL alone."""
    where = root.backend(index, f"backend {index + 1}" + (f" ({backend.name!r})" if backend.name else ""))
    # A name of fillers alone would not be seen.
    if not (unnamed and not backend.name) and not (is_backend_name(backend.name) and sanitize(backend.name)):
        raise ConfigError(
            f"{root.backend(index, f'backend {index + 1}').key('name')}: expected 1 to 40 printable characters without "
            f"spaces around them, got {show(backend.name)}"
        )
    if backend.server and not backend.framework:
        facts = framework_of_server(backend.server)
        language = backend.language or facts.language
        backend = msgspec.structs.replace(backend, framework=facts.title, language=language)
    backend = msgspec.structs.replace(backend, framework=backend.framework or backend.name)
    check_threads(backend, where)
    if backend.on_shared_file:
        backend = on_shared_file(backend, folder, where)
        check_requests(backend, where)
        return backend
    if not backend.enabled:
        return backend
    check_env(backend, where)
    if backend.launch and not backend.launch[0].strip():
        raise ConfigError(f"{where.key('launch')}: the first word, the command, is empty")
    if any("\0" in word for word in backend.launch):
        raise ConfigError(f"{where.key('launch')}: a word contains a NUL character")
    backend = launch.resolved(backend, folder, where)
    if backend.open and not unnamed:
        backend = msgspec.structs.replace(backend, url=_usual_url(backend, where, env))
    if backend.url:
        url = checked_url(backend.url, where.key("url"), sorted(secret_values(backend)))
        backend = msgspec.structs.replace(backend, url=url)
    if not backend.api_key.isascii() or not backend.api_key.isprintable():
        raise ConfigError(
            f"{where.key('api_key')}: contains a character that is not allowed in HTTP; is there a newline in it?"
        )
    check_requests(backend, where)
    return backend


def checked_url(url: str, place: Place, secrets: Sequence[str] = ()) -> str:
    """Return the address of a server without a slash at its end. Raises ConfigError, without `secrets`."""
    parts = _split_url(url.replace("{port}", "1"), place, secrets)
    if parts.username or parts.password:
        raise ConfigError(f"{place}: contains a user name or password; use api_key or headers instead")
    return url.rstrip("/")


def _split_url(url: str, place: Place, secrets: Sequence[str]) -> Any:
    shown = show(url, secrets)
    if not url.isprintable() or " " in url:
        raise ConfigError(f"{place}: expected an address without spaces and control characters, got {shown}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # Its message may repeat the password.
        reason = "a port of at most 65535" if "ort" in str(error) else "a valid address"
        raise ConfigError(f"{place}: expected {reason}, got {shown}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{place}: expected a full address such as 'http://127.0.0.1:8080', got {shown}")
    if port == 0:
        raise ConfigError(f"{place}: expected a port of at least 1, got {shown}")
    return parts


def _usual_url(backend: Backend, where: Place, env: dict[str, str]) -> str:
    words = (backend.framework, backend.name) if backend.protocol != "custom" else ()
    usual = next((facts for word in words if (facts := framework(word)).port), None)
    if backend.protocol == "ollama" or usual is OLLAMA:
        url = ollama_url(env.get("OLLAMA_HOST", ""))
        try:
            _split_url(url, where.key("url"), [])
        except ConfigError:
            raise ConfigError(f"OLLAMA_HOST: expected host:port, got {show(env['OLLAMA_HOST'])}") from None
        return url
    if usual is not None:
        return f"http://127.0.0.1:{usual.port}"
    raise ConfigError(f"{where}: url is missing; give one such as 'http://127.0.0.1:8080', or launch, or embedded")
