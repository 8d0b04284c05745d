"""The command that opens a line, the other end of one, and what is said when there is none. Without sshd."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

import llmtui
from llmtui.cli import on
from llmtui.config.schema import ConfigError
from llmtui.link.bridge import Bridge
from llmtui.link.line_messages import Join, Refused, Start
from llmtui.link.ssh import Line, LineError, OtherMachine, RefusedError
from llmtui.model.errors import UsageError
from tests.link.stand_ins import machine_of


@pytest.mark.parametrize(
    "host",
    [
        "-oProxyCommand=touch /tmp/x",
        "-oProxy=x",
        "me@-oProxy=x",
        "me@",
        "",
        "a b",
        "a\nb",
        "a\x1b[31m",
        "a`x`",
        "a;x",
    ],
)
def test_a_host_that_ssh_would_not_take_as_one_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="machine"):
        OtherMachine.named(host)


def test_the_program_there_is_one_quoted_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMTUI_SSH", "ssh -F 'a file'")
    bad = OtherMachine.named("me@far", "~/my llmtui; touch $(id)")
    argv = bad.command(again=True)
    assert argv[:3] == ["ssh", "-F", "a file"]
    assert argv[-3:-1] == ["--", "me@far"]
    assert "-oBatchMode=yes" in argv
    # What a shell makes of the command there.
    script = argv[-1].removeprefix("exec ")
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {script}"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.splitlines()
    assert words[-2:] == ["./my llmtui; touch $(id)", "link"]
    assert not list(tmp_path.iterdir())


GREETING = json.dumps({"line": "greeting", "llmtui": llmtui.__version__, "link": 1})
OTHER_GREETING = json.dumps({"line": "greeting", "llmtui": "9.9", "link": 2})


@pytest.mark.parametrize(
    ("script", "sentence", "asks"),
    [
        ("exit 127", "llmtui is not on the PATH of far; install it there .* or say where it is", True),
        ("echo 'no route to host' >&2; exit 255", "no connection to far: no route to host", False),
        ("echo 'me@far: Permission denied (publickey).' >&2; exit 255", "Permission denied", True),
        ("exit 2", r"llmtui on far ended before it answered \(exit code 2\); it may be older", True),
        (
            "echo This account is not available.; exit 1",
            "no llmtui answers on far; the shell there says: This account is not available",
            True,
        ),
        ("yes 'Welcome to the machine'", "far: what answers there is not llmtui; see --on-command", True),
        ("exec 2>&-; exit 255", "no connection to far: ssh ended without a reason", False),
        (f"echo '{OTHER_GREETING}'", f"llmtui 9.9 on far and {llmtui.__version__} here do not understand", True),
        ("kill -9 $$", "the line to far ended", False),
    ],
)
def test_no_line_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, sentence: str, asks: bool
) -> None:
    with pytest.raises(LineError, match=sentence) as caught:
        Line.open(machine_of(tmp_path, monkeypatch, script))
    assert caught.value.asks == asks


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_SSH", "/nowhere/ssh")
    with pytest.raises(LineError, match="/nowhere/ssh: is not on this machine; --on needs an OpenSSH client"):
        Line.open(OtherMachine.named("far"))


def test_a_shell_that_talks_is_skipped_and_a_refusal_has_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = msgspec.json.encode(Refused(problem="no active run", exit_code=2)).decode()
    # The last of what it says has no end of a line.
    script = f"echo Welcome; printf '%s' 'Last login: today '; echo '{GREETING}'; read line; echo '{refused}'"
    machine = machine_of(tmp_path, monkeypatch, script)
    line = Line.open(machine)
    try:
        with pytest.raises(RefusedError, match="far: no active run") as caught:
            line.ask(Join())
    finally:
        line.close()
    assert caught.value.exit_code == 2


def test_the_other_end_answers_a_plan_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    machine = machine_of(tmp_path, monkeypatch, f"exec {sys.executable} -P -m llmtui link")
    line = Line.open(machine)
    try:
        assert line.version == llmtui.__version__
        with pytest.raises(RefusedError, match=r"far: race\.toml from here.* iterations") as caught:
            line.ask(Start(words=[], config="[run]\niterations = 0\n", config_name="race.toml from here"))
    finally:
        line.close()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ('api_key = "sk-live-0123456789abcdef0123"', True),
        ('headers = { Authorization = "Bearer sk-live-0123456789abcdef0123" }', True),
        ('launch = ["server", "--api-key", "sk-live-0123456789abcdef0123"]', True),
        ('api_key = "${MY_KEY}"', False),
        ('api_key = "ollama"', False),
    ],
)
def test_keys_are_not_sent(setting: str, refused: bool) -> None:
    text = f'[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n{setting}\n'
    if not refused:
        on.refuse_keys(text, "race.toml", "far")
        return
    with pytest.raises(ConfigError, match="a key is written in backend 'a', and keys are not sent to far") as caught:
        on.refuse_keys(text, "race.toml", "far")
    assert "sk-live" not in str(caught.value)


def test_only_a_config_of_this_machine_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("race.toml").write_text("")
    Path("small.gguf").write_bytes(b"GGUF")
    assert on.config_among(["race.toml", "small.gguf"], ()) == (["small.gguf"], "race.toml")
    assert on.config_among(["ollama", "/there/race.toml"], ()) == (["ollama", "/there/race.toml"], None)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("me@far", ("me@far", None)),
        ("me@far:1a2b", ("me@far", "1a2b")),
        ("me@[::1]:1a2b", ("me@[::1]", "1a2b")),
        ("me@[::1]", ("me@[::1]", None)),
        ("ssh://me@far:2222", ("ssh://me@far:2222", None)),
        ("1a2b", None),
        ("@home", None),
    ],
)
def test_names_of_runs_elsewhere(name: str, there: tuple[str, str | None] | None) -> None:
    assert on.run_name(name) == there


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (OtherMachine("me@far"), "me@far:1a2b3c4d"),
        (OtherMachine("gpu"), "--on gpu 1a2b3c4d"),
        (OtherMachine("me@far", "my llmtui"), "me@far:1a2b3c4d --on-command 'my llmtui'"),
    ],
)
def test_the_command_that_attaches_again(machine: OtherMachine, words: str) -> None:
    assert machine.run_words("1a2b3c4d") == words


def test_a_bridge_carries_all_of_both_ways_and_ends_with_the_silence_of_the_line() -> None:
    engine, far = socket.socketpair()
    commands_out, commands_in = os.pipe()
    events_out, events_in = os.pipe()
    bridge = Bridge(far, commands_out, events_in, silence_s=0.5)
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(bridge.run()))
    thread.start()
    try:
        os.write(commands_in, b'\n{"do":"pause"}\n\n{"do":')
        assert engine.recv(100) == b'{"do":"pause"}\n'
        os.write(commands_in, b'"resume"}\n')
        assert engine.recv(100) == b'{"do":"resume"}\n'
        # More than the pipe and the socket hold.
        sending = threading.Thread(target=engine.sendall, args=(b"x" * 600_000,))
        sending.start()
        got = b""
        while len(got) < 600_000:
            got += os.read(events_out, 65536)
        sending.join(10)
        thread.join(10)
        assert ended == ["line"]
    finally:
        engine.close()
        far.close()
        for fd in (commands_out, commands_in, events_out, events_in):
            os.close(fd)
