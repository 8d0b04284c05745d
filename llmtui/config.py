"""config.toml: found, read, checked, turned into the plan of a run. Every error names file, key, finding, remedy.

Nothing here opens a socket or draws.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import tomli

from llmtui.model import Backend, Plan, RunConfig, Struct

DEFAULT_FILE = Path(__file__).with_name("default.toml")

#: Where each framework listens unless told otherwise (servers' own documentation, 2026).
USUAL_PORTS: dict[str, int] = {
    "ollama": 11434,
    "llamafile": 8080,
    "llama.cpp": 8080,
    "mistral.rs": 1234,
    "lm studio": 1234,
    "vllm": 8000,
    "huggingface": 8000,
    "transformers": 8000,
}

MAX_CONFIG_BYTES = 1024 * 1024


class ConfigError(Exception):
    """The configuration cannot be used. The message is complete: file, key, what was found, what is allowed."""


class UiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the monitor looks (`[ui]`). `keys` maps command ids to keys."""

    theme: str = ""
    marker: Literal["braille", "fhd", "dot", "ascii"] = "braille"
    keys: dict[str, str] = {}


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole config.toml, checked. `source` is the file it came from."""

    run: RunConfig = RunConfig()
    ui: UiConfig = UiConfig()
    backend: list[Backend] = []
    source: str = ""

    def plan(self, *, only: tuple[str, ...] = ()) -> Plan:
        """The plan of a new run over the enabled backends (or just those named in `only`, enabled or not).

        Raises ConfigError when that leaves none, or a name in `only` is unknown.
        """
        names = [b.name for b in self.backend]
        for name in only:
            if name not in names:
                raise ConfigError(f"{self.source}: no backend is named {name!r}{_nearest(name, names)}")
        chosen = [b for b in self.backend if (b.name in only if only else b.enabled)]
        if not chosen:
            raise ConfigError(f"{self.source}: every backend is disabled; set enabled = true on at least one")
        return Plan(
            run=secrets.token_hex(4),
            created_utc=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            config=self.run,
            backends=[msgspec.structs.replace(b, enabled=True) for b in chosen],
            source=self.source,
        )


def find(named: str | None, *, cwd: Path | None = None, user_dir: Path | None = None) -> Path:
    """The config file to use: the one named, else ./config.toml, else the user's, else the embedded default."""
    if named is not None:
        return Path(named)
    here = (cwd or Path.cwd()) / "config.toml"
    if here.is_file():
        return here
    if user_dir is None:
        import platformdirs

        user_dir = Path(platformdirs.user_config_dir("llmtui"))
    user = user_dir / "config.toml"
    return user if user.is_file() else DEFAULT_FILE


def load(path: Path, *, environ: dict[str, str] | None = None) -> Config:
    """Read and check a config file. Raises ConfigError, whose message is fit for the terminal as it stands."""
    source = "the built-in default" if path == DEFAULT_FILE else str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{source}: there is no such file; without a name, llmtui takes ./config.toml, yours or its own"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: this is a folder; name the config file in it") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{source}: larger than 1 MB; this is no config file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    return parse(text, source=source, folder=path.parent, environ=environ)


def parse(text: str, *, source: str, folder: Path, environ: dict[str, str] | None = None) -> Config:
    """Check the text of a config file. Relative model paths are taken from `folder`. Raises ConfigError."""
    env = dict(os.environ) if environ is None else environ
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    _check_names(table, source)
    backends = table.get("backend")
    if isinstance(backends, list):
        for index, entry in enumerate(backends):
            if isinstance(entry, dict) and entry.get("enabled", True) is not False:
                where = f"{source}: {_backend_label(table, index)}"
                secrets: list[str] = []
                expanded = {key: _expand(value, f"{where}: {key}", env, secrets) for key, value in entry.items()}
                backends[index] = {**expanded, "secrets": secrets}
    try:
        config = msgspec.convert(table, Config, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error), table)}") from None
    run = _check_run(config.run, source, folder)
    checked = [_check_backend(b, i, source, env) for i, b in enumerate(config.backend)]
    if not checked:
        raise ConfigError(f"{source}: no [[backend]] is given; llmtui needs at least one to benchmark")
    seen: dict[str, int] = {}
    for index, backend in enumerate(checked, start=1):
        if backend.name in seen:
            raise ConfigError(
                f"{source}: backend {index}: name {backend.name!r} is taken by backend {seen[backend.name]}"
            )
        seen[backend.name] = index
    return msgspec.structs.replace(config, run=run, backend=checked, source=source)


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """`config` with what the command line sets in [run] (None: not set), checked like the file. Raises ConfigError."""
    given = {key: value for key, value in changes.items() if value is not None}
    if not given:
        return config
    source = "the command line"
    table = {"run": {**msgspec.to_builtins(config.run), **given}}
    try:
        run = msgspec.convert(table["run"], RunConfig, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error).replace('`$.', '`$.run.'), table)}") from None
    return msgspec.structs.replace(config, run=_check_run(run, source, Path.cwd()))


# --- Words for errors. ---

_STRUCTS: dict[str, type[msgspec.Struct]] = {"": Config, "run": RunConfig, "ui": UiConfig, "backend": Backend}
_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": 'a list, such as ["one", "two"]',
    "object": "a table",
    "null": "nothing",
}


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _fields(struct: type[msgspec.Struct]) -> list[str]:
    internal = {Config: "source", Backend: "secrets"}.get(struct)
    return [f.encode_name for f in msgspec.structs.fields(struct) if f.name != internal]


def _check_names(table: dict[str, Any], source: str) -> None:
    """Refuse unknown keys, each with the nearest known one."""

    def check(found: dict[str, Any], struct: type[msgspec.Struct], where: str) -> None:
        known = _fields(struct)
        for key in found:
            if key not in known:
                raise ConfigError(f"{source}: {where}unknown key {key!r}{_nearest(key, known)}")

    check(table, Config, "")
    for section in ("run", "ui"):
        if isinstance(table.get(section), dict):
            check(table[section], _STRUCTS[section], f"[{section}]: ")
    backends = table.get("backend")
    if isinstance(backends, dict):
        raise ConfigError(
            f"{source}: [backend] is one table; write [[backend]], with two brackets, once for each backend"
        )
    if isinstance(backends, list):
        for index, entry in enumerate(backends):
            if isinstance(entry, dict):
                check(entry, Backend, f"{_backend_label(table, index)}: ")


def _backend_label(table: dict[str, Any], index: int) -> str:
    try:
        name = table["backend"][index]["name"]
    except (KeyError, IndexError, TypeError):
        return f"backend {index + 1}"
    return f"backend {index + 1} ({name!r})" if isinstance(name, str) else f"backend {index + 1}"


def _explain(message: str, table: dict[str, Any]) -> str:
    """msgspec's validation message in plain words: where, what was found, what is allowed."""
    head, _, path = message.partition(" - at `$")
    path = path.rstrip("`")
    value: Any = table
    where: list[str] = []
    for part in re.findall(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]", path):
        key, position = part
        try:
            if key or position:
                value = value[key] if key else value[int(position)]
        except (KeyError, IndexError, TypeError, ValueError):
            value = None
        if key == "backend" and not where:
            continue
        if position and not where:
            where.append(_backend_label(table, int(position)))
        elif key:
            where.append(f"[{key}]" if key in ("run", "ui") and not where else key)
    place = ": ".join(where)
    expected = re.match(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`", head)
    missing = re.match(r"Object missing required field `(\w+)`", head)
    if missing:
        return f"{place}: {missing[1]!r} is missing".lstrip(": ")
    if expected:
        want = _TYPE_WORDS.get(expected[1], expected[1])
        return f"{place}: found {_show(value)}, allowed is {want}".lstrip(": ")
    if head.startswith("Invalid enum value"):
        allowed = _allowed(path)
        return f"{place}: found {_show(value)}, allowed is {allowed}"
    return f"{place}: {head}".lstrip(": ")


def _allowed(path: str) -> str:
    keys = [k for k in re.findall(r"\.(\w+)", path)]
    struct = _STRUCTS.get(keys[0] if keys else "", Config)
    hints = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    values = getattr(hints.get(keys[-1]), "__args__", ()) if keys else ()
    return "one of " + ", ".join(repr(v) for v in values if v) if values else "another value"


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."


# --- Checks beyond types. ---


def _check_run(run: RunConfig, source: str, folder: Path) -> RunConfig:
    def require(key: str, holds: Callable[[Any], bool], allowed: str) -> None:
        value = getattr(run, key)
        if (isinstance(value, float) and not math.isfinite(value)) or not holds(value):
            raise ConfigError(f"{source}: [run]: {key}: found {_show(value)}, allowed is {allowed}")

    require("iterations", lambda v: 1 <= v <= 1_000_000, "1 to 1000000")
    require("warmup", lambda v: 0 <= v <= 10_000, "0 to 10000")
    require("max_tokens", lambda v: 1 <= v <= 1_000_000, "1 to 1000000")
    require("temperature", lambda v: 0 <= v <= 10, "0 to 10")
    require("seed", lambda v: 0 <= v < 2**31, "0 to 2147483647")
    require("threads", lambda v: 0 <= v <= 4096, "0 (cores - 1) to 4096")
    require("prompt", lambda v: bool(v.strip()), "a text that is not empty")
    require("timeout_s", lambda v: 0 < v <= 86_400, "a number of seconds above 0")
    require("connect_timeout_s", lambda v: 0 < v <= 3_600, "a number of seconds above 0")
    require("load_timeout_s", lambda v: 0 < v <= 86_400, "a number of seconds above 0")
    require("cooldown_s", lambda v: 0 <= v <= 3_600, "0 to 3600 seconds")
    if run.model:
        path = Path(run.model).expanduser()
        run = msgspec.structs.replace(run, model=str(path if path.is_absolute() else (folder / path).absolute()))
    return run


def _check_backend(backend: Backend, index: int, source: str, env: dict[str, str]) -> Backend:
    where = f"{source}: backend {index + 1} ({backend.name!r})"
    if backend.name != backend.name.strip() or not 1 <= len(backend.name) <= 40 or not backend.name.isprintable():
        raise ConfigError(
            f"{source}: backend {index + 1}: name: found {_show(backend.name)}, allowed are 1 to 40 printable "
            "characters without spaces around them"
        )
    backend = msgspec.structs.replace(backend, framework=backend.framework or backend.name)
    if backend.embedded:
        for key in ("url", "launch", "model"):
            if getattr(backend, key):
                hint = "set model in [run], where all embedded engines share it" if key == "model" else f"remove {key}"
                raise ConfigError(f"{where}: {key} does not go with embedded = {backend.embedded!r}; {hint}")
        return backend
    if not backend.enabled:
        return backend
    if backend.launch and not backend.launch[0].strip():
        raise ConfigError(f"{where}: launch: its first word, the command, is empty")
    if not backend.url and not backend.launch:
        backend = msgspec.structs.replace(backend, url=_usual_url(backend, where, env))
    if backend.url:
        parts = _split_url(backend.url.replace("{port}", "1"), where)
        if parts.username or parts.password:
            raise ConfigError(f"{where}: url holds a user name or password; use api_key or headers instead")
        backend = msgspec.structs.replace(backend, url=backend.url.rstrip("/"))
    for key, value in backend.headers.items():
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", key) or not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{where}: headers: {_show(key)} is no valid HTTP header, or its value is none")
    if not backend.api_key.isascii() or not backend.api_key.isprintable():
        raise ConfigError(f"{where}: api_key holds a character that HTTP cannot carry; is there a line end in it?")
    _check_request(backend, where)
    return backend


#: Fields of a request that are llmtui's own: to change them would measure something else than is shown.
_OWN_FIELDS = frozenset({"messages", "stream"})


def _check_request(backend: Backend, where: str) -> None:
    """The parts of a request that the config writes itself."""
    if taken := sorted(_OWN_FIELDS & backend.options.keys()):
        raise ConfigError(f"{where}: options: {taken[0]!r} is set by llmtui and cannot be changed")
    if backend.protocol != "custom":
        for key in ("body", "answer"):
            if getattr(backend, key):
                raise ConfigError(f"{where}: {key} goes with protocol = 'custom' only; remove it or set protocol")
    elif backend.body is not None and "{prompt}" not in repr(backend.body):
        raise ConfigError(f"{where}: body: '{{prompt}}' is nowhere in it, so the prompt would not be sent")


def _split_url(url: str, where: str) -> Any:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{where}: url: found {_show(url)}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{where}: url: found {_show(url)}, allowed is a full address such as 'http://127.0.0.1:8080'"
        )
    if port == 0:
        raise ConfigError(f"{where}: url: found {_show(url)}: port 0 cannot be asked")
    return parts


def _usual_url(backend: Backend, where: str, env: dict[str, str]) -> str:
    if backend.protocol == "ollama":
        url = ollama_url(env.get("OLLAMA_HOST", ""))
        try:
            _split_url(url, where)
        except ConfigError:
            raise ConfigError(f"OLLAMA_HOST: found {_show(env['OLLAMA_HOST'])}, allowed is host:port") from None
        return url
    for word in (backend.framework.lower(), backend.name.lower()):
        if backend.protocol != "custom" and word in USUAL_PORTS:
            return f"http://127.0.0.1:{USUAL_PORTS[word]}"
    raise ConfigError(f"{where}: url is missing; give one such as 'http://127.0.0.1:8080', or launch, or embedded")


def ollama_url(host: str) -> str:
    """The address that `OLLAMA_HOST` means, as Ollama itself reads it (host, host:port, :port or a URL)."""
    host = host.strip().strip("\"'")
    if not host:
        return "http://127.0.0.1:11434"
    scheme, sep, rest = host.partition("://")
    if not sep:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    default = {"http": "80", "https": "443"}.get(scheme, "11434") if sep else "11434"
    match = re.fullmatch(r"(\[[^\]]*\]|[^:/]*)(?::(\d+))?(/.*)?", rest)
    if match is None:
        return f"{scheme}://{rest}"
    name, port, path = match[1] or "127.0.0.1", match[2] or default, match[3] or ""
    name = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)
    return f"{scheme}://{name}:{port}{path}"


def _expand(value: Any, where: str, env: dict[str, str], secrets: list[str]) -> Any:
    """`${NAME}` from the environment, in every text of a backend. What was put in is added to `secrets`."""
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name not in env:
                raise ConfigError(
                    f"{where}: the environment variable {name} is not set; export it or remove ${{{name}}}"
                )
            secrets.append(env[name])
            return env[name]

        if re.search(r"\$\{(?!\w+\})", value):
            raise ConfigError(f"{where}: '${{' begins the name of an environment variable: write ${{NAME}}")

        return re.sub(r"\$\{(\w+)\}", replace, value)
    if isinstance(value, list):
        return [_expand(v, where, env, secrets) for v in value]
    if isinstance(value, dict):
        return {k: _expand(v, where, env, secrets) for k, v in value.items()}
    return value
