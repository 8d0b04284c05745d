"""A disk without room, and homes that cannot be written to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from llmtui.link.client import Client
from llmtui.model import Hello, IterationDone, Note
from tests.engine.helpers import engine_for
from tests.faults.harness import (
    IS_ROOT,
    NOBODY,
    NOT_STORED,
    STORED_AGAIN,
    mounted,
    notes_of,
    plan_for,
    server,
    stored_run,
)
from tests.leftovers import command_line
from tests.scripted import Scripted

pytestmark = pytest.mark.usefixtures("own_folders")


class LimitedFolder:
    """A folder that can be filled up for an engine, and emptied again."""

    def __init__(self, folder: Path, *, limit: bool) -> None:
        self.folder = folder
        self._limit = limit
        self._before = (0, 0)

    def fill(self, engine: int) -> None:
        if self._limit:
            # Files of the engine cannot grow any more.
            self._before = resource.prlimit(engine, resource.RLIMIT_FSIZE)
            resource.prlimit(engine, resource.RLIMIT_FSIZE, (0, self._before[1]))
            return
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"\0" * 4096)

    def free(self, engine: int) -> None:
        if self._limit:
            resource.prlimit(engine, resource.RLIMIT_FSIZE, self._before)
        else:
            (self.folder / "ballast").unlink()


@pytest.fixture(params=["small disk", "file size limit"])
def limited_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LimitedFolder]:
    if request.param == "small disk":
        with mounted(tmp_path / "disk", "size=1m") as folder:
            yield LimitedFolder(folder, limit=False)
    else:
        yield LimitedFolder(tmp_path, limit=True)


@pytest.mark.parametrize("freed", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_full_disk(limited_folder: LimitedFolder, freed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = limited_folder.folder / "history.db"
    monkeypatch.setenv("LLMTUI_STORE", str(file))
    gates = [asyncio.Event() for _ in range(4)]
    async with server(*gates) as served, engine_for(plan_for(served, 4)) as run:
        gates[0].set()
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 1)
        limited_folder.fill(run.engine.pid)
        gates[1].set()
        gates[2].set()
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 3)
        (note,) = notes_of(run)
        assert note.startswith(NOT_STORED) and "full" in note
        index = next(n for n, event in enumerate(run.events) if isinstance(event, Note))
        assert sum(isinstance(event, IterationDone) for event in run.events[:index]) == 1, "the note comes first"
        async with await Client.connect(run.engine.socket) as late:
            hello = await anext(late.events())
        assert isinstance(hello, Hello)
        assert [each.text for each in hello.notes] == [note]
        if freed:
            limited_folder.free(run.engine.pid)
        gates[3].set()
        run_view = await run.until_done()
        assert run_view.backends["a"].summary.n == 4
        assert notes_of(run) == ([note, STORED_AGAIN] if freed else [note])
    if not freed and file.parent != Path(os.environ["XDG_RUNTIME_DIR"]):
        (file.parent / "ballast").unlink()
    stored = stored_run(file, run)
    iterations = run_view.backends["a"].iterations
    assert stored.iterations == (iterations if freed else iterations[:1])
    if freed:
        assert stored.state == "done"


def config_for(served: Scripted, folder: Path) -> str:
    file = folder / "race.toml"
    file.write_text(f"[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nurl = '{served.url}'\nmodel = 'm'\n")
    return str(file)


async def llmtui_run(config: str, *prefix: str, **environment: str) -> tuple[int, str, str]:
    """Run `llmtui run` without an option for the history."""
    unset = ("HOME", "LLMTUI_STORE", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    child = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", "llmtui", "run", config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if k not in unset}, **environment},
    )
    out, err = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written to. Root can write to any folder, except on a read-only disk."""
    if IS_ROOT:
        with mounted(tmp_path / "home", "size=1m,ro") as folder:
            yield folder
    else:
        (tmp_path / "home").mkdir(mode=0o500)
        yield tmp_path / "home"


async def test_read_only_home(read_only: Path, tmp_path: Path) -> None:
    async with server() as served:
        code, out, err = await llmtui_run(config_for(served, tmp_path), HOME=str(read_only))
    assert code == 0, err
    assert out.count("TTFT") >= 2
    file = read_only / ".local/share/llmtui/history.db"
    assert f"{NOT_STORED}no permission to write to the history {file}; use another file with --store" in err
    assert "Traceback" not in err


@pytest.fixture
def no_home() -> list[str]:
    """A command prefix that runs a command as a user without a home."""
    command = ["unshare", "--user", f"--map-user={NOBODY}"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no user namespaces here")
    return command


async def test_user_without_a_home(no_home: list[str], tmp_path: Path) -> None:
    async with server() as served:
        code, out, err = await llmtui_run(config_for(served, tmp_path), *no_home)
    assert code == 0, err
    assert out.count("TTFT") >= 2
    assert f"{NOT_STORED}there is no home folder for the history; set HOME, or name a file with --store" in err
    assert "Traceback" not in err


def test_no_process_is_left() -> None:
    children = psutil.Process().children(recursive=True)
    assert [p for p in children if "llmtui" in " ".join(command_line(p))] == []
