"""Which server programs are found, and which are never started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtui.config.frameworks import own_server
from llmtui.servers.own.programs import find, is_private, version_text
from tests.own.install import StandIns


@pytest.fixture
def home(stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / "Downloads").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_a_program_on_path_comes_first(stand_ins: StandIns, home: Path) -> None:
    own = own_server("llamafile")
    assert find(own) == ""
    in_home = stand_ins.install("llamafile", name="Model.llamafile", folder=home / "Downloads")
    assert find(own) == str(in_home)
    versioned = stand_ins.install("llamafile", name="llamafile-0.9.3")
    assert find(own) == str(versioned)
    plain = stand_ins.install("llamafile")
    assert find(own) == str(plain)


def test_no_program_of_the_working_folder(
    stand_ins: StandIns, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install("llamafile", name="Model.llamafile", folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find(own_server("llamafile")) == ""


def test_no_file_that_others_may_write(stand_ins: StandIns, home: Path) -> None:
    own = own_server("llamafile")
    path = stand_ins.install("llamafile", name="Model.llamafile", folder=home)
    path.chmod(0o757)
    assert find(own) == ""
    path.chmod(0o755)
    assert find(own) == str(path)
    home.chmod(0o777)
    assert find(own) == ""
    home.chmod(0o755)
    path.chmod(0o644)
    assert find(own) == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_no_file_of_another_user(stand_ins: StandIns, home: Path) -> None:
    path = stand_ins.install("llamafile", name="Model.llamafile", folder=home)
    os.chown(path, 12345, 12345)
    assert not is_private(str(path))
    assert find(own_server("llamafile")) == ""


async def test_no_key_for_a_program_that_is_asked_for_its_version(
    stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    program = stand_ins.install("llamafile")
    assert await version_text(str(program), env={"MORE": "1"}) == "llamafile v0.9.3\n"
    environment = stand_ins.environment("llamafile")
    assert "SOME_API_KEY" not in environment
    assert environment["MORE"] == "1"


async def test_a_program_that_does_not_end_when_asked_for_its_version(stand_ins: StandIns) -> None:
    program = stand_ins.install("llamafile", "hang_version")
    assert await version_text(str(program), limit_s=0.3) == ""
