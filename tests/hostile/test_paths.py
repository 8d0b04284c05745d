"""Stored, received or configured text is never used as the path of a file that is removed."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from llmtui.link import run_folders
from llmtui.link.process import STARTING_NS, EngineLaunch, EngineProcess, live_runs
from llmtui.link.run_folders import EngineError
from tests.engine.helpers import plan_of, truth_backend


@pytest.fixture(autouse=True)
def runtime(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    return run_folders.runtime_folder()


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """A folder of the user with a file."""
    folder = tmp_path / "treasure"
    folder.mkdir()
    (folder / "engine.log").write_text("mine")
    return folder


def age(folder: Path) -> None:
    """Set the time of `folder` so that its engine would have started by now."""
    past = time.time_ns() - 2 * STARTING_NS
    os.utime(folder, ns=(past, past), follow_symlinks=False)


IDS = [
    "{treasure}",
    "../../treasure",
    "..",
    ".",
    "",
    "12345678/..",
    "1234567",
    "1234567G",
    "12345678\n",
    "ABCDEF01",
    "٣" * 8,
]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("run", IDS)
def test_a_run_id_that_is_a_path_starts_and_removes_nothing(
    run: str, resume: bool, treasure: Path, runtime: Path
) -> None:
    plan = msgspec.structs.replace(plan_of(truth_backend("a")), run=run.format(treasure=treasure))
    with pytest.raises(EngineError, match="is not the id of a run"):
        EngineProcess.start(plan, resume=resume)
    assert (treasure / "engine.log").read_text() == "mine"
    assert list(runtime.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("run", ["{treasure}", "..", "", "12345678\n"])
def test_the_engine_refuses_a_run_id_that_is_a_path(run: str, treasure: Path) -> None:
    plan = msgspec.structs.replace(plan_of(truth_backend("a")), run=run.format(treasure=treasure))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "llmtui.engine"],
        input=msgspec.json.encode(EngineLaunch(plan=plan)) + b"\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and b"is not the id of a run" in done.stderr and b"Traceback" not in done.stderr
    assert (treasure / "engine.log").read_text() == "mine"


def test_a_link_instead_of_a_run_folder_is_neither_followed_nor_removed(treasure: Path, runtime: Path) -> None:
    run = secrets.token_hex(4)
    (runtime / run).symlink_to(treasure)
    age(runtime / run)
    run_folders.remove(run)
    assert live_runs() == []
    with pytest.raises(EngineError, match="is already running"):
        EngineProcess.start(msgspec.structs.replace(plan_of(truth_backend("a")), run=run), resume=True)
    assert (treasure / "engine.log").read_text() == "mine"


def test_a_link_inside_the_folder_of_a_run_is_removed_and_not_followed(treasure: Path, runtime: Path) -> None:
    run = secrets.token_hex(4)
    folder, log = run_folders.make(run)
    os.close(log)
    (folder / "server-1").symlink_to(treasure)
    age(folder)
    assert live_runs() == []
    assert list(runtime.iterdir()) == []
    assert (treasure / "engine.log").read_text() == "mine"


def test_foreign_files_in_the_runtime_folder_are_not_removed(runtime: Path) -> None:
    """XDG_RUNTIME_DIR may be any folder, and `llmtui` in it may be a checkout."""
    (runtime / "tests").mkdir()
    (runtime / "tests" / "engine.log").touch()
    (runtime / "deadbeef").mkdir()
    (runtime / "deadbeef" / "thesis.tex").touch()
    for folder in runtime.iterdir():
        age(folder)
    assert live_runs() == []
    for run in ("tests", "deadbeef"):
        run_folders.remove(run)
    assert sorted(path.name for path in runtime.rglob("*")) == ["deadbeef", "engine.log", "tests", "thesis.tex"]


def test_folders_of_killed_engines_are_removed_and_those_of_living_ones_stay(runtime: Path) -> None:
    made = [run_folders.make(secrets.token_hex(4)) for _ in range(4)]
    dead, fresh, alive, starting = (folder for folder, _ in made)
    for _, log in made[:3]:
        os.close(log)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(alive / run_folders.SOCKET_NAME))
        listener.listen()
        for folder in (dead, alive, starting):
            age(folder)
        assert [run.run for run in live_runs()] == [alive.name]
    # An engine that is still starting has its log open.
    assert sorted(runtime.iterdir()) == sorted([fresh, alive, starting])
    os.close(made[3][1])


async def test_a_second_resume_does_not_remove_the_folder_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both started before either listened."""
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))
    plan = plan_of(truth_backend("a"), iterations=1000)
    first = EngineProcess.start(plan)
    try:
        for _ in range(3):
            with pytest.raises(EngineError, match=r"is already running|is still running"):
                EngineProcess.start(plan, resume=True)
        client = await first.connect()
        assert first.socket.exists() and [run.run for run in live_runs()] == [plan.run]
        await client.close()
        assert await first.wait()
    finally:
        first.kill()
    assert not first.socket.parent.exists()


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_socket_folder_that_others_can_replace_is_not_used(
    mode: int, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = short_path / "open"
    place.mkdir()
    place.chmod(mode)
    if mode == 0o770:
        os.chown(place, -1, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    assert run_folders.runtime_folder().parent == Path(tempfile.gettempdir())
    place.chmod(0o1777)
    assert run_folders.runtime_folder() == place / "llmtui"


def test_a_run_folder_without_a_log_does_not_block(runtime: Path) -> None:
    run = secrets.token_hex(4)
    (runtime / run).mkdir(mode=0o700)
    run_folders.remove(run)
    folder, log = run_folders.make(run)
    (folder / "server-1").mkdir()
    (folder / "server-1" / "x.log").touch()
    run_folders.remove(run)
    assert (folder / "server-1" / "x.log").exists(), "its log is locked"
    os.close(log)
    run_folders.remove(run)
    assert not folder.exists()
