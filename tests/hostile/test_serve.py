"""`llmtui serve` is for its user alone: strangers, forged headers and guessed tokens get nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, WSServerHandshakeError

from llmtui.cli.serve import access as serve_access
from llmtui.cli.serve.access import Connected, Owner, owners
from llmtui.servers.tcp_table import PROC, TcpSocket, endpoint
from tests.cli.served import DEADLINE_S, ENDLESS, Served, page_of, serving
from tests.hostile.raw_requests import (
    HANDSHAKE,
    answer,
    answer_to_stranger,
    head,
    status,
    stranger_connecting,
    with_token,
)
from tests.hostile.strangers import NOBODY, needs_root

CLOSED = (b"", b"ConnectionResetError", b"BrokenPipeError")


def foreign_user(peer: tuple[str, int], local: tuple[str, int], proc: Path = PROC) -> bool:
    """Whether the connection from `peer` to `local` is refused."""
    return owners([Connected(endpoint(*peer), endpoint(*local))], proc) != [Owner.ALLOWED]


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that goes on, served on this machine's loopback."""
    with serving(tmp_path_factory.mktemp("going"), ENDLESS) as served:
        yield served


# --- Other users of this machine. ---


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_another_user_is_cut_off_before_a_byte_is_read_even_with_the_token(host: str, tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS, "--host", host) as served:
        ways: list[tuple[str, tuple[str, int] | None]] = [("127.0.0.1", None)]
        if host == "::":
            # Each of these came in: as ::ffff:127.0.0.1, and through an address that is not loopback.
            ways += [("::1", None), *((address, None) for address in own_addresses())]
            ways += [("127.0.0.1", (address, 0)) for address in own_addresses() if "." in address]
        for address, source in ways:
            request = with_token(served, host="127.0.0.1")
            assert answer_to_stranger((address, served.port), request, source) in CLOSED, address
            assert (
                status(answer(served, with_token(served, "/", "Connection: close", host="127.0.0.1"), address)) == 200
            )
        served.until("refused a connection")
        assert served.err.count("refused a connection") == 1, "however many they were"


def own_addresses() -> list[str]:
    """The addresses of this machine that are neither loopback nor bound to one interface."""
    found = [
        each.address for interface in psutil.net_if_addrs().values() for each in interface if each.family in (2, 10)
    ]
    return [address for address in found if not address.startswith(("127.", "::1", "fe80"))]


@pytest.mark.slow
@needs_root
def test_a_flood_of_connections_by_a_stranger_blocks_no_client(going: Served) -> None:
    before = going.err
    with stranger_connecting(("127.0.0.1", going.port)):
        for _ in range(10):
            begun = time.monotonic()
            assert status(answer(going, with_token(going, "/", "Connection: close"))) == 200
            assert time.monotonic() - begun < DEADLINE_S
    assert len(going.err[len(before) :].splitlines()) <= 1


@needs_root
def test_a_half_closed_connection_of_a_stranger_is_refused(going: Served) -> None:
    """What is closed carries uid 0 in the table, and root's own process would take it for its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.seteuid(NOBODY)
        try:
            knock = socket.socket()
        finally:
            os.seteuid(0)
        with knock:
            knock.connect(listener.getsockname())
            ends = knock.getsockname(), listener.getsockname()
            assert foreign_user(*ends)
            accepted = listener.accept()[0]
            knock.close()
            with accepted:
                assert foreign_user(*ends), "it waits for our side to close"
        assert foreign_user(*ends), "it is gone, or in TIME_WAIT"


def test_a_connection_of_this_user_is_admitted(going: Served) -> None:
    for host in ("127.0.0.1", "::1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with (
            socket.create_server((host, 0), family=family) as listener,
            socket.create_connection(listener.getsockname()[:2]) as mine,
        ):
            assert not foreign_user(mine.getsockname()[:2], listener.getsockname()[:2])


ME = os.getuid()
ESTABLISHED, FIN_WAIT2, TIME_WAIT = 1, 5, 6


def table(folder: Path, *rows: tuple[str, str, int, int, int]) -> Path:
    """A made-up proc file system: local end, remote end (as in the kernel's table), state, uid and inode of each."""
    (folder / "net").mkdir()
    lines = [
        f"{number:4d}: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 1"
        for number, (local, remote, state, uid, inode) in enumerate(rows)
    ]
    (folder / "net" / "tcp").write_text("\n".join(["  sl  local_address rem_address   st ...", *lines]) + "\n")
    (folder / "net" / "tcp6").write_text("  sl  local_address rem_address   st ...\n")
    return folder


@pytest.mark.skipif(sys.byteorder != "little", reason="the made-up tables are little-endian")
@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        pytest.param([("0100007F:C000", "0100007F:2081", ESTABLISHED, ME, 7)], False, id="ours"),
        pytest.param([("0100007F:C000", "0100007F:2081", ESTABLISHED, ME + 1, 7)], True, id="another user's"),
        pytest.param([("0100007F:C000", "0100007F:2081", ESTABLISHED, ME, 0)], True, id="held by no process"),
        pytest.param([("0100007F:C000", "0100007F:2081", TIME_WAIT, 0, 0)], True, id="closed"),
        pytest.param([("0100007F:C000", "0100007F:2081", FIN_WAIT2, ME, 7)], True, id="half closed"),
        pytest.param([("0200007F:C000", "0100007F:2081", ESTABLISHED, ME, 7)], True, id="the ports from elsewhere"),
        pytest.param([("0100007F:C000", "0200007F:2081", ESTABLISHED, ME, 7)], True, id="the ports to elsewhere"),
        pytest.param([("0100007F:2081", "0100007F:C000", ESTABLISHED, ME, 7)], True, id="only our own end"),
        pytest.param([("0100007F:C000", "0100007F:2082", ESTABLISHED, ME, 7)], True, id="to another port"),
        pytest.param(
            [
                ("0200007F:C000", "0200007F:2081", TIME_WAIT, 0, 0),
                ("0100007F:2081", "0100007F:C000", ESTABLISHED, ME, 8),
                ("0100007F:C000", "0100007F:2081", ESTABLISHED, ME + 1, 7),
            ],
            True,
            id="another user's behind rows that are alike",
        ),
        pytest.param([], True, id="in no row"),
    ],
)
def test_the_row_of_a_loopback_connection_decides(
    rows: list[tuple[str, str, int, int, int]], refused: bool, tmp_path: Path
) -> None:
    proc = table(tmp_path, *rows)
    assert foreign_user(("127.0.0.1", 0xC000), ("127.0.0.1", 0x2081), proc) is refused
    assert foreign_user(("::ffff:127.0.0.1", 0xC000), ("::ffff:127.0.0.1", 0x2081), proc) is refused


@pytest.mark.skipif(sys.byteorder != "little", reason="the made-up tables are little-endian")
def test_other_addresses_need_a_row_or_a_remote_peer(tmp_path: Path) -> None:
    proc = table(
        tmp_path,
        ("010200C0:C000", "020200C0:2081", ESTABLISHED, ME + 1, 7),
        ("010200C0:C001", "020200C0:2081", ESTABLISHED, ME, 7),
        ("010200C0:C002", "020200C0:2081", TIME_WAIT, 0, 0),
    )
    ours = ("192.0.2.2", 0x2081)
    for port, refused in ((0xC000, True), (0xC001, False), (0xC002, True), (0xC003, False)):
        assert foreign_user(("192.0.2.1", port), ours, proc) is refused
    assert foreign_user(("192.0.2.2", 0xC003), ours, proc), "our own address is this machine"
    assert foreign_user(("127.0.0.1", 0xC003), ours, proc)
    assert foreign_user(("192.0.2.1", 0xC003), ("127.0.0.1", 0x2081), proc), "nothing remote reaches loopback"


def test_a_missed_row_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = TcpSocket(endpoint("127.0.0.1", 5), endpoint("127.0.0.1", 6), ESTABLISHED, ME, 7)
    for misses, refused in ((0, False), (1, False), (2, False), (3, True)):
        readings: Iterator[list[TcpSocket]] = iter([[]] * misses + [[row]])
        monkeypatch.setattr(serve_access, "tcp_sockets", lambda port, proc, readings=readings: next(readings))
        assert foreign_user(("127.0.0.1", 5), ("127.0.0.1", 6), tmp_path) is refused


def test_a_table_that_cannot_be_read_refuses_on_linux_and_elsewhere_the_token_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for platform, refused in (("linux", True), ("darwin", False)):
        monkeypatch.setattr("llmtui.cli.serve.access.sys.platform", platform)
        assert foreign_user(("127.0.0.1", 5), ("127.0.0.1", 6), tmp_path) is refused
        assert foreign_user(("192.0.2.1", 5), ("192.0.2.2", 6), tmp_path) is refused


# --- The token. ---


async def test_every_path_requires_the_token(going: Served) -> None:
    for query in ("", "?token=", "?token=wrong", f"?token={going.token[:-1]}", f"?token={going.token}x", "?token=%ff"):
        for path in ("/", "/static/js/textual.js", "/nothing", "/ws"):
            got = await asyncio.to_thread(answer, going, head(going, path + query, *HANDSHAKE))
            assert status(got) == 403, path + query
            assert got.endswith(
                b"\r\n\r\nllmtui: refused: open the address that `llmtui serve` printed, "
                b"which contains the token of this run\n"
            )
            assert b"Connection: close" in got and b"Set-Cookie" not in got


@pytest.mark.slow
async def test_the_token_in_the_url_sets_a_cookie_that_admits_later_requests(going: Served) -> None:
    for path in ("/", "/static/js/textual.js"):
        async with ClientSession() as session, session.get(going.path(path)) as response:
            assert response.status == 200 and not response.history
            assert ("Set-Cookie" in response.headers) is (path == "/")
            assert going.token not in await response.text()
            assert "Location" not in response.headers
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.get(going.address) as response:
            given = response.headers["Set-Cookie"]
            name, _, rest = given.partition("=")
            assert name == f"llmtui-{going.port}"
            assert set(rest.split("; ")) == {going.token, "HttpOnly", "Path=/", "SameSite=Strict"}
        for path in ("/", "/static/js/textual.js"):
            async with session.get(going.url + path) as response:
                assert response.status == 200 and "Set-Cookie" not in response.headers
        async with session.ws_connect(f"{going.url}/ws", origin=going.url) as page:
            assert (await page.receive(DEADLINE_S)).type is WSMsgType.BINARY
    async with page_of(going) as page:
        await page.until(b"alpha")


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("llmtui-{port}={token}", 200),
        ("a=b; llmtui-{port}=forged; llmtui-{port}={token}", 200),
        ("llmtui-{port}={token}; llmtui-{port}=forged", 200),
        ("llmtui-{other}={token}", 403),
        ("{token}", 403),
        ("llmtui-{port}=\xff\xfe", 403),
        ("llmtui-{port}", 403),
        ("=;=;;", 403),
    ],
)
def test_cookies_are_compared_by_name_and_value(cookie: str, expected: int, going: Served) -> None:
    text = cookie.format(port=going.port, other=going.port + 1, token=going.token)
    assert status(answer(going, head(going, "/", f"Cookie: {text}", "Connection: close"))) == expected


async def test_a_page_from_another_port_cannot_use_the_cookie(going: Served) -> None:
    """To a browser another port is the same site, so the cookie comes along; the Origin tells."""
    cookie = f"llmtui-{going.port}={going.token}"
    with pytest.raises(WSServerHandshakeError) as refused:
        async with page_of(going, origin="http://127.0.0.1:9", address=f"{going.url}/ws", Cookie=cookie):
            pass
    assert refused.value.status == 403
    got = await asyncio.to_thread(answer, going, head(going, "/", f"Cookie: {cookie}", "Connection: close"))
    assert b"Cross-Origin-Resource-Policy: same-origin" in got and b"frame-ancestors 'none'" in got


async def test_the_token_is_printed_once_and_in_no_command_line_or_environment(going: Served) -> None:
    # A line that is too long is quoted by those who complain of it.
    await asyncio.to_thread(answer, going, with_token(going, "/" + "x" * 9000))
    async with page_of(going) as page:
        await page.until(b"alpha")
        for process in going.children(""):
            assert going.token not in " ".join(process.cmdline())
            assert going.token not in str(process.environ())
    assert going.err.count(going.token) == 1


@pytest.mark.slow
def test_each_run_has_a_token_of_its_own(going: Served, tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS) as other:
        assert other.token != going.token
        assert status(answer(other, head(other, f"/?token={going.token}"))) == 403


# --- Headers. ---


@pytest.mark.parametrize(
    ("request_lines", "expected"),
    [
        (["GET {path} HTTP/1.1", "Host: {host}", "Host: {host}"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}", "Host: evil.example"], 400),
        (["GET {path} HTTP/1.0"], 400),
        (["GET {path} HTTP/1.1"], 400),
        (["GET {path} HTTP/1.1", "Host:"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}, evil.example"], 400),
        (["GET {path} HTTP/1.1", "Host: evil.example@{host}"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}", "Origin: http://{host}", "Origin: http://evil.example"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}", "Origin: http://evil.example", "Origin: http://{host}"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}", "Origin: http://{host}, http://evil.example"], 403),
        (["GET {path} HTTP/1.1", "Host: {host}", "Origin:"], 403),
        (["GET http://evil.example{path} HTTP/1.1", "Host: {host}"], 400),
        (["GET http://{host}{path} HTTP/1.1", "Host: {host}"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}.evil.example"], 400),
        (["GET {path} HTTP/1.1", "Host: {host}", "X-Forwarded-Host: evil.example"], 200),
    ],
)
def test_requests_need_our_host_and_at_most_one_origin(request_lines: list[str], expected: int, going: Served) -> None:
    host = going.url.partition("//")[2]
    path = f"/?token={going.token}"
    lines = [line.format(host=host, path=path) for line in [*request_lines, "Connection: close"]]
    assert status(answer(going, ("\r\n".join(lines) + "\r\n\r\n").encode())) == expected
