"""The monitor in a real terminal: modes are restored on every way out; resize storms and random keys are survived.

A pseudo-terminal records the bytes; tmux renders the screen.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sys
import termios
import threading
import time
from pathlib import Path

import psutil
import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from llmtui.ui.run import HangupStream
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle
from tests.ui.tmux import WAIT_S, Tmux

#: Alternate screen, cursor, mouse (clicks, moves, any move, SGR), focus, bracketed paste, line wrap, in-band resize.
MODES = {"1049": "l", "25": "h", "1000": "l", "1003": "l", "1006": "l", "1004": "l", "2004": "l", "7": "h"}


def config(folder: Path, iterations: int = 10_000) -> Path:
    launch = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--itl-ms", "12"]
    path = folder / "config.toml"
    path.write_text(
        f"[run]\niterations = {iterations}\nwarmup = 0\nmax_tokens = 8\non_disconnect = 'stop'\n"
        f"[[backend]]\nname = 'one'\nlaunch = {json.dumps(launch)}\n"
    )
    return path


def seen_until(screen: Screen, wanted: re.Pattern[bytes]) -> bytes:
    data = b""
    for chunk in screen.chunks(WAIT_S):
        data += chunk
        if wanted.search(data):
            return data
    raise AssertionError(f"{wanted.pattern!r} did not come: {data[-400:]!r}")


def until_help(screen: Screen) -> bytes:
    """Leave whatever is open, and open the help. A busy monitor reads keys together, which are one sequence then."""
    data = b""
    for attempt in range(20):
        for key in (b"\x1b", b"1", b"?"):
            screen.press(key)
            data += (last := b"".join(screen.chunks(0.2 * (1 + attempt))))
        if attempt > 2 and b"esc closes" in last:
            return data
    raise AssertionError(f"the help did not open: {data[-400:]!r}")


def rest_of(screen: Screen) -> bytes:
    return b"".join(screen.chunks(WAIT_S))


def assert_restored(data: bytes) -> None:
    for mode, end in MODES.items():
        switches = re.findall(rb"\x1b\[\?%b([hl])" % mode.encode(), data)
        assert not switches or switches[-1].decode() == end, f"mode {mode}: {switches}"
    assert data.count(b"\x1b[22;0t") == data.count(b"\x1b[23;0t") == 1
    assert data.index(b"\x1b[23;0t") > data.rindex(b"\x1b]2;llmtui")
    assert data.rindex(b"\x1b[<u") > data.rindex(b"\x1b[>")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["quit", "detach", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_restored(way: str, home: Path) -> None:
    screen = Screen(monitor_argv(config(home)), columns=80, rows=24)
    attributes = termios.tcgetattr(screen.fileno())
    try:
        data = seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9][0-9]*/10000 running\x07"))
        assert termios.tcgetattr(screen.fileno()) != attributes
        match way:
            case "quit":
                screen.press(b"q")
                data += seen_until(screen, re.compile(rb"still in progress"))
                screen.press(b"q")
            case "detach":
                screen.press(b"d")
            case _:
                os.kill(screen.pid, getattr(signal, way))
        data += rest_of(screen)
    finally:
        screen.close()
    assert_restored(data)
    assert b"Traceback" not in data


def test_a_closed_terminal_does_not_block_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w")  # noqa: SIM115
    writer = WriterThread(HangupStream(stream))  # type: ignore[arg-type]
    writer.start()

    def draw() -> None:
        for _ in range(3 * MAX_QUEUED_WRITES):
            writer.write("frame" * 1000)
        writer.stop()

    drawing = threading.Thread(target=draw, daemon=True)
    drawing.start()
    drawing.join(WAIT_S)
    assert not drawing.is_alive()
    assert sent == [signal.SIGHUP]
    with contextlib.suppress(OSError):
        stream.close()


@pytest.mark.slow
def test_sigcont_does_not_keep_the_monitor_from_exiting(home: Path) -> None:
    """The kernel sends SIGHUP and SIGCONT to the processes of a terminal that closes."""
    screen = Screen(monitor_argv(config(home)))
    try:
        seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9]"))
        os.kill(screen.pid, signal.SIGCONT)
        seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9]"))
        screen.press(b"q")
        seen_until(screen, re.compile(rb"still in progress"))
        screen.press(b"q")
        rest_of(screen)
        deadline = time.monotonic() + WAIT_S
        while (ended := os.waitid(os.P_PID, screen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
            assert time.monotonic() < deadline, "its screen is closed, and it is still there"
            time.sleep(0.02)
    finally:
        screen.close()
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 130)


def test_a_dumb_terminal_is_refused(home: Path) -> None:
    screen = Screen(monitor_argv(config(home)), env={"TERM": "dumb"}, columns=80, rows=24)
    try:
        data = rest_of(screen)
    finally:
        screen.close()
    assert screen.status == 2
    assert b"TERM is dumb; for plain text, try: llmtui run" in data
    assert b"\x1b" not in data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "colours"),
    [
        ({"TERM": "xterm", "COLORTERM": ""}, rb"\x1b\[[0-9;]*(?:3[0-7]|9[0-7])(?:;[0-9;]*)?m"),
        ({"TERM": "xterm-256color", "COLORTERM": ""}, rb"\x1b\[[0-9;]*38;5;"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, rb"\x1b\[[0-9;]*38;2;"),
    ],
    ids=["16", "256", "true"],
)
def test_only_colours_of_the_terminal_are_used(env: dict[str, str], colours: bytes, home: Path) -> None:
    screen = Screen(monitor_argv(config(home)), env=env, columns=80, rows=24)
    try:
        data = seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9]"))
    finally:
        screen.close()
    assert re.search(colours, data)
    richer = [b"38;2;"] * (env["COLORTERM"] == "") + [b"38;5;"] * (env["TERM"] == "xterm")
    assert not [code for code in richer if code in data]


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"TERM": "xterm", "COLORTERM": ""}, {}], ids=["16", "true"])
def test_no_color_removes_all_colours(env: dict[str, str], home: Path) -> None:
    screen = Screen(monitor_argv(config(home)), env={**env, "NO_COLOR": "1"}, columns=80, rows=24)
    try:
        data = seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9]"))
    finally:
        screen.close()
    codes = {int(code or 0) for sequence in re.findall(rb"\x1b\[([0-9;]*)m", data) for code in sequence.split(b";")}
    # Bold, dim, underline, reverse and their ends, and the terminal's own two colours.
    assert codes <= {0, 1, 2, 4, 7, 22, 24, 27, 39, 49}


# --- A resize storm ---


@pytest.mark.slow
async def test_a_resize_storm_leaves_the_screen_of_the_last_size() -> None:
    link = FakeLink(canned.hello(done=6), *canned.samples())
    app = make(link)
    app.view.now = lambda: 1000.0
    app.view.run_changed()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        calm = screen_text(app)
        for number in range(50):
            await pilot.resize_terminal(20 + number * 37 % 190, 3 + number * 23 % 60)
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert screen_text(app) == calm


@pytest.mark.slow
def test_a_resize_storm_in_a_terminal(home: Path) -> None:
    screen = Screen(monitor_argv(config(home)), columns=120, rows=40)
    try:
        seen_until(screen, re.compile(rb"\x1b\]2;llmtui [1-9]"))
        for number in range(50):
            # The kernel sends SIGWINCH for each.
            termios.tcsetwinsize(screen.fileno(), (3 + number * 23 % 60, 20 + number * 37 % 190))
            screen.drain()
        termios.tcsetwinsize(screen.fileno(), (24, 80))
        # It still reads keys, and draws for this size.
        screen.press(b"?")
        data = seen_until(screen, re.compile(rb"esc closes"))
        assert b"\x1b[24;" in data
    finally:
        screen.close()
    assert screen.status is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_random_keys_end_neither_of_two_monitors(seed: int, home: Path) -> None:
    rng = random.Random(seed)
    # No key that ends the run; exports go to the test's folder.
    keys = [
        *(c.encode() for c in "rMxmcyToOhvLleEt?123jk"),
        b" ",
        b"\r",
        b"\t",
        b"\x1b",
        b"\x1b",
        b"\x1b[A",
        b"\x1b[6~",
    ]
    here = ["/usr/bin/env", "-C", str(home)]
    screens = [Screen([*here, *monitor_argv(config(home))], columns=80, rows=24)]
    shown = [b"", b""]
    try:
        for number in range(400):
            if number == 200:
                # The first keys came before the engine was connected, at both monitors.
                if not (up := re.compile(rb"\x1b\]2;llmtui [1-9]")).search(shown[0]):
                    shown[0] += seen_until(screens[0], up)
                screens.append(Screen([*here, *monitor_argv(home)[:-1], "attach"], columns=120, rows=40))
            at = rng.randrange(len(screens))
            screens[at].press(rng.choice(keys))
            for data in screens[at].chunks(rng.choice([0.001, 0.005, 0.02, 0.1])):
                shown[at] += data
            if rng.randrange(40) == 0:
                termios.tcsetwinsize(screens[at].fileno(), rng.choice([(24, 80), (40, 120), (12, 40), (50, 200)]))
        for at, screen in enumerate(screens):
            termios.tcsetwinsize(screen.fileno(), (24, 80))
            shown[at] += until_help(screen)
    finally:
        for screen in screens:
            screen.close()
    for data in shown:
        assert b"Traceback" not in data and b"Error:" not in data


# --- tmux ---


@pytest.mark.slow
def test_tmux_shows_the_monitor_and_is_restored(home: Path, tmux: Tmux) -> None:
    title = tmux.about("pane_title")
    tmux("send-keys", f"{' '.join(monitor_argv(config(home)))}", "Enter")
    tmux.until(lambda shown: bool(re.search(r"[1-9]\d*/10000", shown)) and "► running" in shown)
    assert tmux.about("alternate_on") == "1"
    assert tmux.about("mouse_any_flag") == "1"
    assert tmux.about("cursor_flag") == "0"
    tmux.until(lambda _: bool(re.fullmatch(r"llmtui \d+/10000 running", tmux.about("pane_title"))))
    tmux("send-keys", "T")
    tmux.until(lambda shown: "vs best" in shown)
    tmux("send-keys", "h")
    tmux.until(lambda shown: bool(re.search(r"held, [1-9]\d* behind", shown)))
    tmux("send-keys", "Escape")
    tmux.until(lambda shown: "held" not in shown)
    tmux("send-keys", "L")
    tmux.until(lambda shown: "one running" in shown)
    tmux("resize-window", "-x", "60", "-y", "15")
    tmux("send-keys", "Escape")
    tmux.until(lambda shown: "one running" not in shown and "Quit" in shown.rstrip().split("\n")[-1])
    tmux("send-keys", "q")
    tmux.until(lambda shown: "still in progress" in shown)
    tmux("send-keys", "q")
    tmux.until(lambda shown: "ready>" in shown.rstrip().split("\n")[-1] and "stopped before" in shown)
    # The summary may be longer than the screen.
    assert "vs best" in tmux("capture-pane", "-p", "-S", "-100")
    assert tmux.about("alternate_on") == "0"
    assert tmux.about("mouse_any_flag") == "0"
    assert tmux.about("cursor_flag") == "1"
    assert tmux.about("pane_title") in (title, "")


@pytest.mark.slow
def test_a_stopped_monitor_repaints_when_continued(home: Path, tmux: Tmux) -> None:
    tmux("send-keys", f"{' '.join(monitor_argv(config(home)))}", "Enter")

    def whole(shown: str) -> bool:
        return shown.startswith(" llmtui ") and "► running" in shown and "─ latency per iteration" in shown

    tmux.until(whole)
    (monitor,) = psutil.Process(int(tmux.about("pane_pid"))).children()
    monitor.send_signal(signal.SIGTSTP)
    tmux.until(lambda shown: "Stopped" in shown)
    tmux("send-keys", "fg", "Enter")
    tmux.until(whole)
    tmux("send-keys", "q")
    tmux.until(lambda shown: "still in progress" in shown)
    tmux("send-keys", "q")
    tmux.until(lambda shown: "stopped before" in shown)
