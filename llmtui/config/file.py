"""Finds and reads the config file, and decides whether one that the user did not name is trusted. Parses nothing."""

from __future__ import annotations

import os
import queue
import stat
import threading
from pathlib import Path

from llmtui.config.errors import ConfigError

_PACKAGED = Path(__file__).with_name("default.toml")
#: The default config: in a wheel the copy that its build adds, in a checkout the repository's config.toml. Its path
#: has `..` in it to differ from those that `find` tries: a config.toml in the working folder belongs to the user.
DEFAULT_FILE = _PACKAGED if _PACKAGED.is_file() else Path(__file__).parent / ".." / ".." / "config.toml"
#: The name of that file in messages and in the history.
DEFAULT_SOURCE = "the built-in default"
#: Time limit for reading a file that a history names: it may be on a network share that does not respond.
NAMED_READ_S = 5.0

MAX_CONFIG_BYTES = 1024 * 1024


def find(named: str | None, *, cwd: Path | None = None, user_dir: Path | None = None) -> Path:
    """Return the config file to use: the one named, else ./config.toml, else the user's, else the default."""
    if named is not None:
        return Path(named)
    for folder in (cwd or _working_folder(), *([user_dir] if user_dir else _user_folders())):
        if folder is not None and _exists(folder / "config.toml"):
            return folder / "config.toml"
    return DEFAULT_FILE


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None  # it was removed


def _user_folders() -> list[Path]:
    """Return the user's folders for a config: that of the system, then ~/.config/llmtui, which macOS has not.

    Empty for a user without a home folder.
    """
    import platformdirs

    try:
        folders = [Path(platformdirs.user_config_dir("llmtui")), Path.home() / ".config" / "llmtui"]
    except RuntimeError:
        return []
    # Without a home folder it would be a folder named "~" in the working folder.
    return [folder for folder in dict.fromkeys(folders) if folder.is_absolute()]


def _exists(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # missing, or in a folder without access


def _open(path: str, flags: int) -> int:
    # Otherwise opening a pipe without a writer would block for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _readable(kind: int, implicit: bool) -> bool:
    """Whether this can be a config: a regular file, or a pipe that the user named (`<(...)`, /dev/stdin)."""
    return stat.S_ISREG(kind) or (not implicit and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)))


def read(path: Path, *, implicit: bool = False, trust: str = "") -> str:
    """Return the text of the config file at `path`. Raises ConfigError.

    `implicit`: the user did not name it. As a config can contain commands, such a file is read only if no one but this
    user and root can have written it, and only if it is a regular file, which cannot block. `trust` is the command with
    which the user can name it.
    """
    try:
        # Opening some devices has side effects.
        if implicit and not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path}: not a regular file; name a config file")
        with open(path, "rb", opener=_open if implicit else None) as file:
            # Check the opened file, because the path may have changed.
            info = os.fstat(file.fileno())
            if not _readable(info.st_mode, implicit):
                raise ConfigError(f"{path}: not a regular file; name a config file")
            if implicit and path != DEFAULT_FILE:
                _check_trust(path, info, trust)
            # A file in /proc has no size and may be endless; an empty file needs no reading.
            raw = file.read(MAX_CONFIG_BYTES + 1) if info.st_size or not implicit else b""
    except FileNotFoundError:
        todo = f"if it was moved, name it: {trust}" if trust else "to write one for this machine, run: llmtui init"
        raise ConfigError(f"{path}: no such config file; {todo}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name the config file in it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read it: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{path}: not a valid file name") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than 1 MB, so not a config file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def read_named_by_history(path: Path, trust: str) -> str:
    """Read a config that a history names, with the checks of `implicit`, because a history may come from someone else.

    Raises ConfigError, also if reading takes longer than `NAMED_READ_S`. `trust` is the command that names the file.
    """
    outcome: queue.SimpleQueue[str | ConfigError] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(read(path, implicit=True, trust=trust))
        except ConfigError as error:
            outcome.put(error)

    if not path.is_absolute():
        raise ConfigError(f"{path}: the history has no absolute path of this config; name it: {trust}")
    # A daemon, so that a thread blocked in the file system does not delay the exit.
    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=NAMED_READ_S)
    except queue.Empty:
        raise ConfigError(f"{path}: not read within {NAMED_READ_S:g} s; name a local copy: {trust}") from None
    if isinstance(result, ConfigError):
        raise result
    return result


def _check_trust(path: Path, info: os.stat_result, trust: str) -> None:
    """Raise ConfigError if another user can have written or replaced the file, or the target of a link."""
    folder = path.absolute().parent
    real = Path(os.path.realpath(path)).parent
    places = [(f"its folder {place}", place, place.stat()) for place in dict.fromkeys((folder, real))]
    for what, place, status in [("it", path, info), *places]:
        reason = remedy = ""
        if status.st_uid not in (0, os.geteuid()):
            reason = f"{what} belongs to another user (uid {status.st_uid})"
        elif writers := other_writers(status):
            # In a sticky folder (/tmp) others can add files but not replace ours, so the owner of the file decides.
            if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
                continue
            reason = f"other users can write to {what}"
            remedy = f", or remove their access: chmod {writers}-w {place}"
        if reason:
            command = trust or f"llmtui {'./config.toml' if folder == _working_folder() else path}"
            raise ConfigError(
                f"{path}: not used, because {reason} and a config can contain commands; if you trust it, name it: "
                f"{command}{remedy}"
            )


def other_writers(status: os.stat_result) -> str:
    """Return who else can write: "g", "o", "go" or "". The user's own private group does not count."""
    others = "o" if status.st_mode & stat.S_IWOTH else ""
    if status.st_mode & stat.S_IWGRP and not _private(status.st_gid):
        return "g" + others
    return others


def _private(gid: int) -> bool:
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
