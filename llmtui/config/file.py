"""The config file: where it is found, whether one that was only found may be trusted, and its text. Parses nothing."""

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
#: What that one is called in words and in the history.
DEFAULT_SOURCE = "the built-in default"
#: A file that a history names is given up after this time: it may lie on a network share that no longer answers.
NAMED_READ_S = 5.0

MAX_CONFIG_BYTES = 1024 * 1024


def find(named: str | None, *, cwd: Path | None = None, user_dir: Path | None = None) -> Path:
    """The config file to use: the one named, else ./config.toml, else the user's, else the embedded default."""
    if named is not None:
        return Path(named)
    for folder in (cwd or _working_folder(), user_dir or _user_folder()):
        if folder is not None and _is_there(folder / "config.toml"):
            return folder / "config.toml"
    return DEFAULT_FILE


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None  # removed under our feet


def _user_folder() -> Path | None:
    import platformdirs

    folder = Path(platformdirs.user_config_dir("llmtui"))
    # Without a home folder it would be one named "~" wherever the user stands.
    return folder if folder.is_absolute() else None


def _is_there(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # not there, or in a folder that is closed to us


def _open(path: str, flags: int) -> int:
    # To open a pipe that nobody writes to would otherwise wait for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _readable(kind: int, found: bool) -> bool:
    """Whether what was opened can be a config: a file, or a pipe (`<(...)`, /dev/stdin) that the user named."""
    return stat.S_ISREG(kind) or (not found and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)))


def read(path: Path, *, found: bool = False, trust: str = "") -> str:
    """The text of the config file at `path`. Raises ConfigError.

    `found`: the user did not name it, llmtui came upon it. A config may hold commands to launch, so such a file is used
    only where nobody but this user and root can have written it, and only if it is a regular file, so that nothing
    hangs. `trust` is the command that names it.
    """
    try:
        # Some devices act when they are opened.
        if found and not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path}: this is not a regular file; name a config file")
        with open(path, "rb", opener=_open if found else None) as file:
            # Judged is what was opened, not what may stand at the path by now.
            info = os.fstat(file.fileno())
            if not _readable(info.st_mode, found):
                raise ConfigError(f"{path}: this is not a regular file; name a config file")
            if found and path != DEFAULT_FILE:
                _check_trust(path, info, trust)
            # A file below /proc has no size and may have an end that never comes; one that is empty says nothing.
            raw = file.read(MAX_CONFIG_BYTES + 1) if info.st_size or not found else b""
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; without a name, llmtui takes ./config.toml, yours or its own"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; name the config file in it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{path}: no file can have this name") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than 1 MB; this is no config file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def read_named_by_history(path: Path, trust: str) -> str:
    """As `read` of a file that was found: a history names it, and a history may come from somebody else.

    Raises ConfigError, also where reading takes longer than `NAMED_READ_S`. `trust` is the command that names the file.
    """
    outcome: queue.SimpleQueue[str | ConfigError] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(read(path, found=True, trust=trust))
        except ConfigError as error:
            outcome.put(error)

    if not path.is_absolute():
        raise ConfigError(f"{path}: the history does not name this config by its absolute path; use: {trust}")
    # A daemon: a thread that hangs in the file system must not keep this process.
    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=NAMED_READ_S)
    except queue.Empty:
        raise ConfigError(f"{path}: not read within {NAMED_READ_S:g} s; use a local copy: {trust}") from None
    if isinstance(result, ConfigError):
        raise result
    return result


def _check_trust(path: Path, info: os.stat_result, trust: str) -> None:
    """Refuse a file that somebody else can have put there or written, also by way of a link. Raises ConfigError."""
    folder = path.absolute().parent
    real = Path(os.path.realpath(path)).parent
    places = [(f"its folder {place}", place, place.stat()) for place in dict.fromkeys((folder, real))]
    for what, place, status in [("it", path, info), *places]:
        reason = remedy = ""
        if status.st_uid not in (0, os.geteuid()):
            reason = f"{what} belongs to another user (uid {status.st_uid})"
        elif writers := other_writers(status):
            # In a sticky folder (/tmp) others may add files, but not touch ours: there the owner of the file decides.
            if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
                continue
            reason = f"{what} can be written by others"
            remedy = f", or close it to them: chmod {writers}-w {place}"
        if reason:
            command = trust or f"llmtui {'./config.toml' if folder == _working_folder() else path}"
            raise ConfigError(
                f"{path}: found here but not taken, because {reason}, and a config may hold commands to run; if you "
                f"trust it, name it: {command}{remedy}"
            )


def other_writers(status: os.stat_result) -> str:
    """Who else may write: "g", "o", "go" or "". The user's own private group, as many systems give one, is nobody."""
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
