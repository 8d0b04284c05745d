"""The folder and the socket of a run, and viewers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from llmtui.link import server as link_server
from llmtui.link.client import Client
from llmtui.link.process import live_runs
from llmtui.link.run_folders import EngineError, runtime_folder
from llmtui.link.server import LinkServer
from llmtui.model import Hello, IterationDone, Machine, RunState
from tests import build
from tests.engine.helpers import engine_for, plan_of
from tests.faults.harness import IS_ROOT, NOBODY, plan_for, server, wait_until

pytestmark = pytest.mark.usefixtures("own_folders")


async def test_viewer_that_never_reads_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_server, "MAX_QUEUED_BYTES", 2_000_000)
    hello = Hello(plan=plan_of(), machine=Machine(), run=RunState(), backends=[])
    viewer_changes: list[bool] = []
    link = LinkServer(tmp_path / "engine.sock", lambda: hello, lambda _: None, viewer_changes.append)
    await link.open()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(tmp_path / "engine.sock"))
        async with await Client.connect(tmp_path / "engine.sock") as reader, asyncio.timeout(10):
            events = reader.events()
            assert await anext(events) == msgspec.structs.replace(hello, skipped=0)
            assert len(link.pids) == 2
            sent = [IterationDone(iteration=build.iteration("a", n, None, text="x" * 100_000)) for n in range(50)]
            for event in sent:
                link.emit(event)
                assert await anext(events) == event
            await wait_until(lambda: len(link.pids) == 1)
            mute.settimeout(5)
            with contextlib.suppress(ConnectionError):
                while mute.recv(1_000_000):
                    pass
    await link.close()
    assert viewer_changes[-1] is False


@pytest.fixture
def runtime_folders(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two possible runtime folders, in order of preference."""
    parents = []
    for name in ("x", "t"):
        (short_path / name).mkdir()
        parents.append(short_path / name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(parents[0]))
    monkeypatch.setattr(tempfile, "tempdir", str(parents[1]))
    return parents[0] / "llmtui", parents[1] / f"llmtui-{os.getuid()}"


def _link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def _foreign(folder: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root may give a folder away")
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)


def _file(folder: Path) -> None:
    folder.touch()


@pytest.mark.parametrize("spoil", [_link, _foreign, _file])
def test_runtime_folder_that_is_not_ours(runtime_folders: tuple[Path, Path], spoil: object) -> None:
    assert callable(spoil)
    first, second = runtime_folders
    spoil(first)
    assert runtime_folder() == second, "the next folder is used"
    second.rmdir()
    spoil(second)
    with pytest.raises(EngineError, match=r"is not a folder of this user|File exists") as error:
        runtime_folder()
    assert "set XDG_RUNTIME_DIR to a folder of yours" in str(error.value)


def test_permissions_of_the_runtime_folder_are_restricted(runtime_folders: tuple[Path, Path]) -> None:
    runtime_folders[0].mkdir()
    runtime_folders[0].chmod(0o777)
    assert runtime_folder() == runtime_folders[0]
    assert runtime_folders[0].stat().st_mode & 0o777 == 0o700


def test_socket_path_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    config = tmp_path / "race.toml"
    config.write_text("[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n")
    done = subprocess.run(
        [sys.executable, "-m", "llmtui", "run", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(deep), "TMPDIR": str(deep)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("llmtui: no private folder for the run: ")
    assert done.stderr.endswith("the path is too long for a socket; set XDG_RUNTIME_DIR to a folder of yours\n")


async def test_stale_socket(tmp_path: Path) -> None:
    stale = runtime_folder() / "0123abcd" / "engine.sock"
    stale.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    assert stale.exists()
    assert live_runs() == []
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(stale)
    async with server() as served, engine_for(plan_for(served, 1)) as run:
        await run.until_done()
        assert [r.run for r in live_runs()] == [run.run_view.plan.run]


@contextlib.contextmanager
def listening(path: Path, user: int) -> Iterator[None]:
    """Listen at `path` in a process of another user. Forked, as that user may be unable to read this Python."""
    ready, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(user)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            os.write(write_end, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(write_end)
    try:
        assert os.read(ready, 1) == b"1"
        yield
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def test_engine_of_another_user_is_refused() -> None:
    if not IS_ROOT:
        pytest.skip("only root may start a process of another user")
    with tempfile.TemporaryDirectory(prefix="llmtui-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        path = Path(folder) / "engine.sock"
        with listening(path, NOBODY), pytest.raises(PermissionError, match="another user listens there"):
            await Client.connect(path)
