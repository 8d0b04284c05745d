"""`llmtui serve` over real sockets: one run for all pages, refused requests, and cleanup."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, WSServerHandshakeError

from llmtui.cli.serve.access import Refusal, foreign
from llmtui.cli.serve.command import _listen, _print_address
from llmtui.cli.serve.connections import Limits
from llmtui.cli.serve.pages import _parse, packet
from tests.cli import chromium
from tests.cli.served import DEADLINE_S, ENDLESS, Served, page_of, serving
from tests.engine.helpers import assert_gone, process_tree
from tests.hostile.raw_requests import answer_to_stranger, head, with_token
from tests.hostile.strangers import needs_root

DONE = "the run is done"
METRICS_TOKEN = "a-token-that-stays-the-same-for-weeks"


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that lasts as long as the tests of this module."""
    folder = tmp_path_factory.mktemp("going")
    file = folder / "metrics-token"
    file.write_text(f"{METRICS_TOKEN}\n")
    file.chmod(0o600)
    with serving(folder, ENDLESS, "--metrics", "--metrics-token-file", str(file)) as served:
        yield served


@pytest.mark.slow
async def test_all_pages_show_one_run_and_closing_one_does_not_end_it(going: Served) -> None:
    async with page_of(going) as first, page_of(going) as second:
        await first.until(b"omega")
        await second.until(b"omega")
        assert len(going.children("llmtui.engine")) == 1
        pages = going.children("llmtui.ui.browser")
        assert len(pages) == 2
        await first.socket.send_json(["stdin", "q"])
        await first.until_closed()
        # After a resize everything is drawn again, so the run is still there.
        await second.socket.send_json(["resize", {"width": 80, "height": 24}])
        second.seen = b""
        await second.until(b"alpha")
    gone = await asyncio.to_thread(psutil.wait_procs, pages, DEADLINE_S)
    assert gone[1] == []
    assert len(going.children("llmtui.engine")) == 1


async def test_the_page_loads_nothing_from_other_hosts(going: Served) -> None:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session, session.get(going.address) as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
        ours = going.url.partition("//")[2]
        assert set(re.findall(r"\b\w+://([^/\"' ]*)", text)) == {ours}
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "*" not in policy
        for path in re.findall(r'(?:src|href)="?(/[^")]+)', text) + re.findall(r'url\("([^"]+)"\)', text):
            async with session.get(going.url + path) as part:
                assert part.status == 200, path
                if path.endswith(".css"):
                    assert "url(" not in await part.text() and "@import" not in await part.text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9999"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8321"}, 403),
        ({"Host": '127.0.0.1:"><script>'}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
    ],
)
async def test_requests_with_foreign_host_or_origin_are_refused(
    headers: dict[str, str], status: int, going: Served
) -> None:
    async with ClientSession() as session:
        for path in ("/", "/static/js/textual.js"):
            async with session.get(going.path(path), headers=headers) as response:
                assert response.status == status


async def test_metrics_follow_the_rules_of_the_pages(going: Served) -> None:
    async with ClientSession() as session:
        for url, headers in ((f"{going.url}/metrics", {}), (going.path("/metrics"), {"Host": "evil.example"})):
            async with session.get(url, headers=headers) as response:
                assert response.status == 403
        async with session.get(going.path("/metrics")) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            assert response.headers["Cache-Control"] == "no-store"
            text = await response.text()
    assert re.search(r'^llmtui_iterations_total\{backend="alpha",outcome="finished"\} \d+$', text, re.MULTILINE)
    assert text.endswith("# EOF\n") and going.token not in text


async def test_the_token_of_metrics_opens_nothing_else(going: Served) -> None:
    bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    asked = {
        ("/metrics", METRICS_TOKEN): 200,
        ("/metrics", METRICS_TOKEN + "x"): 403,
        ("/", METRICS_TOKEN): 403,
        ("/ws", METRICS_TOKEN): 403,
        ("/static/js/textual.js", METRICS_TOKEN): 403,
    }
    async with ClientSession() as session:
        for (path, token), status in asked.items():
            async with session.get(f"{going.url}{path}?token={token}") as response:
                assert response.status == status, path
        for path, status in (("/metrics", 200), ("/", 403)):
            async with session.get(f"{going.url}{path}", headers=bearer) as response:
                assert response.status == status
                assert "Set-Cookie" not in response.headers
        async with session.get(f"{going.url}/metrics", headers=bearer | {"Host": "evil.example"}) as response:
            assert response.status == 403
    assert METRICS_TOKEN not in going.err


@needs_root
def test_another_user_can_only_scrape(going: Served) -> None:
    address = ("127.0.0.1", going.port)
    bearer, close = f"Authorization: Bearer {METRICS_TOKEN}", "Connection: close"
    assert b"llmtui_run_info" in answer_to_stranger(address, head(going, "/metrics", bearer, close))
    for path in ("/metrics", "/"):
        refused = answer_to_stranger(address, with_token(going, path, close))
        assert refused.startswith(b"HTTP/1.1 403") and b"another user of this machine" in refused


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"Host": "evil.example"}, {"origin": "null"}])
async def test_websockets_with_foreign_host_or_origin_are_refused(headers: dict[str, str], going: Served) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        async with page_of(going, **headers):
            pass
    assert refused.value.status == 403


async def test_invalid_messages_of_a_page_are_skipped(going: Served) -> None:
    async with page_of(going) as page:
        for message in ("{", "[]", '["stdin", 1]', '["resize", {"width": "x", "height": 1e999}]', "[" * 50_000):
            await page.socket.send_str(message)
        await page.socket.send_bytes(b"\xff")
        await page.socket.send_json(["ping", "42"])
        async with asyncio.timeout(DEADLINE_S):
            while (reply := await page.socket.receive()).type is not WSMsgType.TEXT:
                pass
        assert reply.json() == ["pong", "42"]
        await page.until(b"alpha")


def test_sizes_and_text_of_a_page_are_limited() -> None:
    assert _parse('["resize", {"width": 999999999, "height": -4}]') == (
        "meta",
        packet(b"M", b'{"type": "resize", "width": 500, "height": 2}'),
    )
    assert _parse('["stdin", "\\ud800"]') == ("data", packet(b"D", b"?"))
    assert Limits.for_files(10**6).pages < 100


@pytest.mark.slow
async def test_a_finished_run_is_shown_until_serve_ends(tmp_path: Path) -> None:
    with serving(tmp_path, 2) as served:
        await asyncio.to_thread(served.until, DONE)
        for _ in range(2):
            async with page_of(served) as page:
                await page.until(b"4/4")
        served.process.send_signal(signal.SIGINT)
        out = await asyncio.to_thread(served.end)
        assert served.process.returncode == 0
        assert "vs best" in out and "alpha" in out


@pytest.mark.slow
async def test_control_c_ends_pages_engine_and_servers(tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS) as served:
        async with page_of(served) as page:
            await page.until(b"omega")
            tree = process_tree(served.process.pid)
            assert len(tree) >= 5
            served.process.send_signal(signal.SIGINT)
            await page.until_closed()
        await asyncio.to_thread(served.end)
        assert served.process.returncode == 130
        assert "Traceback" not in served.err
        await asyncio.to_thread(assert_gone, tree)
    assert list((tmp_path / "r" / "llmtui").iterdir()) == []


@pytest.mark.slow
async def test_no_process_outlives_a_killed_serve(tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS) as served:
        async with page_of(served) as page:
            await page.until(b"omega")
            tree = process_tree(served.process.pid)
            served.process.kill()
            await asyncio.to_thread(assert_gone, tree)


@pytest.mark.slow
def test_a_used_port_is_refused_before_the_run_starts(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "llmtui", "serve", str(tmp_path / "c.toml"), "--port", port]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"llmtui: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --host or --port\n"
    )
    assert os.listdir(tmp_path) == ["c.toml"]


def test_a_missing_package_is_named() -> None:
    program = "import sys; sys.modules['textual_serve'] = None; from llmtui.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "llmtui: serve needs further packages; try: pip install 'llmtui[serve]'\n"


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_listening_beyond_loopback_warns(host: str, warns: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with _listen(host, 0) as listener:
        _print_address(listener, "SECRET")
    err = capsys.readouterr().err
    assert ("is not encrypted" in err) is warns
    assert "//0.0.0.0" not in err
    assert err.count("SECRET") == 1


def test_the_name_given_as_host_is_accepted() -> None:
    assert foreign("gpu-box:8321", "http://gpu-box:8321", "gpu-box") is None
    assert isinstance(foreign("gpu-box:8321", None, "127.0.0.1"), Refusal)
    assert foreign("[::1]:8321", "http://[::1]:8321", "::1") is None
    assert isinstance(foreign("", None, ""), Refusal)


@pytest.mark.slow
@pytest.mark.skipif(chromium.PROGRAM is None, reason="needs chromium on PATH")
async def test_a_real_browser_shows_the_monitor(going: Served, tmp_path: Path) -> None:
    async with chromium.browser(tmp_path) as browser:
        await browser.open(going.address, 1280, 800)
        await browser.until("document.body.classList.contains('-first-byte')")
        await browser.until("document.fonts.check('16px \"Roboto Mono\"')")
        host = going.url.partition("//")[2]
        assert {re.sub(r"^\w+://([^/]*).*", r"\1", url) for url in browser.asked} == {host}
        assert browser.logged == []
        assert await browser.evaluate("location.href") == f"{going.url}/", "the token has left the address bar"
        async with asyncio.timeout(DEADLINE_S):
            # The terminal is a canvas without text; an empty page has a few kB.
            while len(await browser.screenshot()) < 30_000:
                pass
        await browser.type("q")
        await browser.until("document.body.classList.contains('-closed')")
        assert "continues" in await browser.evaluate("document.body.innerText")
        await browser.open(f"{going.url}/", 1280, 800)
        await browser.until("document.body.classList.contains('-first-byte')")
        assert await browser.evaluate("document.cookie") == "", "the cookie opens the page, and no script can read it"
