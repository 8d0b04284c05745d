"""The cache folder: permissions, other users, and links in it."""

# ruff: noqa: ASYNC240 - no other task of these tests waits for a file.

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
from pathlib import Path

import pytest

from llmtui.model import RunConfig
from llmtui.servers.base import StartError
from llmtui.servers.model_cache import _unmapped, cache_folder
from llmtui.servers.model_file import PackagedModel, hf_folder, shared_model
from tests.hostile.conversions import conversions, source
from tests.hostile.limits import stopwatch
from tests.hostile.strangers import NOBODY, attempts_by_nobody, needs_root
from tests.servers.model_files import CONTENT, cache, index, model, model_by_pip, quiet

__all__ = ["cache", "conversions", "index", "model", "model_by_pip", "source"]  # fixtures


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user in another folder, which must stay unchanged."""
    path = tmp_path / "diary.txt"
    path.write_text("precious")
    return path


# Links and special files instead of files


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder"])
async def test_special_files_instead_of_a_lock_are_refused_and_unchanged(
    kind: str, cache: Path, model: PackagedModel, victim: Path
) -> None:
    cache.mkdir(parents=True)
    lock = cache / f".{model.filename}.lock"
    if kind == "link":
        lock.symlink_to(victim)
    elif kind == "dangling link":
        lock.symlink_to(cache.parent / "not-there")
    elif kind == "hard link":
        os.link(victim, lock)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with stopwatch(), pytest.raises(StartError) as caught:
        await shared_model(RunConfig(), quiet, model)
    assert caught.value.failure.message == f"{lock} is not a lock file of llmtui"
    assert "set LLMTUI_CACHE to a folder of your own" in caught.value.failure.hint
    assert victim.read_text() == "precious"
    assert not (cache.parent / "not-there").exists()


async def test_the_content_of_a_lock_file_is_unchanged(cache: Path, model: PackagedModel) -> None:
    cache.mkdir(parents=True)
    lock = cache / f".{model.filename}.lock"
    lock.write_text("not ours to empty")
    await shared_model(RunConfig(), quiet, model)
    assert lock.read_text() == "not ours to empty"


async def test_a_lock_that_another_user_can_open_does_not_block(cache: Path, model: PackagedModel) -> None:
    """Locks of 0.1.0 could be opened by all users, and a process with one open can lock it for ever."""
    cache.mkdir(parents=True)
    lock = cache / f".{model.filename}.lock"
    lock.touch()
    lock.chmod(0o644)
    with lock.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        async with asyncio.timeout(20):
            await shared_model(RunConfig(), quiet, model)
    assert (cache / f".{model.filename}.lock.private").stat().st_mode & 0o077 == 0


async def test_a_link_instead_of_the_model_is_replaced_and_not_followed(
    cache: Path, model: PackagedModel, victim: Path
) -> None:
    cache.mkdir(parents=True)
    victim.write_bytes(CONTENT)
    (cache / model.filename).symlink_to(victim)
    path = await shared_model(RunConfig(), quiet, model)
    assert not path.is_symlink()
    victim.write_bytes(b"changed later")
    assert path.read_bytes() == CONTENT


async def test_a_link_instead_of_a_record_is_replaced_and_not_followed(
    cache: Path, model: PackagedModel, victim: Path, index: Path
) -> None:
    await shared_model(RunConfig(), quiet, model)
    seal = cache / f".{model.filename}.seal"
    shutil.copy(seal, victim)
    content = victim.read_bytes()
    seal.unlink()
    seal.symlink_to(victim)
    (cache / model.filename).touch()
    shutil.rmtree(index)
    await shared_model(RunConfig(), quiet, model)
    assert not seal.is_symlink()
    assert victim.read_bytes() == content


async def test_a_link_instead_of_abandoned_work_is_removed_but_not_its_target(
    cache: Path, model: PackagedModel, tmp_path: Path, victim: Path
) -> None:
    cache.mkdir(parents=True)
    link = cache / f".work-{model.filename}-abandoned"
    link.symlink_to(tmp_path)
    await shared_model(RunConfig(), quiet, model)
    assert not link.is_symlink()
    assert victim.read_text() == "precious"


async def test_a_link_instead_of_a_converted_folder_is_removed_but_not_its_target(
    cache: Path, source: Path, conversions: list[list[str]], victim: Path
) -> None:
    made = await hf_folder(source, quiet)
    shutil.rmtree(made)
    made.symlink_to(victim.parent)
    assert await hf_folder(source, quiet) == made
    assert not made.is_symlink()
    assert (made / "config.json").read_text() == "made by run 2"
    assert victim.read_text() == "precious"


async def test_a_link_inside_a_converted_folder_makes_it_invalid(
    cache: Path, source: Path, conversions: list[list[str]], victim: Path
) -> None:
    made = await hf_folder(source, quiet)
    shutil.copy2(made / "config.json", victim)
    (made / "config.json").unlink()
    (made / "config.json").symlink_to(victim)
    await hf_folder(source, quiet)
    assert len(conversions) == 2
    assert not (made / "config.json").is_symlink()


async def test_a_link_above_a_converted_folder_is_refused(
    cache: Path, source: Path, conversions: list[list[str]], victim: Path
) -> None:
    made = await hf_folder(source, quiet)
    shutil.rmtree(made.parent)
    made.parent.symlink_to(victim.parent)
    with pytest.raises(StartError, match="is not safe: it is a link"):
        await hf_folder(source, quiet)
    assert victim.read_text() == "precious"
    assert not (victim.parent / made.name).exists()


# Owners and permissions


def test_a_new_cache_folder_and_its_new_parents_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        folder = cache_folder()
    finally:
        os.umask(before)
    assert folder == tmp_path / "a" / "b" / "models"
    for made in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


async def test_write_access_of_others_to_the_cache_is_removed(
    cache: Path, source: Path, conversions: list[list[str]]
) -> None:
    made = await hf_folder(source, quiet)
    for folder in (made.parent, cache):
        folder.chmod(0o777)
    await hf_folder(source, quiet)
    for folder in (made.parent, cache):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def refusal() -> str:
    """Return why there is no cache folder, and check that the error has the remedy."""
    with pytest.raises(StartError) as caught:
        cache_folder()
    assert caught.value.failure.hint.endswith("set LLMTUI_CACHE to a folder of your own")
    return caught.value.failure.message


def test_a_models_folder_that_is_a_link_is_refused(cache: Path, tmp_path: Path) -> None:
    cache.parent.mkdir()
    cache.symlink_to(tmp_path)
    assert refusal() == f"the cache folder {cache} is not safe: it is a link"


def test_a_models_folder_that_is_a_file_is_refused(cache: Path) -> None:
    cache.parent.mkdir()
    cache.touch()
    assert refusal() == f"the cache folder {cache} is not safe: it is not a folder"


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_parent_folder_that_others_can_write_to_is_refused(
    above: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "a" / "b" / "c"))
    folder = cache_folder()
    place = folder.parents[above - 1]
    place.chmod(0o777)
    assert refusal() == f"the cache folder {folder} is not safe: other users can write to {place}"
    place.chmod(0o1777)
    assert cache_folder() == folder, "in a sticky folder others cannot rename what is ours"


def test_folders_behind_a_link_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "link").symlink_to("open/../open")
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "link"))
    assert cache_folder() == tmp_path / "link" / "models"
    assert (tmp_path / "open" / "models").is_dir()
    (tmp_path / "open").chmod(0o777)
    assert "other users can write to" in refusal()


def test_a_cycle_of_links_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "a"))
    with pytest.raises(StartError, match="cannot create the cache folder"):
        cache_folder()


@needs_root
@pytest.mark.parametrize("what", ["models", "its parent", "the link to it"])
def test_a_folder_or_link_of_another_user_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "link"))
    (tmp_path / "real" / "models").mkdir(parents=True)
    place = {"models": "real/models", "its parent": "real", "the link to it": "link"}[what]
    os.lchown(tmp_path / place, NOBODY, NOBODY)
    assert "belongs to another user (uid 65534)" in refusal()


@needs_root
async def test_another_user_cannot_change_the_cache(
    short_path: Path, model: PackagedModel, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_path.chmod(0o1777)
    monkeypatch.setenv("LLMTUI_CACHE", str(short_path / "cache"))
    before = os.umask(0)
    try:
        path = await shared_model(RunConfig(), quiet, model)
    finally:
        os.umask(before)
    lock = path.with_name(f".{path.name}.lock")
    tries = [f"os.symlink({str(victim)!r}, {str(lock) + '2'!r})", f"os.unlink({str(path)!r})"]
    tries += [f"os.rename({str(path.parent.parent)!r}, {str(short_path / 'taken')!r})"]
    assert attempts_by_nobody(*tries) == ["PermissionError"] * 3
    assert attempts_by_nobody(f"os.mkdir({str(short_path / 'theirs')!r})") == ["done"]
    monkeypatch.setenv("LLMTUI_CACHE", str(short_path / "theirs"))
    assert "belongs to another user" in refusal()


def test_a_missing_home_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMTUI_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: "~/.cache/llmtui")
    assert refusal() == "there is no home folder for the model files"
    monkeypatch.setenv("LLMTUI_CACHE", "~nobody-of-this-name/cache")
    assert "has no home folder" in refusal()


@pytest.mark.parametrize(
    ("uid", "mapped", "expected"),
    [
        (65534, "0 1000 1\n", True),
        (65533, "0 1000 1\n", False),
        (65534, "0 0 4294967295\n", False),
        (65534, "0 1000 1\n1 100000 65536\n", False),
        (65534, "", True),
        (65534, "nonsense", False),
    ],
)
def test_an_unmapped_owner_is_accepted_only_in_a_user_namespace(
    uid: int, mapped: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"/proc/sys/kernel/overflowuid": "65534\n", "/proc/self/uid_map": mapped}
    monkeypatch.setattr(Path, "read_text", lambda path, *_: files[str(path)])
    assert _unmapped(uid) is expected
