"""Versions of server programs: which one a program is, and whether llmtui knows its command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from llmtui.config.frameworks import own_server
from llmtui.model import Backend, OwnServerName
from llmtui.servers.base import Ready
from llmtui.servers.own.programs import version_number

#: As many numbers of a version are compared: "0.10.1" is a 0.10.
_NUMBERS = 2
#: A longer number is none of a version, and Python refuses to read a very long one.
_MOST_DIGITS = 12


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (0, 9, 3) for "0.9.3-rc1", () if it has none."""
    parts: list[int] = []
    for part in version.split("-")[0].split("."):
        if not part.isdecimal() or len(part) > _MOST_DIGITS:
            break
        parts.append(int(part))
    return tuple(parts)


def at_least(version: str, oldest: str) -> bool:
    """Whether a version is `oldest` or newer. An unknown one is taken for a new one."""
    return not numbers(version) or numbers(version) >= numbers(oldest)


def unknown_version(version: str, known: Sequence[str]) -> str:
    """Return the remark on a version that is not one of `known`, oldest first; "" if it is, or between two of them."""
    if not known:
        return ""
    if not numbers(version):
        return "its version is unknown"
    found, oldest, newest = (numbers(one)[:_NUMBERS] for one in (version, known[0], known[-1]))
    if found > newest:
        return f"version {version} is newer than {known[-1]}, which llmtui knows"
    return f"version {version} is older than {known[0]}, which llmtui knows" if found < oldest else ""


def other_program(server: OwnServerName) -> str:
    """What to do about a program that does not take the command line of this server."""
    own = own_server(server)
    versions = " or ".join(filter(None, (own.checked, own.read)))
    return f"set `program` to {own.programs[0]} {versions}, which llmtui knows, or start yours with `launch`"


def with_remark(ready: Ready, backend: Backend) -> Ready:
    """Add to the note of an own server that llmtui does not know its version."""
    if not backend.server:
        return ready
    version = version_number(ready.version)
    texts = (unknown_version(version, own_server(backend.server).known), ready.note)
    return dataclasses.replace(ready, note="; ".join(filter(None, texts)))
