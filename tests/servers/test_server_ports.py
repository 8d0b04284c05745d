"""Servers of this user on unusual ports: real processes that listen, with the command lines of servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from llmtui.cli.present import places
from llmtui.config.frameworks import SCANNED_PORTS
from llmtui.servers.listening_sockets import listening_sockets
from llmtui.servers.orphans import MARK
from llmtui.servers.server_ports import is_server, unusual_urls

#: Listens on an address and prints the port; with a second one, a child with that command line listens too.
LISTENS = """
import os, socket, subprocess, sys
listener = socket.create_server((sys.argv[-1], 0), family=socket.AF_INET6 if ":" in sys.argv[-1] else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
if "--runner" in sys.argv:
    subprocess.run([sys.executable, os.path.join(os.path.dirname(sys.argv[0]), "llama-server"), "127.0.0.1"])
sys.stdin.read()
"""


class Programs:
    """Starts programs by name, and stops them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def start(self, name: str, *words: str, env: dict[str, str] | None = None) -> tuple[int, int]:
        """Start the program `name`. Return its PID and its port."""
        file = self._folder / name
        file.write_text(LISTENS)
        child = subprocess.Popen(
            [sys.executable, str(file), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )
        self._stack.enter_context(child)
        self._stack.callback(child.kill)
        assert child.stdout is not None
        return child.pid, int(child.stdout.readline())


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with ExitStack() as stack:
        yield Programs(tmp_path, stack)


@pytest.mark.parametrize(
    ("command", "yes"),
    [
        ("/usr/bin/ollama serve", True),
        ("ollama run smollm2", False),
        ("./llama-server -m x.gguf --port 9000", True),
        ("/usr/bin/python3 /opt/bin/vllm serve MODEL --port 9000", True),
        ("python3 -m vllm.entrypoints.openai.api_server --model x", True),
        ("/home/me/.ape-1.10 /home/me/Qwen3.llamafile --server", True),
        ("/home/me/llamafile-0.9.3 --server", True),
        ("mistralrs serve -f x.gguf", True),
        ("python /venv/bin/transformers serve MODEL", True),
        ("text-generation-router --port 3001", True),
        ("python -m sglang.launch_server --model-path x", True),
        ("python -m llama_cpp.server --model x.gguf", True),
        ("C:\\ollama\\ollama serve", True),
        ("/usr/lib/lm-studio/lm-studio --type=x", True),
        ("vim llama-server.md", False),
        ("grep -r vllm .", False),
        ("python train.py --llm transformers", False),
        ("", False),
    ],
)
def test_a_server_is_known_by_the_beginning_of_its_command_line(command: str, yes: bool) -> None:
    assert is_server(command.split(" ")) is yes


@pytest.mark.parametrize(
    ("address", "url"),
    [("127.0.0.1", "http://127.0.0.1:{}"), ("0.0.0.0", "http://127.0.0.1:{}"), ("::1", "http://[::1]:{}")],
)
def test_a_server_on_an_unusual_port_is_looked_at(programs: Programs, address: str, url: str) -> None:
    pid, port = programs.start("llama-server", address)
    assert {one.port for one in listening_sockets([pid])[pid]} == {port}
    assert url.format(port) in unusual_urls(SCANNED_PORTS)
    assert url.format(port) in places("")[0]
    assert url.format(port) not in unusual_urls([*SCANNED_PORTS, port])


def test_only_servers_of_others_are_looked_at(programs: Programs) -> None:
    _, stranger = programs.start("web-server", "127.0.0.1")
    _, launched = programs.start("llama-server", "127.0.0.1", env={MARK: "1-2-3"})
    urls = unusual_urls(SCANNED_PORTS)
    assert f"http://127.0.0.1:{stranger}" not in urls
    assert f"http://127.0.0.1:{launched}" not in urls


def test_what_a_server_starts_is_asked_through_it(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "llama-server").write_text(LISTENS)
    pid, port = programs.start("ollama", "serve", "--runner", "127.0.0.1")
    runner: set[int] = set()
    while not runner:  # between fork and exec the child holds the socket of its parent
        children = [child.pid for child in psutil.Process(pid).children()]
        runner = {one.port for child in children for one in listening_sockets([child]).get(child, ())} - {port}
    urls = unusual_urls(SCANNED_PORTS)
    assert f"http://127.0.0.1:{port}" in urls
    assert not [url for url in urls for other in runner if url.endswith(f":{other}")]
