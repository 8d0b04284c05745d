"""`resume` with a history from another source: commands and files that only the history names are not used."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import sys
import time
from pathlib import Path

import msgspec
import pytest

from llmtui.config import file as config_file
from llmtui.config.errors import ConfigError
from llmtui.engine.watch.machine import describe_machine
from llmtui.model import Backend
from llmtui.store.open import open_store
from tests import build
from tests.cli import in_process
from tests.hostile.serving import llmtui
from tests.hostile.strangers import NOBODY, needs_root

RUN = "ab12cd34"


def history(folder: Path, source: str, backend: Backend, **config: object) -> Path:
    """Write a history with a run that died, from a config at `source`."""
    file = folder / "theirs.db"
    plan = build.plan(
        backend, run=RUN, created_utc="2026-11-22T15:00:00.000Z", source=source, iterations=2, warmup=0, **config
    )
    store, _ = open_store(file)
    with store:
        store.begin(plan, describe_machine())
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET state = 'died'")
    return file


def payload(folder: Path) -> tuple[Path, Backend, str]:
    """Return a file, a backend whose command creates it, and its config."""
    left = folder / "was-run"
    launch = [sys.executable, "-c", f"open({str(left)!r}, 'w')", "{port}"]
    text = (
        f"[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nlaunch = {msgspec.json.encode(launch).decode()}\n"
    )
    return left, Backend(name="a", framework="a", launch=launch), text


def refused(folder: Path, file: Path) -> str:
    """Return the stderr of `llmtui resume` in this process, which must refuse the run."""
    done = in_process.llmtui("resume", RUN, "--text", "--store", str(file), cwd=folder, XDG_RUNTIME_DIR=str(folder))
    assert done.returncode == 2 and "Traceback" not in done.stderr and "\x1b" not in done.stderr
    return done.stderr


def resumed(folder: Path, file: Path, *more: str) -> tuple[int, str]:
    """Return exit code and stderr of `llmtui resume`, which must end in time."""
    began = time.monotonic()
    done = llmtui(folder, "resume", RUN, "--text", "--store", str(file), *more)
    assert time.monotonic() - began < 20.0
    stderr = done.stderr.decode()
    assert "Traceback" not in stderr and "\x1b" not in stderr
    return done.returncode, stderr


@needs_root
@pytest.mark.parametrize("spoil", ["owner", "mode", "folder", "link to another user's"])
def test_a_config_named_by_a_history_must_be_trusted(spoil: str, tmp_path: Path) -> None:
    left, backend, text = payload(tmp_path)
    place = tmp_path / "elsewhere"
    place.mkdir()
    config = place / "config.toml"
    config.write_text(text)
    file = history(tmp_path, str(config), backend)
    if spoil == "owner":
        os.chown(config, NOBODY, NOBODY)
    elif spoil == "mode":
        config.chmod(0o666)
    elif spoil == "folder":
        place.chmod(0o777)
    else:
        other = tmp_path / "other"
        other.mkdir(mode=0o777)
        other.chmod(0o777)
        config.rename(other / "config.toml")
        config.symlink_to(other / "config.toml")
    stderr = refused(tmp_path, file)
    assert "a config can contain commands" in stderr
    assert f"llmtui resume {RUN} --config FILE" in stderr
    assert not left.exists()


def test_a_config_named_by_the_user_is_used(tmp_path: Path) -> None:
    left, backend, text = payload(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(text)
    config.chmod(0o666)
    file = history(tmp_path, str(config), backend)
    assert refused(tmp_path, file) and not left.exists()
    code, _ = resumed(tmp_path, file, "--config", str(config))
    assert code == 1, "the command exits before it answers"
    assert left.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "zero", "terminal", "socket", "folder", "relative", "nothing", "NUL", "kmsg"])
def test_config_paths_in_a_history_never_block(kind: str, tmp_path: Path) -> None:
    left, backend, text = payload(tmp_path)
    place = str(tmp_path / "config.toml")
    listener = None
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place)
    elif kind == "folder":
        Path(place).mkdir()
    elif kind == "relative":
        Path(place).write_text(text)
        place = "config.toml"
    elif kind == "NUL":
        place = "/tmp/\0"
    else:
        place = {"zero": "/dev/zero", "terminal": "/dev/tty", "kmsg": "/proc/kmsg", "nothing": place}[kind]
    code, stderr = resumed(tmp_path, history(tmp_path, place, backend))
    if listener is not None:
        listener.close()
    assert code in (1, 2) and stderr
    assert not left.exists()


def test_reading_a_config_from_a_blocked_file_system_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "config.toml"
    os.mkfifo(place)
    # An open that waits, like that of a blocked network share.
    monkeypatch.setattr(config_file, "read", lambda path, **_: path.read_text())
    monkeypatch.setattr(config_file, "NAMED_READ_S", 0.2)
    with pytest.raises(ConfigError, match=r"not read within 0.2 s; name a local copy: llmtui resume X --config FILE"):
        config_file.read_named_by_history(place, "llmtui resume X --config FILE")
    # Let the thread exit.
    os.close(os.open(place, os.O_WRONLY))


@pytest.mark.parametrize("kind", ["pipe", "secret", "zero"])
def test_a_model_that_only_the_history_names_is_not_opened(kind: str, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    if kind == "pipe":
        os.mkfifo(model)
    elif kind == "secret":
        model.write_text("the user's own")
    else:
        model.symlink_to("/dev/zero")
    config = tmp_path / "config.toml"
    config.write_text("[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nembedded = 'llama.cpp'\n")
    backend = Backend(name="a", framework="a", embedded="llama.cpp")
    stderr = refused(tmp_path, history(tmp_path, str(config), backend, model=str(model)))
    assert "[run]: model has changed since" in stderr


def test_commands_that_differ_from_the_config_are_not_run(tmp_path: Path) -> None:
    left, backend, _ = payload(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text("[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nlaunch = ['true', '{port}']\n")
    stderr = refused(tmp_path, history(tmp_path, str(config), backend))
    assert "launch has changed since" in stderr
    assert not left.exists()


@pytest.mark.parametrize(
    ("stored", "same"),
    [("id-***-x", True), pytest.param("***", True, marks=pytest.mark.slow), ("x-***", False), ("a***", False)],
)
def test_a_setting_that_an_older_version_redacted_is_still_the_same(tmp_path: Path, stored: str, same: bool) -> None:
    """Up to 0.1.0 every value from the environment was redacted in the plan; now only keys are."""
    text = "[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n"
    (tmp_path / "c.toml").write_text(text + "options = { user = 'id-${TEAM}-x' }\n")
    backend = Backend(name="a", framework="a", url="http://127.0.0.1:9", options={"user": stored})
    file = history(tmp_path, str(tmp_path / "c.toml"), backend)
    done = llmtui(tmp_path, "resume", RUN, "--text", "--store", str(file), TEAM="seven")
    assert (b"options has changed" in done.stderr) is not same
    assert done.returncode == (1 if same else 2), done.stderr
