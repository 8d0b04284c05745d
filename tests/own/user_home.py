"""A user whose things no run may touch: a home folder with Ollama's models and keys, and an Ollama that runs.

Digests of every file are taken before and after, and the running server is asked what it has loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

#: Where a run may write, below the home folder: model files, history, figures of `llmtui accuracy`.
ALLOWED = (".cache/llmtui", ".local/share/llmtui", ".local/state/llmtui")
OLLAMA_PORT = 11434
MODEL = "mine"
_START_S = 30.0


def files(folder: Path, allowed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what is in a folder, without the folders `allowed`: paths, with the digest and the time of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(name == one or name.startswith(one + "/") for one in allowed) or path.is_dir():
            continue
        with contextlib.suppress(FileNotFoundError):
            info = path.lstat()
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[name] = f"{hashlib.sha256(content).hexdigest()} {info.st_mtime_ns} {info.st_mode:o}"
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return what differs, as "new PATH", "gone PATH" or "changed PATH"."""
    words = [f"gone {name}" for name in before if name not in after]
    words += [f"{'changed' if name in before else 'new'} {name}" for name in after if before.get(name) != after[name]]
    return sorted(words)


class UserHome:
    """A home folder with an Ollama of its own. `port` is where that listens: 11434 unless another program does."""

    def __init__(self, folder: Path, ollama: str, model: Path) -> None:
        """`ollama` is the program; `model` is the file that it has loaded."""
        self.folder = folder
        keys = folder / ".ollama"
        keys.mkdir(parents=True)
        (keys / "id_ed25519").write_text("the user's private key\n")
        (keys / "id_ed25519").chmod(0o600)
        (keys / "id_ed25519.pub").write_text("the user's public key\n")
        (folder / "notes.txt").write_text("the user's own file\n")
        self.port = _free_port(OLLAMA_PORT)
        with (folder.parent / "user-ollama.log").open("wb") as log:
            self._process = subprocess.Popen(
                [ollama, "serve"],
                env={**os.environ, **self.environment(always=True), "OLLAMA_NO_CLOUD": "1", "OLLAMA_KEEP_ALIVE": "-1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._url = f"http://127.0.0.1:{self.port}"
        try:
            self._load(model)
            self._before = self.state()
        except BaseException:
            self.close()
            raise

    def _load(self, model: Path) -> None:
        """Make a model of this file, and load it. Raises RuntimeError."""
        deadline = time.monotonic() + _START_S
        while not self._ask("/api/version"):
            if time.monotonic() > deadline:
                raise RuntimeError("the user's Ollama did not start")
            time.sleep(0.05)
        digest = "sha256:" + hashlib.sha256(model.read_bytes()).hexdigest()
        create = {"model": MODEL, "files": {"model.gguf": digest}, "stream": False}
        self._ask(f"/api/blobs/{digest}", model.read_bytes())
        self._ask("/api/create", json.dumps(create).encode())
        self._ask("/api/generate", json.dumps({"model": MODEL, "keep_alive": -1}).encode())
        if MODEL not in (loaded := self._ask("/api/ps")):
            raise RuntimeError(f"the user's Ollama has not loaded its model: {loaded}")

    def environment(self, *, always: bool = False) -> dict[str, str]:
        """Return the variables of this user. `OLLAMA_HOST` is set only for another port than Ollama's own."""
        host = {"OLLAMA_HOST": f"127.0.0.1:{self.port}"} if always or self.port != OLLAMA_PORT else {}
        return {"HOME": str(self.folder), **host}

    def state(self) -> dict[str, Any]:
        """Return the files of the home folder, the models of the server, what it has loaded, and its processes."""
        return {
            "files": files(self.folder, ALLOWED),
            "processes": sorted(process.pid for process in self._family()),
            "/api/tags": self._ask("/api/tags"),
            "/api/ps": self._ask("/api/ps"),
        }

    def touched(self) -> list[str]:
        """Return what differs since the last call, or the beginning."""
        before, self._before = self._before, self.state()
        now = self._before
        words = changes(before["files"], now["files"])
        return words + [f"{what} of the user's Ollama" for what in now if what != "files" and now[what] != before[what]]

    def close(self) -> None:
        """Stop the server."""
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        self._process.wait()

    def _family(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def _ask(self, path: str, body: bytes | None = None) -> str:
        request = urllib.request.Request(self._url + path, body)
        try:
            with urllib.request.urlopen(request, timeout=_START_S) as reply:
                text = reply.read()
        except OSError:
            return ""
        return str(text, "utf-8", "replace")


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port")


def cached_model() -> Path | None:
    """Return the model file that llmtui has fetched for this user, None if it has not."""
    cache = Path(os.environ.get("LLMTUI_CACHE") or Path.home() / ".cache" / "llmtui")
    return next(iter(sorted((cache / "models").glob("SmolLM2-*.Q4_1.gguf"))), None)


def take(file: Path, home: Path) -> Path:
    """Copy a model file into the cache of a home folder and return its path there."""
    folder = home / ".cache" / "llmtui" / "models"
    folder.mkdir(parents=True)
    return Path(shutil.copy2(file, folder / file.name))
