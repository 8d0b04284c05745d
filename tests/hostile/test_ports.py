"""Another user on the port of a server: no key is sent there, and its replies are not measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from llmtui.engine.bringup import Target
from llmtui.measure.failures import NotAdmitted
from llmtui.measure.request import IterationError
from llmtui.measure.transport import new_client
from llmtui.model import Backend, Failure, Protocol, RunConfig
from llmtui.servers import ports
from llmtui.servers.base import StartError
from llmtui.servers.ports import Launched, free_port, port_owners
from llmtui.servers.socket_owners import Owners, best_listeners, socket_owners, strangers
from llmtui.servers.tcp_table import LISTEN, TcpSocket, endpoint
from tests.engine.helpers import truth_backend
from tests.hostile.strangers import NOBODY, SOMEBODY, Send, become, needs_root, run_as, stranger_listening
from tests.scripted import CLOSE, FINISH, SSE_HEAD, scripted, token

KEY = "sk-a-key-that-nobody-else-may-have"
CONFIG = RunConfig(max_tokens=4, timeout_s=10.0)
LIE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + token("x") + FINISH


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


@contextlib.asynccontextmanager
async def brought_up(backend: Backend, folder: Path) -> AsyncIterator[Target]:
    target = Target(backend, CONFIG, folder)
    await target.bring_up(quiet)
    try:
        yield target
    finally:
        await target.close()


async def kill_server(target: Target) -> None:
    """Kill the launched server and wait until its port is free."""
    assert target.server is not None and target.server.pid is not None
    for child in psutil.Process(target.server.pid).children(recursive=True):
        child.kill()
    await target.server.exited.wait()


@needs_root
@pytest.mark.parametrize("closes_listener", [False, True])
async def test_a_stranger_on_the_port_of_a_dead_server_gets_no_key(closes_listener: bool, tmp_path: Path) -> None:
    async with brought_up(truth_backend("a", api_key=KEY), tmp_path) as target:
        await target.ask("hi")
        assert target.ready is not None
        await kill_server(target)
        port = ports.port_of(target.ready.url)
        with stranger_listening(port, answer=LIE, closes_listener=closes_listener) as stranger:
            with pytest.raises(IterationError) as caught:
                await target.ask("hi")
            assert stranger.received() == b""
    assert f"port {port} belongs to another user (uid {NOBODY})" in caught.value.failure.message
    assert caught.value.failure.kind == "server"


@needs_root
async def test_a_stranger_on_the_port_of_an_external_server_gets_no_key(tmp_path: Path) -> None:
    async with scripted([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        server.by_path = {b"POST": [[SSE_HEAD, token("x"), FINISH, CLOSE]]}
        backend = Backend(name="a", url=server.url, model="m", api_key=KEY)
        target = Target(backend, CONFIG, tmp_path)
        await target.bring_up(quiet)
        await target.ask("hi")
    with stranger_listening(ports.port_of(server.url), answer=LIE) as stranger:
        with pytest.raises(IterationError, match="belongs to another user"):
            await target.ask("hi")
        assert stranger.received() == b""
    await target.close()


@needs_root
@pytest.mark.parametrize("protocol", ["openai", "custom"])
async def test_a_rerun_does_not_accept_a_stranger_on_the_port(protocol: Protocol, tmp_path: Path) -> None:
    async with scripted([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        target = Target(Backend(name="a", url=server.url, protocol=protocol, api_key=KEY), CONFIG, tmp_path)
        ready = await target.bring_up(quiet)
        assert target.running_uids == frozenset({os.getuid()}) and ready.note == ""
        await target.close()
    with stranger_listening(ports.port_of(server.url), answer=LIE) as stranger:
        with pytest.raises(StartError, match="belongs to another user"):
            await target.bring_up(quiet)
        assert stranger.received() == b""


@needs_root
async def test_the_owner_of_the_port_of_a_failed_server_is_remembered(tmp_path: Path) -> None:
    """Its only reply was that it requires a key."""
    async with scripted([b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        target = Target(Backend(name="a", url=server.url, api_key=KEY), CONFIG, tmp_path)
        await target.bring_up(quiet)
        await target.close()
    with stranger_listening(ports.port_of(server.url), answer=LIE) as stranger:
        with pytest.raises(StartError, match="belongs to another user"):
            await target.bring_up(quiet)
        assert stranger.received() == b""


@needs_root
@pytest.mark.parametrize(
    ("before", "message"),
    [
        pytest.param({"listener_uids": frozenset({os.getuid()})}, "belongs to another user", id="recorded"),
        pytest.param({"resumed": True}, "the history does not record", id="not recorded by an older version"),
    ],
)
async def test_a_resumed_run_does_not_trust_a_stranger(before: dict[str, Any], message: str, tmp_path: Path) -> None:
    port = free_port()
    backend = Backend(name="a", url=f"http://127.0.0.1:{port}", api_key=KEY)
    with stranger_listening(port, answer=LIE) as stranger:
        target = Target(backend, CONFIG, tmp_path, **before)
        for _ in range(2):
            with pytest.raises(StartError, match=message):
                await target.bring_up(quiet)
        assert stranger.received() == b""


@pytest.mark.parametrize(
    ("uids", "others"),
    [
        (None, ""),
        (frozenset(), ""),
        (frozenset({0, 113}), ""),
        (frozenset({os.getuid()}), ""),
        (frozenset({NOBODY, SOMEBODY}), f"{SOMEBODY}, {NOBODY}"),
    ],
)
def test_strangers_are_other_persons_but_not_system_accounts(uids: frozenset[int] | None, others: str) -> None:
    assert strangers(uids) == others


def test_a_server_may_listen_as_root_and_accept_as_another_user(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    listens = "0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0"
    accepted = "1: 0100007F:0050 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1234        0 78 1 0"
    ends = ("127.0.0.1", 50000), ("127.0.0.1", 80)
    table = tmp_path / "net" / "tcp"
    table.write_text(f"head\n{listens}\n")
    owners = Owners(None, tmp_path)
    assert owners(*ends) is None
    table.write_text(f"head\n{listens}\n{accepted}\n")
    assert owners(*ends) is None
    table.write_text(f"head\n{accepted}\n")
    assert owners(*ends) is not None, "without a listener, the user of the accepting process counts"


@needs_root
async def test_an_external_server_of_another_user_is_measured(tmp_path: Path) -> None:
    """Ollama runs under its own user on most machines."""
    port = free_port()
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"content":"x"}'
    with stranger_listening(port, answer=answer) as stranger:
        backend = Backend(name="a", url=f"http://127.0.0.1:{port}/", protocol="custom")
        async with brought_up(backend, tmp_path) as target:
            assert (await target.ask("hi")).text == "x"
        assert stranger.received().startswith(b"POST / ")


@needs_root
def test_a_hidden_process_of_another_user_is_foreign(tmp_path: Path) -> None:
    """To an ordinary user the process is hidden, but its uid is known."""
    port = free_port()
    with stranger_listening(port):

        def look(send: Send) -> None:
            launched = Launched(root=os.getpid(), mark="", began=0.0)
            send(repr(asyncio.run(port_owners(f"http://127.0.0.1:{port}", launched))).encode())

        seen = run_as(look, SOMEBODY)
    assert seen == b"PortOwners(foreign='a process of another user (uid 65534)', uids=frozenset({65534}))"


@needs_root
@pytest.mark.skipif(
    "::1" not in {info[4][0] for info in socket.getaddrinfo("localhost", 80)}, reason="localhost is IPv4 only here"
)
async def test_a_stranger_on_the_other_address_of_localhost_is_detected(tmp_path: Path) -> None:
    """`localhost` resolves to ::1 first, which is free if the server listens only on 127.0.0.1."""
    port = free_port()
    backend = truth_backend("a", api_key=KEY, url=f"http://localhost:{port}")
    backend = msgspec.structs.replace(backend, launch=[word.replace("{port}", str(port)) for word in backend.launch])
    with stranger_listening(port, host="::1") as stranger:
        target = Target(backend, CONFIG, tmp_path)
        with pytest.raises(StartError, match=f"port {port} is in use by"):
            await target.bring_up(quiet)
        await target.close()
        assert b"sk-a-key" not in stranger.received()


@needs_root
@pytest.mark.parametrize(("uid", "counts"), [(NOBODY, False), (0, True)])
def test_the_name_of_a_forwarder_is_not_sufficient(uid: int, counts: bool) -> None:
    """Any user can name a program docker-proxy."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Path("/proc/self/comm").write_text("docker-proxy")
            if uid:
                become(uid)
            os.write(write, b"!")
            signal.pause()
        finally:
            os._exit(0)
    os.close(write)
    try:
        assert os.read(read, 1) == b"!"
        assert ports._is_forwarder(psutil.Process(pid)) is counts
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(read)


def made_up(local: str, state: int = LISTEN, uid: int = 7, port: int = 80) -> TcpSocket:
    return TcpSocket(endpoint(local, port), endpoint("0.0.0.0", 0), state, uid, 1)


@pytest.mark.parametrize(
    ("listeners", "asked", "gets_it"),
    [
        (["127.0.0.1", "0.0.0.0", "::"], "127.0.0.1", ["127.0.0.1"]),
        (["0.0.0.0", "::"], "127.0.0.1", ["0.0.0.0"]),
        (["0.0.0.0", "::"], "::1", ["::"]),
        (["::"], "127.0.0.1", ["::"]),
        (["127.0.0.2"], "127.0.0.1", []),
    ],
)
def test_best_listeners(listeners: list[str], asked: str, gets_it: list[str]) -> None:
    rows = [made_up(local) for local in listeners] + [made_up(asked, port=81), made_up(asked, state=1)]
    assert [str(row.local.address) for row in best_listeners(rows, endpoint(asked, 80))] == gets_it


def test_a_connection_without_a_visible_listener_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("head\n")
    here, there = ("127.0.0.1", 50000), ("127.0.0.1", 80)
    failure = Owners(frozenset({os.getuid()}), tmp_path)(here, there)
    assert failure is not None and "port 80 belongs to no visible process" in failure.message
    assert Owners(frozenset(), tmp_path)(here, there) is None, "a port that the kernel forwards has no listener"
    assert Owners(None, tmp_path / "none")(here, there) is None, "a system without such a table"


def test_an_unreadable_table_admits_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when no file descriptor is left."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").touch()
    monkeypatch.setattr("llmtui.servers.socket_owners.tcp_sockets", lambda port, proc: None)
    failure = Owners(frozenset({os.getuid()}), tmp_path)(("127.0.0.1", 50000), ("127.0.0.1", 80))
    assert failure is not None and failure.kind == "server"


def test_connections_to_other_machines_are_not_looked_up(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "head\n0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0\n"
    )
    assert socket_owners(endpoint("10.0.0.1", 50000), endpoint("10.0.0.2", 80), tmp_path) == frozenset()
    assert socket_owners(endpoint("10.0.0.1", 50000), endpoint("10.0.0.1", 80), tmp_path) == frozenset({1000})


async def test_a_refused_connection_is_closed_without_sending() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = new_client(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            connect_timeout_s=5.0,
            admit=lambda here, there: Failure(kind="server", message=f"{there[1]}"),
        )
        with pytest.raises(NotAdmitted):
            await client.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", content=KEY)
        listener.settimeout(5)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(100) == b""
        await client.aclose()
