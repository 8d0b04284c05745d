"""The engine's socket admits only its owner, whatever the permissions around it."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from tests.engine.helpers import engine_for, plan_of, truth_backend
from tests.hostile.strangers import Send, needs_root, run_as


def answer_to_stranger(path: Path) -> bytes:
    """Connect to the socket as another user. Return the name of the error, or "received: " and the bytes."""

    def connect(send: Send) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            send(b"received: " + client.recv(100))

    return run_as(connect)


async def test_folder_and_socket_are_created_private() -> None:
    async with engine_for(plan_of(truth_backend("a"))) as followed:
        path = followed.engine.socket
        for place, mode in ((path, 0o600), (path.parent, 0o700), (path.parent.parent, 0o700)):
            assert stat.S_IMODE(place.stat().st_mode) == mode
            assert place.stat().st_uid == os.getuid()
        await followed.until_done()


@pytest.mark.slow
@needs_root
async def test_another_user_is_refused_even_if_all_permissions_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="llmtui-s-", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        async with engine_for(plan_of(truth_backend("a"))) as followed:
            path = followed.engine.socket
            assert answer_to_stranger(path) == b"PermissionError"
            for place in (Path(runtime), path.parent.parent, path.parent):
                place.chmod(0o777)
            path.chmod(0o666)
            # Only the peer credentials from the kernel distinguish the two users now.
            assert answer_to_stranger(path) == b"received: "
            run_view = await followed.until_done()
            assert not run_view.failed, "the run is not affected"
