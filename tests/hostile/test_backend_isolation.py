"""Isolation of backends: keys in the environment, cookies, zone ids, servers that never reply."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from llmtui.config.schema import parse
from llmtui.engine.bringup import Target
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig, Stop
from llmtui.servers import model_file as modelfile
from llmtui.servers.environment import withheld_variables
from llmtui.servers.process_tree import GuardedProcess
from llmtui.wire.common import host_and_port
from tests.engine.helpers import engine_for, plan_of, truth_backend
from tests.hostile.serving import DEADLINE_S, llmtui
from tests.scripted import CLOSE, FINISH, SSE_HEAD, scripted, token

NOT_FOUND = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"

# --- Keys in the environment. ---

CONFIG = """
[[backend]]
name = "ours"
launch = ["{python}", "-c", "{program}", "{{port}}"]
headers = {{ "X-Key" = "${{OURS_KEY}}" }}

[[backend]]
name = "theirs"
url = "http://127.0.0.1:9/v1?at=${{HOME}}"
api_key = "${{THEIR_KEY}}"

[[backend]]
name = "third"
url = "http://127.0.0.1:9"
headers = {{ Authorization = "Bearer ${{THIRD_TOKEN}}" }}
options = {{ user = "${{PLAIN}}", api_token = "${{FOURTH_TOKEN}}" }}
"""
ENVIRONMENT = {
    "OURS_KEY": "sk-ours-12345",
    "THEIR_KEY": "sk-theirs-12345",
    "COPY_OF_THEIR_KEY": "sk-theirs-12345",
    "WITH_THEIR_KEY": "postgres://u:sk-theirs-12345@h",
    "THIRD_TOKEN": "hf_third-12345",
    "FOURTH_TOKEN": "hf_fourth-12345",
    "PLAIN": "a user's plain name",
    "SAME_AS_PLAIN": "a user's plain name",
    "HOME": "/home/somebody",
    "PATH": "/usr/bin",
}
#: Writes its environment to the file in TELL, then replies to /health.
PROGRAM = (
    "import http.server, json, os, sys\n"
    "open(os.environ['TELL'], 'w').write(json.dumps(dict(os.environ)))\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


def backends() -> list[Backend]:
    text = CONFIG.format(python=sys.executable, program="pass")
    return parse(text, source="c.toml", folder=Path("/"), environ=ENVIRONMENT).backend


def test_a_launched_server_gets_only_its_own_keys() -> None:
    ours, theirs, third = backends()
    assert withheld_variables(ours, [ours, theirs, third], ENVIRONMENT) == {
        "THEIR_KEY",
        "COPY_OF_THEIR_KEY",
        "WITH_THEIR_KEY",
        "THIRD_TOKEN",
        "FOURTH_TOKEN",
    }
    assert withheld_variables(theirs, [ours, theirs], ENVIRONMENT) == {"OURS_KEY"}


def test_a_shared_key_is_passed_to_both_backends() -> None:
    one, two = Backend(name="one", api_key="sk-shared-1"), Backend(name="two", headers={"X": "sk-shared-1"})
    assert withheld_variables(one, [one, two], {"KEY": "sk-shared-1"}) == frozenset()


def test_short_values_in_other_variables_are_not_withheld() -> None:
    one, two = Backend(name="one"), Backend(name="two", api_key="true", secrets=["true", "/root"])
    environment = {"DEBUG": "true", "HOME": "/root", "API_KEY": "true"}
    assert withheld_variables(one, [one, two], environment) == {"API_KEY"}


async def test_a_download_or_a_conversion_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_API_KEY", "sk-theirs-12345")
    dump = tmp_path / "environment.json"
    program = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    code = await modelfile._run(
        GuardedProcess(tmp_path / "log"), [sys.executable, "-c", program, str(dump)], lambda: None, env={"OURS": "1"}
    )
    environment = json.loads(dump.read_text())
    assert (code, environment["OURS"], "PATH" in environment) == (0, "1", True)
    assert "THEIR_API_KEY" not in environment


async def test_the_process_of_a_server_has_no_key_of_another_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = tmp_path / "environment.json"
    for name, value in {"OUR_KEY": "sk-ours-12345", "THEIR_KEY": "sk-theirs-12345", "TELL": str(dump)}.items():
        monkeypatch.setenv(name, value)
    launched = Backend(name="ours", launch=[sys.executable, "-c", PROGRAM, "{port}"], api_key="sk-ours-12345")
    theirs = Backend(name="theirs", url="http://127.0.0.1:9", api_key="sk-theirs-12345")
    async with engine_for(plan_of(launched, theirs, iterations=1, warmup=0)) as run:
        await run.until_done()
    environment = json.loads(dump.read_text())
    assert environment["OUR_KEY"] == "sk-ours-12345"
    assert "THEIR_KEY" not in environment and "sk-theirs-12345" not in environment.values()


# --- Cookies. ---


@pytest.mark.parametrize("attributes", [b"", b"; Path=/", b"; Domain=127.0.0.1", b"; HttpOnly; Max-Age=99999"])
async def test_a_cookie_is_never_sent_back(attributes: bytes, tmp_path: Path) -> None:
    cookie = b"Set-Cookie: seen=before%b\r\n" % attributes
    async with scripted([NOT_FOUND.replace(b"\r\nC", b"\r\n" + cookie + b"C")]) as server:
        server.by_path = {b"POST": [[SSE_HEAD.replace(b"\r\nC", b"\r\n" + cookie + b"C"), token("x"), FINISH, CLOSE]]}
        target = Target(Backend(name="a", url=server.url, model="m"), RunConfig(), tmp_path)
        await target.bring_up(lambda _, __: None)
        for _ in range(3):
            await target.ask("hi")
        await target.close()
        assert len(server.requests) > 3
        assert not [request for request in server.requests if b"cookie" in request.lower()]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("odd", [b"a=b; max-age=" + b"9" * 4000, b"a" + b";a" * 10_000, b"\xff=\xfe"])
async def test_an_invalid_cookie_is_not_parsed(odd: bytes) -> None:
    for name in (b"Set-Cookie", b"set-cookie2"):
        answer = b"HTTP/1.1 204 X\r\n%b: %b\r\nContent-Length: 0\r\n\r\n" % (name, odd)
        async with scripted([answer]) as server, new_client(server.url, connect_timeout_s=5.0) as client:
            response = await client.get(server.url)
            assert name.decode().lower() not in response.headers and not client.cookies


# --- Zone ids. ---


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://[fe80::1%25lo]:8080/v1", ("fe80::1%lo", 8080)),
        ("http://[fe80::1%25Eth0]", ("fe80::1%Eth0", 80)),
        ("https://[::1]/x", ("::1", 443)),
        ("http://h%25x:1", ("h%x", 1)),
    ],
)
def test_a_zone_id_is_decoded_for_the_socket(url: str, place: tuple[str, int]) -> None:
    assert host_and_port(url) == place


async def test_the_transport_connects_to_the_decoded_zone_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """getaddrinfo does not resolve `%25lo`."""
    places: list[tuple[str, int]] = []

    async def record(host: str, port: int, timeout_s: float | None) -> None:
        places.append((host, port))
        raise httpx.ConnectError("far enough")

    monkeypatch.setattr("llmtui.measure.transport.connect", record)
    url = "http://[fe80::1%25lo]:81/v1"
    async with new_client(url, connect_timeout_s=5.0) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
    assert places == [("fe80::1%lo", 81)]


# --- Silence. ---


@pytest.fixture
def silent() -> Iterator[list[str]]:
    """Servers that accept connections and never reply: each times out after 10 s, fifty in sequence after 500 s.

    DEADLINE_S is far below that, and far above 10 s, since other tests may take the processor.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(50)]
        yield [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]


@pytest.mark.slow
async def test_fifty_silent_backends_delay_a_good_one_no_longer_than_one(silent: list[str]) -> None:
    backends = [Backend(name=f"silent {n}", url=url, model="m") for n, url in enumerate(silent)]
    plan = plan_of(*backends, truth_backend("good"), iterations=1, warmup=0)
    async with engine_for(plan) as run:
        await run.until(lambda run_view: all(run_view.backends[b.name].state.state == "loading" for b in backends))
        run_view = await run.until_done(DEADLINE_S)
        assert {run_view.backends[b.name].state.state for b in backends} == {"failed"}
        assert run_view.backends["good"].state.state == "done"


async def test_one_of_several_loading_backends_can_be_stopped(silent: list[str]) -> None:
    backends = [Backend(name=name, url=url, model="m") for name, url in zip("abc", silent, strict=False)]
    async with engine_for(plan_of(*backends, iterations=3, warmup=0)) as run:
        await run.until(lambda run_view: all(run_view.backends[n].state.state == "loading" for n in "abc"))
        await run.client.send(Stop(backend="b"))
        run_view = await run.until(lambda run_view: run_view.backends["b"].state.state == "stopped")
        assert {run_view.backends[n].state.state for n in "ac"} == {"loading"}
        for name in "ac":
            await run.client.send(Stop(backend=name))
        run_view = await run.until_done()
        assert {run_view.backends[n].state.state for n in "abc"} == {"stopped"}
        assert run_view.run.total == 0


@pytest.mark.slow
def test_check_queries_silent_backends_concurrently(silent: list[str], tmp_path: Path) -> None:
    blocks = [f'[[backend]]\nname = "silent {n}"\nurl = "{url}"\nmodel = "m"\n' for n, url in enumerate(silent)]
    (tmp_path / "c.toml").write_text("\n".join(blocks))
    done = llmtui(tmp_path, "check", "c.toml")
    lines = done.stdout.decode().splitlines()
    assert [line.partition("  ")[0].strip() for line in lines] == [f"silent {n}" for n in range(50)]
    assert all("connects, but does not reply within 10 s" in line for line in lines)
    assert done.returncode == 1
