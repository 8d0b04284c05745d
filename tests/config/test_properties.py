"""Any config gives a plan or a one-line error, and any text of a server is sanitized and redacted."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtui.config.schema import Config, ConfigError, parse
from llmtui.model import Backend, RunConfig
from llmtui.text import redact, sanitize, sanitize_lines
from llmtui.text.redaction import HIDDEN
from tests.examples import examples
from tests.fuzz.targets import config as holds

quick = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    _TEXTS,
    st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 1, 1)),
)
_VALUES = st.recursive(
    _SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(_TEXTS, v, max_size=3), max_leaves=6
)


def _keys(struct: type[msgspec.Struct]) -> st.SearchStrategy[str]:
    return st.sampled_from([f.name for f in msgspec.structs.fields(struct)]) | _TEXTS


_TABLES = st.fixed_dictionaries(
    {},
    optional={
        "run": st.dictionaries(_keys(RunConfig), _VALUES, max_size=3) | _VALUES,
        "ui": st.dictionaries(st.sampled_from(["theme", "marker", "keys"]), _VALUES, max_size=2) | _VALUES,
        "backend": st.lists(st.dictionaries(_keys(Backend), _VALUES, max_size=4) | _VALUES, max_size=3) | _VALUES,
        "other": _VALUES,
    },
)


def toml(value: Any) -> str:
    """Return `value` as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


@quick
@given(_TABLES)
def test_any_toml_is_a_plan_or_an_error(table: dict[str, Any]) -> None:
    holds("".join(f"{key} = {toml(value)}\n" for key, value in table.items()).encode())


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_a_plan_or_an_error(data: bytes) -> None:
    holds(data)


_RUNS = st.builds(
    RunConfig,
    prompt=_TEXTS.filter(lambda t: bool(t.strip())),
    iterations=st.integers(1, 1_000_000),
    warmup=st.integers(0, 10_000),
    temperature=st.floats(0, 10),
    seed=st.integers(0, 2**31 - 1),
    order=st.sampled_from(["round-robin", "sequential", "shuffled"]),
    timeout_s=st.floats(0.001, 86_400),
)
_NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40)
_HOSTS = st.sampled_from(["h", "[::1]", "10.0.0.1"])
_BACKENDS = st.builds(
    Backend,
    name=_NAMES,
    framework=_TEXTS.filter(bool),
    url=st.builds("http://{}:{}/v1".format, _HOSTS, st.integers(1, 65535)),
    headers=st.dictionaries(st.sampled_from(["X-A", "x-b", "C"]), st.text("aZ09 ~=;", max_size=8)),
    options=st.dictionaries(
        st.sampled_from(["top_p", "stop", "user"]), st.integers(-(2**63), 2**64 - 1) | st.booleans(), max_size=2
    ),
)


@quick
@given(_RUNS, st.lists(_BACKENDS, min_size=1, max_size=3, unique_by=lambda b: b.name))
def test_a_valid_config_is_parsed_unchanged(run: RunConfig, backends: list[Backend]) -> None:
    tables = msgspec.to_builtins(Config(run=run, backend=backends))
    text = f"run = {toml(tables.get('run', {}))}\nbackend = {toml(tables['backend'])}\n".replace("${", "$ {")
    try:
        read = parse(text, source="c.toml", folder=Path("/c"), environ={})
    except ConfigError as error:
        raise AssertionError(text) from error
    assert read.run.iterations == run.iterations and read.run.temperature == run.temperature
    assert [(b.name, b.url, b.headers) for b in read.backend] == [
        (b.name.replace("${", "$ {"), b.url, b.headers) for b in backends
    ]


_WORDS = st.text(st.characters(categories=["L", "Zs"]), max_size=20)
_NASTY = st.text(
    st.sampled_from(
        "ab \t\r\n\x00\x07\x1b[]PX^_()\\;:0159mhlJKHABCD\x7f\x84\x85\x90\x9b\x9c\x9d"
        "\u0301\u200b\u2028\u202e\u2066\ufeff\ue000\ud800é漢"
    )
)


@quick
@given(_NASTY | st.text(), st.integers(2, 40))
def test_sanitize_returns_a_printable_line_and_is_idempotent(text: str, limit: int) -> None:
    line = sanitize(text, limit)
    assert line.isprintable() and len(line) <= limit and sanitize(line, limit) == line
    line.encode()
    assert all(line.isprintable() for line in sanitize_lines(text))


@quick
@given(_WORDS, _WORDS, st.sampled_from(["", "\u200b", "\x00", "\x1b[0m"]), st.integers(8, 22))
def test_a_secret_is_redacted_in_every_encoding(before: str, after: str, between: str, cut: int) -> None:
    secret = "sk-0123456789-very-secret"
    for echo in (secret + after, between.join(secret) + after, secret[:cut] + "…" + after, secret[:cut]):
        shown = sanitize(redact(before + echo, [secret]))
        assert HIDDEN in shown and secret[:8] not in shown
