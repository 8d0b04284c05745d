"""Commands where a container has no home folder, no entry for its user, no writable disk, or is gone."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.link.run_folders import EngineError, runtime_folder, scratch_folder
from llmtui.store import process_id
from llmtui.store.open import open_store
from tests.engine.helpers import TRUTH

LLMTUI = [sys.executable, "-m", "llmtui"]


@functools.cache
def works(*options: str) -> bool:
    """Whether unshare(1) can make these namespaces here."""
    try:
        return (
            subprocess.run(["unshare", *options, "true"], capture_output=True, timeout=30, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def needs(*options: str) -> None:
    """Skip the test where these namespaces cannot be made."""
    if not works(*options):
        pytest.skip(f"unshare {' '.join(options)} does not work here")


def without_home(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user without an entry in passwd, and without HOME."""
    needs("--user", "--map-user=12345")
    return subprocess.run(
        ["unshare", "--user", "--map-user=12345", *command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One truth server, one iteration."""
    path = tmp_path / "race.toml"
    launch = ", ".join(f"{word!r}" for word in TRUTH)
    path.write_text(
        f"[run]\niterations = 1\nwarmup = 0\nmax_tokens = 2\n[[backend]]\nname = 'one'\nlaunch = [{launch}]\n"
    )
    return path


def test_a_user_without_home_gets_the_default_race_and_words(tmp_path: Path) -> None:
    """The embedded engines need a cache, and say what to set."""
    done = without_home([*LLMTUI, "check"], tmp_path)
    assert "Traceback" not in done.stderr + done.stdout
    assert "set LLMTUI_CACHE" in done.stdout or "not installed" in done.stdout
    assert done.returncode in (1, 2), done.stderr


@pytest.mark.slow
def test_a_user_without_home_runs_a_config(config: Path) -> None:
    done = without_home([*LLMTUI, "run"], config.parent, XDG_RUNTIME_DIR=str(config.parent))
    # Its config belongs to the user that this one is outside the namespace.
    named = without_home([*LLMTUI, "run", "race.toml"], config.parent)
    for one in (done, named):
        assert "Traceback" not in one.stderr + one.stdout
    assert named.returncode == 0, named.stderr
    assert "there is no home folder for the history; set HOME" in named.stderr


def test_history_without_home_says_what_to_set(tmp_path: Path) -> None:
    done = without_home([*LLMTUI, "history"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "set HOME, or name a file with --store" in done.stderr


_READ_ONLY = """
for place in / /tmp /var/tmp; do
  mount --bind $place $place && mount -o remount,bind,ro $place || exit 9
done
mount -t tmpfs tmpfs {own} || exit 9
cd / || exit 9
touch /tmp/x 2>/dev/null && exit 9
export XDG_RUNTIME_DIR={own}
unset TMPDIR
{command}
"""


@pytest.fixture
def runtime() -> Iterator[str]:
    """A folder whose path is short enough for a socket; that of `tmp_path` need not be."""
    with tempfile.TemporaryDirectory(prefix="own-") as folder:
        yield folder


@pytest.mark.parametrize("command", [pytest.param(["check"], marks=pytest.mark.slow), ["run"]])
def test_read_only_root_with_a_runtime_folder(config: Path, command: list[str], runtime: str) -> None:
    """As with `docker run --read-only`: only XDG_RUNTIME_DIR can be written."""
    needs("--mount")
    script = _READ_ONLY.format(own=shlex.quote(runtime), command=shlex.join([*LLMTUI, *command, str(config)]))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={**os.environ, "HOME": "/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 9:
        pytest.skip("the root cannot be made read-only here")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_no_writable_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(EngineError, match="no folder for temporary files is writable; set XDG_RUNTIME_DIR"):
        runtime_folder()
    with pytest.raises(EngineError, match="set XDG_RUNTIME_DIR"):
        scratch_folder("x-")
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "llmtui"


_BEGIN = """
import sys
import tempfile
from collections.abc import Iterator
from llmtui.store import process_id
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, iteration, plan
store, _ = open_store(sys.argv[1])
store.begin(plan("dead0001"), MACHINE)
store.save_iteration(iteration("dead0001", number=1))
"""


def test_a_run_of_a_container_that_is_gone_has_died(tmp_path: Path) -> None:
    """The history was on a volume, and the host reads it."""
    needs("--pid", "--fork", "--mount-proc")
    path = tmp_path / "history.db"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", _BEGIN, str(path)]
    subprocess.run(command, check=True, timeout=60)
    store, _ = open_store(path)
    with store:
        if process_id._space(process_id.PROC) == process_id._FIRST_SPACE:
            assert store.mark_dead() == ["dead0001"]
        else:
            assert store.mark_dead() == []
            store.mark_ended("dead0001")
        assert store.state("dead0001") == "died"


def test_a_run_in_another_container_is_ended_by_a_word(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    subprocess.run([sys.executable, "-c", _BEGIN, str(path)], check=True, timeout=60)
    store, _ = open_store(path)
    with store:
        store._connection.execute("UPDATE runs SET engine_place = 'box pid:[1]', engine_started = 'boot 1'")
        store._connection.commit()
        assert store.mark_dead() == []

    def llmtui(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LLMTUI, *arguments, "--store", str(path)], capture_output=True, text=True, timeout=60, check=False
        )

    refused = llmtui("resume", "dead0001", "--text")
    assert refused.returncode == 2
    assert re.search(r"in another container or on another machine \(box, process \d+\)", refused.stderr)
    assert "llmtui show dead0001 --ended" in refused.stderr
    assert llmtui("show", "dead0001").stdout.startswith("run dead0001: running")
    assert llmtui("show", "dead0001", "--ended").stdout.startswith("run dead0001: died")


def test_a_run_that_is_seen_cannot_be_called_ended(tmp_path: Path) -> None:
    from llmtui.store.errors import StoreError
    from tests.store.runs import MACHINE, plan

    store, _ = open_store(tmp_path / "history.db")
    with store:
        store.begin(plan("feed0001"), MACHINE)
        with pytest.raises(StoreError, match="still running"):
            store.mark_ended("feed0001")
        store.finish("feed0001", "done")
        store.mark_ended("feed0001")
        assert store.state("feed0001") == "done"
