"""Atomic writes: modes, links, special files, and failures."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmtui.store.atomic import write_atomic


def test_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_atomic(tmp_path / "r.csv", "a,é\n")
    finally:
        os.umask(umask)
    assert (tmp_path / "r.csv").read_bytes() == "a,é\n".encode()
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["r.csv"]


def test_replaced_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    old.write_text("old")
    old.chmod(0o600)
    (tmp_path / "link.csv").symlink_to(old)
    write_atomic(tmp_path / "link.csv", "new\n")
    assert old.read_text() == "new\n" and stat.S_IMODE(old.stat().st_mode) == 0o600
    assert (tmp_path / "link.csv").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "old.csv"]


def test_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old.csv"
    old.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(old, "new")
    assert old.read_text() == "old" and os.listdir(tmp_path) == ["old.csv"]


def test_missing_folder_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_atomic(tmp_path / "none" / "r.csv", "")
    with pytest.raises(OSError):
        write_atomic(tmp_path, "")


def test_special_files_are_written_to_and_never_replaced(tmp_path: Path) -> None:
    write_atomic(Path("/dev/null"), "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path, "text")


def test_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes every file")
def test_read_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write_atomic(path, "new")
    assert path.read_text() == "old"
