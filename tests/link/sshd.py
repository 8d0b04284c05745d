"""A real sshd on loopback as the other machine, with keys and a runtime folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: The name of the other machine in the config of ssh.
HOST = "far"
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
_STARTS_S = 10.0


@dataclasses.dataclass
class OtherMachine:
    """The sshd, and what a command needs to reach it: put `env` into its environment."""

    folder: Path
    port: int
    sshd: subprocess.Popen[bytes]
    env: dict[str, str]
    #: The program llmtui there, and the history there.
    program: str
    store: Path
    runtime: Path

    def command(self, *words: str) -> list[str]:
        """Return a command of llmtui here, with `--on` and what belongs to it."""
        llmtui = [sys.executable, "-P", "-m", "llmtui", *words[:1]]
        return [*llmtui, "--on", HOST, "--on-command", self.program, *words[1:]]


def why_not() -> str:
    """Return why there can be no other machine here, "" if there can."""
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            return f"no {program} here"
    return "no sshd here (Debian: apt install openssh-server)" if SSHD is None else ""


@contextlib.contextmanager
def other_machine(folder: Path, port: int = 0) -> Iterator[OtherMachine]:
    """Run an sshd with its files in `folder`. Raises RuntimeError with what it says if it does not start."""
    assert SSHD is not None
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=30)
    if port == 0:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    # The path of a socket has little room.
    with tempfile.TemporaryDirectory(prefix="far-") as runtime:
        store = folder / "far.db"
        program = folder / "llmtui-there"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m llmtui "$@"\n')
        program.chmod(0o755)
        there = f"XDG_RUNTIME_DIR={runtime} LLMTUI_STORE={store} LLMTUI_STATE={folder} PYTHONPATH={os.getcwd()}"
        lines = {
            "ListenAddress": "127.0.0.1",
            "Port": port,
            "HostKey": folder / "host",
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "AuthorizedKeysFile": folder / "user.pub",
            "MaxStartups": "100",
            "SetEnv": there,
        }
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        (folder / "ssh_config").write_text(
            f"Host {HOST}\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
            f" IdentityFile {folder / 'user'}\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {folder / 'known_hosts'}\n StrictHostKeyChecking yes\n"
        )
        with _folder_of_sshd(), (folder / "sshd.log").open("wb") as log:
            sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
            try:
                _wait_for(port, sshd, folder / "sshd.log")
                env = {**os.environ, "LLMTUI_SSH": f"ssh -F {folder / 'ssh_config'}"}
                env |= {"XDG_RUNTIME_DIR": str(folder), "LLMTUI_STORE": str(folder / "here.db")}
                yield OtherMachine(folder, port, sshd, env, str(program), store, Path(runtime))
            finally:
                sshd.terminate()
                sshd.wait(10)


@contextlib.contextmanager
def _folder_of_sshd(folder: Path = Path("/run/sshd")) -> Iterator[None]:
    """Make the folder that an sshd of root needs, where the package has no service that makes it.

    The last of the processes of tests that use it removes it, unless something else has made it.
    """
    if os.getuid() != 0:
        yield
        return
    mine = folder / "made-by-tests-of-llmtui"
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o755)
            mine.touch()
        try:
            users = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(users, fcntl.LOCK_SH)
        if os.path.exists(folder) and os.path.samestat(os.fstat(users), os.stat(folder)):
            break
        os.close(users)  # another process has just removed it
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mine.exists():
                mine.unlink()
                folder.rmdir()
        os.close(users)


def _wait_for(port: int, sshd: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _STARTS_S
    while time.monotonic() < end and sshd.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    sshd.kill()
    raise RuntimeError(f"sshd did not start: {log.read_text('utf-8', 'replace').strip()}")
