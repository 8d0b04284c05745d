"""Finds server programs on this machine, and asks each for its version."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import re
import shutil
import sys
from collections.abc import Iterable

from llmtui.config.frameworks import OWN_SERVERS, own_server
from llmtui.config.own_servers import OwnServer
from llmtui.model import Backend, Program
from llmtui.servers.base import missing

#: How long a program may take to print its version, and how much of its output is read (bytes).
VERSION_S = 5.0
MAX_OUTPUT_BYTES = 16_384


def programs() -> list[Program]:
    """Return the server programs that are on PATH or in their usual places, one of each framework. Starts none."""
    return [Program(server=own.server, path=path) for own in OWN_SERVERS if (path := find(own))]


def find(own: OwnServer) -> str:
    """Return the path of the program, "" if it is not here. One that belongs to llmtui's own environment is not it."""
    on_path = (shutil.which(name) for name in own.programs)
    others = (path for pattern in own.patterns for path in sorted(glob.glob(os.path.expanduser(pattern))))
    return next((path for path in _executable(on_path, others) if not _in_own_environment(path)), "")


def program_of(backend: Backend) -> str:
    """Return the path of a backend's program: as the config says, else as found. Raises StartError."""
    if backend.program:
        if not os.access(backend.program, os.X_OK) or os.path.isdir(backend.program):
            what = "is not executable" if os.path.exists(backend.program) else "does not exist"
            raise missing(f"{backend.program} {what}", f"correct `program` in [[backend]] {backend.name}")
        return backend.program
    own = own_server(backend.server)
    if path := find(own):
        return path
    hint = f'install it, or set program = "/path/to/{own.programs[0]}" in [[backend]] {backend.name}'
    raise missing(f"{own.programs[0]} is not on PATH", hint)


async def version_text(program: str, *words: str) -> str:
    """Return what the program prints when it is asked for its version (`words`, by default --version), "" if nothing.

    It gets no terminal and no input, and is killed after `VERSION_S`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *(words or ("--version",)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:
        return ""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(VERSION_S):
            output = await process.stdout.read(MAX_OUTPUT_BYTES)
            while more := await process.stdout.read(MAX_OUTPUT_BYTES):
                output = (output + more)[:MAX_OUTPUT_BYTES]
            return output.decode("utf-8", "replace")
    except TimeoutError:
        return ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


def version_number(text: str, pattern: str = r"\d+(?:\.\d+)+") -> str:
    """Return the first version number in a text, "" if it has none."""
    match = re.search(pattern, text)
    return (match[1] if match.lastindex else match[0]) if match else ""


def _executable(*paths: Iterable[str | None]) -> Iterable[str]:
    for group in paths:
        for path in group:
            if path and os.path.isfile(path) and os.access(path, os.X_OK):
                yield os.path.abspath(path)


def _in_own_environment(path: str) -> bool:
    """Whether a program was installed with llmtui: then it is that of an embedded engine."""
    return os.path.dirname(path) == os.path.dirname(os.path.abspath(sys.executable))
