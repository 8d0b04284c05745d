"""The real programs, where they are on PATH. Not marked `real`: llamafile is in no package registry."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.servers import launcher
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.listening_ports import listening_on
from llmtui.servers.ports import free_port, port_of
from tests.own.shared import quiet

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("llamafile"), reason="no llamafile on PATH")]
CONFIG = RunConfig(threads=1)


async def test_llamafile_loads_and_listens_on_this_machine_only(tmp_path: Path) -> None:
    managed = ManagedServer(Backend(name="x", server="llamafile"), CONFIG, tmp_path)
    ready = await managed.start(quiet)
    try:
        assert ready.version.startswith("llamafile 0.")
        assert managed.pid is not None
        assert {(str(one.address), one.port) for one in listening_on(managed.pid)} == {
            ("127.0.0.1", port_of(ready.url))
        }
    finally:
        await managed.stop()


async def test_llamafile_is_started_again_if_its_port_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [free_port(), taken.getsockname()[1]]
        monkeypatch.setattr(launcher, "free_port", ports.pop)
        first = ports[0]
        managed = ManagedServer(Backend(name="x", server="llamafile"), CONFIG, tmp_path)
        ready = await managed.start(quiet)
        await managed.stop()
    assert port_of(ready.url) == first
