"""A config that the user did not name is read only if no one but this user and root can have written it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.config.schema import ConfigError, find, load
from tests.hostile.strangers import NOBODY, needs_root

ONE = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of this user with a config."""
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    (place / "config.toml").write_text(ONE)
    (place / "config.toml").chmod(0o644)
    return place


def _shared_with_a_group(place: Path) -> None:
    os.chown(place, 0, NOBODY)
    place.chmod(0o775)


def refusal(path: Path) -> str:
    assert load(path).backend, "a named config is not checked"
    with pytest.raises(ConfigError) as caught:
        load(path, implicit=True)
    return str(caught.value)


def test_a_config_of_the_user_is_read(folder: Path) -> None:
    assert load(folder / "config.toml", implicit=True).backend[0].name == "a"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.chmod(0o777), "other users can write to its folder {place}"),
        (lambda p: (p / "config.toml").chmod(0o646), "other users can write to it"),
        pytest.param(lambda p: os.chown(p, NOBODY, 0), "its folder {place} belongs to another user", marks=needs_root),
        pytest.param(
            lambda p: os.chown(p / "config.toml", NOBODY, 0), "it belongs to another user (uid 65534)", marks=needs_root
        ),
        pytest.param(_shared_with_a_group, "other users can write to its folder {place}", marks=needs_root),
    ],
)
def test_a_config_that_others_can_write_is_refused(folder: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(folder)
    message = refusal(folder / "config.toml")
    assert words.format(place=folder) in message
    assert f"name it: llmtui {folder}/config.toml" in message and message.isprintable()


def test_in_a_sticky_folder_the_owner_of_the_file_decides(folder: Path) -> None:
    folder.chmod(0o1777)
    assert load(folder / "config.toml", implicit=True).backend
    (folder / "config.toml").chmod(0o666)
    assert "other users can write to it" in refusal(folder / "config.toml")


def test_both_folders_of_a_link_are_checked(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.toml").symlink_to(folder / "config.toml")
    assert load(elsewhere / "config.toml", implicit=True).backend
    folder.chmod(0o777)
    assert f"other users can write to its folder {folder}" in refusal(elsewhere / "config.toml")
    folder.chmod(0o755)
    elsewhere.chmod(0o777)
    assert f"other users can write to its folder {elsewhere}" in refusal(elsewhere / "config.toml")


@needs_root
def test_the_private_group_of_the_user_may_write(folder: Path) -> None:
    folder.chmod(0o775)
    (folder / "config.toml").chmod(0o664)
    assert load(folder / "config.toml", implicit=True).backend


def test_a_pipe_that_is_not_named_is_refused_without_blocking(tmp_path: Path) -> None:
    pipe = tmp_path / "config.toml"
    os.mkfifo(pipe)
    assert find(None, cwd=tmp_path) == pipe
    with pytest.raises(ConfigError, match="not a regular file"):
        load(pipe, implicit=True)


def test_a_named_pipe_is_read() -> None:
    ours, theirs = os.pipe()
    with open(ours, "rb"), open(theirs, "w") as writer:
        writer.write("[[backend]]\nname = 'piped'\nurl = 'http://127.0.0.1:1'\n")
        writer.close()
        assert load(Path(f"/dev/fd/{ours}")).backend[0].name == "piped"


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: not a regular file"):
        load(Path("/dev/zero"))


def test_without_home_and_working_folder_the_default_is_used(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "from llmtui.config.schema import DEFAULT_FILE, find; assert find(None) == DEFAULT_FILE"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": "not/absolute", "XDG_CONFIG_HOME": "neither"}
    subprocess.run([sys.executable, "-c", script, str(gone)], env=environment, check=True, timeout=30)


def test_the_command_line_reports_the_refusal_and_reads_a_named_config(folder: Path) -> None:
    folder.chmod(0o777)
    command = [sys.executable, "-m", "llmtui", "check"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"llmtui: {folder}/config.toml: not used, because other users can write to its folder "
    )
    assert done.stderr.endswith(f"name it: llmtui ./config.toml, or remove their access: chmod o-w {folder}\n")
    done = subprocess.run([*command, "./config.toml"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nothing answers at 127.0.0.1:1" in done.stdout
