"""Finds server programs on this machine, and asks each for its version."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import importlib.util
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping

from llmtui.config.frameworks import OWN_SERVERS, framework_of_server, own_server
from llmtui.config.own_servers import OwnServer
from llmtui.model import Backend, Program
from llmtui.servers.base import missing
from llmtui.servers.environment import secret_variables

#: How long a program may take to print its version, and how much of its output is read (bytes).
VERSION_S = 5.0
MAX_OUTPUT_BYTES = 16_384


def programs() -> list[Program]:
    """Return the server programs that are on PATH or in their usual places, one of each framework. Starts none."""
    return [Program(server=own.server, path=path) for own in OWN_SERVERS if (path := find(own)) and _usable(own)]


def find(own: OwnServer) -> str:
    """Return the path of the program, "" if it is not here.

    One that was installed with llmtui is not it if the framework has an embedded engine. A file in a usual place, which
    the user did not put on PATH, must not belong to another user, nor may others write to it.
    """
    on_path = (path for name in own.programs for path in _on_path(name))
    others = (path for pattern in own.patterns for path in sorted(glob.glob(os.path.expanduser(pattern))))
    has_engine = bool(framework_of_server(own.server).engine)
    paths = _executable(on_path, (path for path in others if is_private(path)))
    return next((path for path in paths if not (has_engine and _in_own_environment(path))), "")


def is_private(path: str) -> bool:
    """Whether only this user and root can change a file: it, and the folder that it is in."""
    try:
        real = os.path.realpath(path)
        info, folder = os.stat(real), os.stat(os.path.dirname(real))
    except OSError:
        return False
    mine = {0, os.getuid()}
    # A group with the user's own number is that user's alone, as on Debian and Fedora.
    by_group = info.st_mode & stat.S_IWGRP and info.st_gid not in mine
    open_folder = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    return {info.st_uid, folder.st_uid} <= mine and not (info.st_mode & stat.S_IWOTH or by_group or open_folder)


def program_of(backend: Backend) -> str:
    """Return the path of a backend's program: as the config says, else as found. Raises StartError."""
    if backend.program:
        if path := shutil.which(backend.program):
            return os.path.abspath(path)
        raise missing(
            f"{backend.program} {_problem(backend.program)}", f"correct `program` in [[backend]] {backend.name}"
        )
    own = own_server(backend.server)
    if path := find(own):
        return path
    hint = f'install it, or set program = "/path/to/{own.programs[0]}" in [[backend]] {backend.name}'
    raise missing(f"{own.programs[0]} is not on PATH", hint)


def _problem(program: str) -> str:
    """Why a program that the config names cannot be started."""
    if os.sep not in program:
        return "is not on PATH"
    if os.path.isdir(program):
        return "is a folder, not a program"
    return "is not executable" if os.path.exists(program) else "does not exist"


async def version_text(
    program: str, *words: str, env: Mapping[str, str] | None = None, limit_s: float = VERSION_S
) -> str:
    """Return what the program prints when it is asked for its version (`words`, by default --version), "" if nothing.

    It gets no terminal, no input and no key, but `env` beside llmtui's environment; after `limit_s` seconds it is
    killed.
    """
    ours, theirs = os.pipe()
    # A pipe of our own, because a child of the program may hold the other end open.
    reader = asyncio.StreamReader(limit=MAX_OUTPUT_BYTES)
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
        )
    except BaseException:
        os.close(theirs)
        raise
    output = bytearray()
    reading = asyncio.create_task(_read_into(output, reader))
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *(words or ("--version",)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={name: os.environ[name] for name in os.environ.keys() - secret_variables(os.environ)} | dict(env or {}),
            start_new_session=True,
        )
    except BaseException as error:
        reading.cancel()
        transport.close()
        if isinstance(error, OSError):
            return ""
        raise
    finally:
        os.close(theirs)
    try:
        async with asyncio.timeout(limit_s):
            await process.wait()
        ended = True
    except TimeoutError:
        ended = False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        # What it printed is in the pipe: the end of it comes at once, but for a child in a session of its own.
        await asyncio.wait({reading}, timeout=0.2)
        reading.cancel()
        transport.close()
    return output.decode("utf-8", "replace") if ended else ""


async def _read_into(output: bytearray, stream: asyncio.StreamReader) -> None:
    while more := await stream.read(MAX_OUTPUT_BYTES):
        output += more[: MAX_OUTPUT_BYTES - len(output)]


def interpreter_of(path: str) -> str:
    """Return the program in the first line of a script, "" if it has none."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return ""
    words = line[2:].strip(b" \t\n").split(b" ") if line.startswith(b"#!") else []
    return words[0].decode("utf-8", "replace") if words else ""


def version_number(text: str, pattern: str = r"\d+(?:\.\d+)+") -> str:
    """Return the first version number in a text, "" if it has none."""
    match = re.search(pattern, text)
    return (match[1] if match.lastindex else match[0]) if match else ""


def _usable(own: OwnServer) -> bool:
    """Whether llmtui has the packages with which it prepares the model for this program."""
    return all(importlib.util.find_spec(package) for package in own.needs)


def _on_path(name: str) -> Iterable[str | None]:
    """Return the programs of this name on PATH, the first alone if it is not a pattern."""
    if glob.escape(name) == name:
        return [shutil.which(name)]
    folders = filter(None, os.environ.get("PATH", "").split(os.pathsep))
    return [path for folder in folders for path in sorted(glob.glob(os.path.join(glob.escape(folder), name)))]


def _executable(*paths: Iterable[str | None]) -> Iterable[str]:
    for group in paths:
        for path in group:
            if path and os.path.isfile(path) and os.access(path, os.X_OK):
                yield os.path.abspath(path)


def _in_own_environment(path: str) -> bool:
    """Whether a program was installed with llmtui: then it is that of an embedded engine."""
    return os.path.dirname(path) == os.path.dirname(os.path.abspath(sys.executable))
