"""Takes the keys out of a slice before it goes to another machine, and puts that machine's own keys in there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

import msgspec

from llmtui.cluster.messages import Sealed
from llmtui.config.named_secrets import is_secret_variable
from llmtui.load.messages import Slice
from llmtui.load.prompts import Template
from llmtui.model import Backend, secret_values
from llmtui.text import Redactor


class SealError(Exception):
    """A slice has a key that cannot travel, or a machine lacks one. The text says what to do."""


def sealed(of: Slice, redact: Redactor, environ: Mapping[str, str]) -> Sealed:
    """Return `of` without its keys. `redact` knows the keys of the run. Raises SealError for one that is not the value
    of a variable in `environ`."""
    secret = sorted((value for value in secret_values(of.backend) if redact(value) != value), key=len, reverse=True)
    named = {value: names for value in secret if (names := _names(value, environ))}
    marker = f"[{secrets.token_hex(8)}:"
    places = {value: f"{marker}{number}." for number, value in enumerate(named)}

    def plain(text: str) -> str:
        for value, place in places.items():
            text = text.replace(value, place)
        return text

    def in_json(text: str) -> str:
        for value, place in places.items():
            text = text.replace(json.dumps(value)[1:-1], place).replace(value, place)
        return text

    bare = _changed(of, plain, in_json, _bare(of.backend))
    _check(bare, redact)
    return Sealed(of=bare, marker=marker if named else "", names=list(named.values()))


def unsealed(given: Sealed, environ: Mapping[str, str]) -> tuple[Slice, list[str]]:
    """Return the slice with the keys that `environ` has, and these keys. Raises SealError if one is not set."""
    if not given.marker:
        return given.of, []
    values = []
    for names in given.names:
        value = next((environ[name] for name in names if environ.get(name)), "")
        if not value:
            raise SealError(f"the environment variable {names[0]} is not set there; export it before the worker starts")
        values.append(value)

    def plain(text: str) -> str:
        for number, value in enumerate(values):
            text = text.replace(f"{given.marker}{number}.", value)
        return text

    def in_json(text: str) -> str:
        for number, value in enumerate(values):
            text = text.replace(f"{given.marker}{number}.", json.dumps(value)[1:-1])
        return text

    return _changed(given.of, plain, in_json, given.of.backend), values


def _names(value: str, environ: Mapping[str, str]) -> list[str]:
    """Return the variables with this value, those first whose names suggest it."""
    names = sorted(name for name, has in environ.items() if has == value)
    return sorted(names, key=lambda name: not is_secret_variable(name, ""))


def _bare(backend: Backend) -> Backend:
    """Return what a worker needs of a backend: how its answers are read."""
    return msgspec.structs.replace(
        backend, api_key="", headers={}, secrets=[], env={}, launch=[], options={}, body=None, url="", program=""
    )


def _changed(of: Slice, plain: Callable[[str], str], in_json: Callable[[str], str], backend: Backend) -> Slice:
    def body(template: Template) -> Template:
        return msgspec.structs.replace(template, body=in_json(template.body.decode()).encode())

    return msgspec.structs.replace(
        of,
        backend=backend,
        url=plain(of.url),
        headers={plain(name): plain(value) for name, value in of.headers.items()},
        template=body(of.template),
        probe=body(of.probe) if of.probe is not None else None,
    )


def _check(bare: Slice, redact: Redactor) -> None:
    texts = [*bare.headers.items(), ("url", bare.url), ("body", bare.template.body.decode())]
    if bare.probe is not None:
        texts.append(("body", bare.probe.body.decode()))
    for name, text in texts:
        if redact(text) != text:
            raise SealError(
                f"a key of {bare.backend.name!r} ({name}) stands in the config, and keys do not travel to other "
                "machines; write ${NAME} there, and export NAME here and where the workers run"
            )
    rest = msgspec.structs.replace(bare, headers={}, url="", template=Template(body=b""), probe=None, prompt_index=b"")
    text = msgspec.json.encode(rest).decode()
    if redact(text) != text:
        raise SealError(f"a key of {bare.backend.name!r} stands in a setting that would travel; write ${{NAME}} there")
