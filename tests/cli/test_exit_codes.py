"""The exit code of every command, for each way in which it can end that needs no measurement.

Those of a race (0, 1, 130) are in test_cli.py, test_serve.py and test_compare.py.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui import exit_codes
from llmtui.cli.app import cli
from llmtui.exit_codes import FAILED, OK, SILENT, USAGE
from tests.cli.histories import add
from tests.cli.in_process import exit_code

DONE, EQUAL, FEW, HALF = "aaaa0001", "aaaa0002", "bbbb0003", "bbbb0004"


@pytest.fixture(autouse=True)
def signal_handler() -> Iterator[None]:
    """Commands set their own handler of SIGINT."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A working folder with a history of three runs, a database of another program, and some configs."""
    folder = tmp_path_factory.mktemp("here")
    file = folder / "history.db"
    add(file, DONE, {"a": 1.0, "b": 1.2})
    add(file, EQUAL, {"a": 1.0, "b": 1.2})
    add(file, FEW, {"a": 1.5, "b": 1.2}, n=1)
    add(file, HALF, {"a": 2.0, "b": 1.2}, end=None)
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as other:
        other.execute("CREATE TABLE notes (text)")
    (folder / "wrong.toml").write_text("[run]\niterations = 'x'\n")
    backend = "[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n"
    (folder / "off.toml").write_text(backend + "enabled = false\n")
    (folder / "gone.toml").write_text("[run]\niterations = 1\nwarmup = 0\n" + backend)
    # A folder of its own for active runs, with a path short enough for a socket.
    with tempfile.TemporaryDirectory() as short, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_RUNTIME_DIR", short)
        patch.setenv("LLMTUI_STORE", str(file))
        yield


NO_HISTORY = ("--store", "other.db")
CASES: list[tuple[int, tuple[str, ...]]] = [
    (OK, ("--help",)),
    (OK, ("--version",)),
    (OK, ("help",)),
    (OK, ("help", "run")),
    (USAGE, ("list",)),
    (USAGE, ("--no-such-option",)),
    (USAGE, ("monitor",)),  # no terminal
    (USAGE, ("nope.toml",)),
    (USAGE, ("wrong.toml",)),
    (USAGE, ("monitor", "--order", "x")),
    (FAILED, ("run", "gone.toml")),
    (USAGE, ("run", "nope.toml")),
    (USAGE, ("run", ".")),
    (USAGE, ("run", "wrong.toml")),
    (USAGE, ("run", "off.toml")),
    (USAGE, ("run", "gone.toml", "--only", "b")),
    (USAGE, ("run", "gone.toml", "--iterations", "0")),
    (USAGE, ("run", "gone.toml", "--iterations", "x")),
    (USAGE, ("run", "gone.toml", "--csv", "no/such/folder.csv")),
    (FAILED, ("check", "gone.toml")),
    (USAGE, ("check", "nope.toml")),
    (USAGE, ("serve", "nope.toml")),
    (USAGE, ("init", "gone.toml")),
    (USAGE, ("init", "no/such/folder.toml")),
    (USAGE, ("init", "x.toml", "--print")),
    (OK, ("explain",)),
    (OK, ("explain", "runs")),
    (USAGE, ("explain", "nothing")),
    (OK, ("history",)),
    (USAGE, ("history", "-n", "0")),
    (FAILED, ("history", *NO_HISTORY)),
    (OK, ("history", "--prune", "--keep", "9")),
    (USAGE, ("history", "--prune")),
    (USAGE, ("history", "--prune", "--keep", "0")),  # nothing can be asked
    (FAILED, ("history", "--prune", "--keep", "9", *NO_HISTORY)),
    (OK, ("trend", "a")),
    (USAGE, ("trend", "nobody")),
    (USAGE, ("trend", "a", "--like", "baseline")),
    (FAILED, ("trend", "a", *NO_HISTORY)),
    (OK, ("completion", "bash")),
    (USAGE, ("completion", "tcsh")),
    (OK, ("show", DONE)),
    (OK, ("show", "last")),
    (USAGE, ("show",)),
    (USAGE, ("show", "baseline")),
    (USAGE, ("show", "last~9")),
    (USAGE, ("show", "aaaa")),  # two runs
    (USAGE, ("show", DONE, "--label", "last")),
    (FAILED, ("show", DONE, *NO_HISTORY)),
    (OK, ("export", DONE)),
    (OK, ("export", DONE, "--csv", "x.csv")),
    (FAILED, ("export", DONE, "--csv", "/proc/x.csv")),
    (USAGE, ("export", "baseline")),
    (USAGE, ("export", DONE, "--csv", ".")),
    (OK, ("compare", DONE, FEW)),
    (OK, ("compare", DONE, EQUAL, "--gate", "5")),
    (FAILED, ("compare", DONE, HALF, "--gate", "5")),
    (SILENT, ("compare", DONE, FEW, "--gate", "5")),
    (USAGE, ("compare", DONE)),
    (USAGE, ("compare", "baseline", DONE, "--gate", "5")),
    (USAGE, ("compare", DONE, "baseline", "--gate", "5")),
    (USAGE, ("compare", DONE, FEW, "--gate", "nan")),
    (USAGE, ("compare", DONE, FEW, "--metric", "x")),
    (USAGE, ("compare", DONE, FEW, "--backend", "c=a")),
    (USAGE, ("attach",)),  # no terminal
    (USAGE, ("open", DONE)),  # no terminal
    (USAGE, ("open", "baseline")),
    (USAGE, ("run", "gone.toml", "--csv", "http://box/x.csv")),
    (USAGE, ("init", "http://box:8080")),
    (USAGE, ("resume", DONE, "--text")),  # complete
    (USAGE, ("resume", "baseline", "--text")),
    (USAGE, ("resume", HALF, "--text", "--config", "nope.toml")),
    (USAGE, ("resume", HALF, "--fail-if", "failed>0")),  # without --text
    (USAGE, ("accuracy", "--streams", "x")),
    (USAGE, ("accuracy", "--tokens", "1")),
]


@pytest.mark.parametrize(("code", "arguments"), CASES, ids=[" ".join(arguments) for _, arguments in CASES])
def test_the_exit_code(code: int, arguments: tuple[str, ...], here: None) -> None:
    assert exit_code(*arguments) == code


def test_a_port_in_use_is_wrong_usage(here: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert exit_code("serve", "gone.toml", "--port", str(taken.getsockname()[1])) == USAGE


def test_attach_without_an_active_run_is_wrong_usage(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtui.cli.monitor.need_terminal", lambda instead="": None)
    assert exit_code("attach") == USAGE
    assert exit_code("attach", DONE) == USAGE


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_documents_the_codes_that_it_has(command: str) -> None:
    documented = exit_codes.OF_COMMAND[command]
    assert {code for code, (name, *_) in CASES if name == command} <= documented.keys() <= exit_codes.MEANINGS.keys()


def test_the_manual_and_the_readme_list_every_code() -> None:
    root = Path(__file__).parents[2]
    manual = (root / "llmtui/docs/runs.md").read_text()
    readme = " ".join((root / "README.md").read_text().split())
    for code in exit_codes.MEANINGS:
        assert f"\n    {code:<5}" in manual
    listed = readme.partition("Exit codes: ")[2].partition(". ")[0]
    assert [int(part.split()[0]) for part in listed.split(", ")] == list(exit_codes.MEANINGS)
