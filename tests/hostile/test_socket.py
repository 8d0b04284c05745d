"""The engine's socket admits its owner and nobody else, whatever stands open around it."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from tests.engine.helpers import engine_for, plan_of, truth_backend

NOBODY = 65534


def said_to_a_stranger(path: Path) -> bytes:
    """What a process of another user is told at `path`: the name of its error, or the bytes that it got."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(10)
                knock.connect(str(path))
                os.write(write, b"told: " + knock.recv(100))
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with open(read, "rb") as answer:
        return answer.read()


async def test_folder_and_socket_are_private_from_the_first_moment() -> None:
    async with engine_for(plan_of(truth_backend("a"))) as followed:
        path = followed.engine.socket
        for place, mode in ((path, 0o600), (path.parent, 0o700), (path.parent.parent, 0o700)):
            assert stat.S_IMODE(place.stat().st_mode) == mode
            assert place.stat().st_uid == os.getuid()
        await followed.until_done()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_stranger_gets_in_neither_through_the_folder_nor_where_all_doors_stand_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="llmtui-s-", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        async with engine_for(plan_of(truth_backend("a"))) as followed:
            path = followed.engine.socket
            assert said_to_a_stranger(path) == b"PermissionError"
            for place in (Path(runtime), path.parent.parent, path.parent):
                place.chmod(0o777)
            path.chmod(0o666)
            # Only what the kernel says of the other end is left to tell the two apart.
            assert said_to_a_stranger(path) == b"told: "
            run_view = await followed.until_done()
            assert not run_view.failed, "and the run did not notice"
