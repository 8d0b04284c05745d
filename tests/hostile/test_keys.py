"""API keys are sent to their server and appear nowhere else, whatever the server repeats."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from llmtui.accuracy.pty_monitor import Screen
from llmtui.config.schema import parse
from llmtui.link.process import EngineLaunch
from tests.cli import in_process
from tests.hostile.serving import LLMTUI, Hold, answer, content, drive, environment, llmtui, serving, told_by
from tests.hostile.serving import stream as events
from tests.scripted import Scripted, Step

LITERAL, FROM_ENV, HEADER = "sk-literal-0123456789abcdef", "sk-env-0123456789abcdef", "team-0123456789abcdef"
QUERY, LAUNCH, LAUNCH_ENV = "qk-0123456789abcdef", "lk-0123456789abcdef", "le-0123456789abcdef"
KEYS = [LITERAL, FROM_ENV, HEADER, QUERY, LAUNCH, LAUNCH_ENV]
#: No part of a key may appear: this piece of its middle identifies it, wherever it was cut.
PARTS = [part for key in KEYS for part in (key[:8].encode(), key[-12:].encode())]
ECHO = f"{LITERAL} Bearer {FROM_ENV} {HEADER} {QUERY} {LAUNCH} {LAUNCH_ENV}"
#: Keys cut by any limit, and with invisible characters in them.
TORN = "x" * 285 + LITERAL
SLIPPED = "\u200b".join(LITERAL) + "\x1b[0m".join(FROM_ENV)
SCRIPT = "import sys; print(*sys.argv); sys.exit(3)"


def scripts(hold: Hold) -> dict[bytes, Sequence[Sequence[Step]]]:
    body = json.dumps({"error": {"message": f"bad key {ECHO}"}}).encode()
    return {
        **told_by("text", ECHO),
        b"POST /text/": [events(content(f"{ECHO} {SLIPPED}", "stop", model=ECHO))],
        b"POST /said/": [answer(body, b"401 " + ECHO.encode(), more=b"X-Echo: " + ECHO.encode() + b"\r\n")],
        b"POST /torn/": [answer(json.dumps({"error": TORN}).encode(), b"500 X")],
        b"POST /junk/": [events((TORN[250:] + ECHO).encode())],
        b"POST /late/": [answer(b"", b"429 X", more=b"Retry-After: " + LITERAL.encode() + b"\r\n")],
        b"POST /move/": [answer(b"", b"302 X", more=b"Location: /" + TORN[170:].encode() + b"\r\n")],
        b"POST /slip/": [answer(json.dumps({"error": SLIPPED}).encode(), b"500 X")],
        b"POST /hold/": [[hold, *events(content("a", "stop"))]],
    }


PLACES = ("text", "said", "torn", "junk", "late", "move", "slip", "hold")


def config_for(url: str, folder: Path) -> Path:
    text = '[run]\niterations = 1\nwarmup = 0\norder = "sequential"\n'
    launch = [
        sys.executable,
        "-c",
        SCRIPT,
        "--api-key",
        LAUNCH,
        "--hf-token=${LAUNCH_ENV}",
        f"OPENAI_API_KEY={LITERAL}",
    ]
    text += f"[[backend]]\nname = 'dies'\nlaunch = {json.dumps(launch)}\n"
    for place in PLACES:
        text += f"[[backend]]\nname = '{place}'\nurl = '{url}/{place}?api-key={QUERY}&v=1'\n"
        # One key is in the file, one in the environment: both must be redacted in what their servers repeat.
        text += "api_key = '${FROM_ENV}'\n" + f"headers = {{ 'X-Team' = '{HEADER}', 'X-Key' = '{LITERAL}' }}\n"
        text += f"options = {{ access_token = '{LAUNCH}', user = '${{LAUNCH_ENV}}' }}\n"
    path = folder / "keys.toml"
    path.write_text(text)
    return path


ENV = {"FROM_ENV": FROM_ENV, "LAUNCH_ENV": LAUNCH_ENV}


@pytest.fixture
def hold() -> Hold:
    """The step at which the server waits before its last reply."""
    return Hold()


@pytest.fixture
def server(hold: Hold) -> Iterator[Scripted]:
    with serving(scripts(hold)) as served:
        yield served
        hold.release()


def assert_no_key(output: bytes, where: str) -> None:
    for part in PARTS:
        at = output.find(part)
        assert at < 0, f"{where}: {output[max(0, at - 80) : at + 40]!r}"


@pytest.mark.slow
def test_keys_are_sent_only_to_their_server(server: Scripted, hold: Hold, tmp_path: Path) -> None:
    config = config_for(server.url, tmp_path)
    files = ["--csv", "r.csv", "--iterations-csv", "i.csv", "--json", "all.json", "--markdown", "r.md"]
    env = environment(tmp_path, **ENV)
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        argv = [*LLMTUI, "run", str(config), *files]
        process = subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=stdout, stderr=stderr)
        assert hold.reached.wait(30), err.read_text()
        # During the run: the processes, their logs, and the history as it is written.
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(tree) >= 2
        for one in tree:
            assert_no_key(" ".join(one.cmdline()).encode(), "command line")
        logs = list((tmp_path / "r").rglob("engine.log"))
        assert len(logs) == 1
        for path in (*logs, *tmp_path.glob("history.db*")):
            assert_no_key(path.read_bytes(), path.name)
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as lines:
            client.connect(str(logs[0].parent / "engine.sock"))
            hello = lines.readline()
            assert b'"hello"' in hello
            assert_no_key(hello, "events of clients")
        hold.release()
        process.wait(30)
    asked = next(r for r in server.requests if r.startswith(b"POST /text/"))
    for key in (LITERAL, FROM_ENV, HEADER, QUERY, LAUNCH, LAUNCH_ENV):
        assert key.encode() in asked, "the server receives its keys"
    shown = [llmtui(tmp_path, *words, **ENV) for words in (["show", _run(tmp_path)], ["export", _run(tmp_path)])]
    for done in shown:
        assert_no_key(done.stdout + done.stderr, "show")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != config:
            assert_no_key(path.read_bytes(), path.name)
    output = out.read_text() + err.read_text()
    assert "***" in output and "bad key ***" in output and "HTTP 401" in output


def _run(folder: Path) -> str:
    return llmtui(folder, "history").stdout.decode().split()[0]


def test_check_prints_no_key(server: Scripted, hold: Hold, tmp_path: Path) -> None:
    hold.release()
    done = llmtui(tmp_path, "check", str(config_for(server.url, tmp_path)), **ENV)
    assert_no_key(done.stdout + done.stderr, "check")
    assert done.returncode == 1 and b"text  answers: ***" in done.stdout


@pytest.mark.slow
def test_the_monitor_draws_no_key(server: Scripted, hold: Hold, tmp_path: Path) -> None:
    hold.release()
    argv = [*LLMTUI, str(config_for(server.url, tmp_path)), "--only", "text", "--only", "dies", "--only", "torn"]
    screen = Screen(argv, environment(tmp_path, **ENV), columns=160, rows=50)
    keys = [b"1", b"\r", b"\x1b", b"2", b"\r", b"\x1b", b"3", b"\r", b"\x1b", b"q"]
    seen = drive(screen, keys, until=lambda seen: b" done" in seen and b"failed" in seen)
    assert b"***" in seen
    assert_no_key(seen, "screen")


CRASH = """
from llmtui.engine import __main__ as engine
from llmtui.engine.coordinator import Coordinator
async def crash(self):
    raise RuntimeError(f"out of joint: {self._run.plan!r}\\x1b]52;c;HOSTILE\\x07")
Coordinator.run = crash
engine.main()
"""


def test_an_engine_that_crashes_writes_no_key_into_its_log(tmp_path: Path) -> None:
    env = environment(tmp_path, **ENV)
    text = config_for("http://127.0.0.1:9", tmp_path).read_text()
    plan = parse(text, source="keys.toml", folder=tmp_path, environ=ENV).plan()
    (tmp_path / "r" / "llmtui" / plan.run).mkdir(mode=0o700, parents=True)
    launch = EngineLaunch(plan=plan, store=str(tmp_path / "history.db"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", CRASH],
        input=msgspec.json.encode(launch) + b"\n",
        capture_output=True,
        env=env,
        check=False,
        timeout=30,
    )
    assert b"out of joint: Plan(" in done.stderr and b"***" in done.stderr and done.returncode == 1
    assert b"\x1b" not in done.stderr
    assert_no_key(done.stderr + done.stdout, "engine.log")


@pytest.mark.parametrize(
    "wrong",
    [
        "url = 'http://user:{key}@h:1'",
        "url = 'http://user:{key}@h:99999'",
        "url = 'http://h:99999/?x=${{KEY}}'",
        "url = 'ftp://h/?x=${{KEY}}'",
        "url = 'http://h'\napi_key = ['{key}']",
        "url = 'http://h'\napi_key = '{key}\\u00e9'",
        "url = 'http://h'\nheaders = {{ A = ['{key}'] }}",
        "url = 'http://h'\nheaders = {{ A = '{key}\\n' }}",
        "url = 'http://h'\nlaunch = '${{KEY}}'",
        "url = 'http://h'\nlaunch = ['a', '${{KEY}}\\u0000']",
    ],
)
def test_no_error_of_the_config_repeats_a_key(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[[backend]]\nname = 'a'\n" + wrong.format(key=LITERAL).replace("'", '"') + "\n")
    done = in_process.llmtui("check", str(path), KEY=FROM_ENV)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert_no_key(done.stderr.encode(), "stderr")
