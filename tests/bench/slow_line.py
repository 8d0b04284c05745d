"""Is the monitor usable over a bad line: 80x24, 56 kB/s, 300 ms each way?

    python -m tests.bench.slow_line [--kb-s 56] [--delay-ms 300] [--size 80x24] [--rounds 2]

A simulated line is between the pseudo-terminal and the user: the monitor's output is queued without a limit and leaves
at that rate; output and keys are delayed. The user starts the monitor (three truth servers, iterations of a second),
presses keys, opens details and help, exports, changes the focus ten times a second, and quits. Reported are the times
from a key to the arrival of its change, the bytes written until then, and the most that was queued.
"""

from __future__ import annotations

import codecs
import collections
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import command_line, heading, size
from tests.bench.terminal import write_config

#: What the user does: key, text that is on the screen after its change and not before ("!": before and not after),
#: description.
ACTS: tuple[tuple[bytes, str, str], ...] = (
    (b"m", "TTFT per iteration", "metric: TTFT"),
    (b"m", "ITL per iteration", "metric: ITL"),
    (b"m", "tokens/s per iteration", "metric: tokens/s"),
    (b"m", "latency per iteration", "metric: latency"),
    (b"x", "x Show", "hide one"),
    (b"x", "!x Show", "show it"),
    (b"2", ">2 ", "focus the second"),
    (b"1", ">1 ", "focus the first"),
    (b"T", "vs best", "table for chart"),
    (b"T", "latency per iteration", "and back"),
    (b"h", "h Go on", "hold"),
    (b"h", "!h Go on", "go on"),
    (b"\r", " try ", "details"),
    (b"\x1b", "latency per iteration", "and back"),
    (b"?", "llmtui: keys", "help"),
    (b"\x1b", "latency per iteration", "and back"),
    (b"L", " entries", "log"),
    (b"\x1b", "latency per iteration", "and back"),
    (b"E", "llmtui: export", "export dialog"),
    (b"\x1b", "latency per iteration", "and back"),
    (b"t", "", "theme"),
    (b"e", "exported", "export"),
)
_PIECES = re.compile(
    r"\x1b\[(?P<at>[0-9]*;?[0-9]*)H|\x1b\[[0-9;?:<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|"
    r"\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]|(?P<text>[^\x1b\x00-\x1f]+)|[\x00-\x1a\x1c-\x1f]"
)
_PACKET = 512
#: Only a repaint of the whole screen writes as many bytes.
_SCREENFUL = 4000
GIVE_UP_S = 20.0
BURST = 20
BURST_S = 0.1
#: The line is usable if every key's change arrives within this time, and the run alone leaves it empty each second.
USABLE_S = 2.0


class Picture:
    """The far screen: enough of a terminal for what the monitor writes (positions and text)."""

    def __init__(self, columns: int, rows: int) -> None:
        self._cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Draw what arrives; a sequence may be split anywhere."""
        text = self._rest + self._decode(data)
        at = 0
        while at < len(text) and (piece := _PIECES.match(text, at)):
            at = piece.end()
            if piece["at"] is not None:
                y, _, x = piece["at"].partition(";")
                self._y, self._x = int(y or 1) - 1, int(x or 1) - 1
            for character in piece["text"] or "":
                if self._y < len(self._cells) and self._x < len(self._cells[0]):
                    self._cells[self._y][self._x] = character
                self._x += 1
        self._rest = text[at:]

    def shows(self, mark: str) -> bool:
        """Return whether the text is on the screen; with "!" before it, whether it is not."""
        present = any(mark.removeprefix("!") in "".join(row) for row in self._cells)
        return present != mark.startswith("!")


class Line:
    """A screen at the far end of a line of `rate` bytes a second and `delay_s` each way."""

    def __init__(self, screen: Screen, picture: Picture, rate: float, delay_s: float) -> None:
        self._screen = screen
        self.picture = picture
        self._rate = rate
        self._delay_s = delay_s
        self._free_at = 0.0
        self._in_transit: collections.deque[tuple[float, bytes]] = collections.deque()
        self._keys: collections.deque[tuple[float, bytes]] = collections.deque()
        self.most_queued = 0
        self.sent = 0
        self.ended = False

    def queued(self) -> int:
        """Return the bytes that the line has not sent yet."""
        return max(0, round((self._free_at - time.monotonic()) * self._rate))

    def press(self, key: bytes) -> None:
        """Press a key at the far end."""
        self._keys.append((time.monotonic() + self._delay_s, key))

    def arrivals(self, seconds: float) -> Iterator[bytes]:
        """Yield what arrives at the far end for `seconds`, or until the program has ended and all has arrived."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            while self._keys and self._keys[0][0] <= now:
                self._screen.press(self._keys.popleft()[1])
            while self._in_transit and self._in_transit[0][0] <= now:
                data = self._in_transit.popleft()[1]
                self.picture.feed(data)
                yield data
            if self.ended and not self._in_transit:
                return
            due = min([deadline, *(queue[0][0] for queue in (self._keys, self._in_transit) if queue)])
            if self.ended:
                time.sleep(max(0.0, due - time.monotonic()))
                continue
            self.take(max(0.0, due - time.monotonic()))

    def take(self, seconds: float) -> None:
        """Queue what the program writes next, within `seconds`."""
        for data in self._screen.chunks(max(seconds, 1e-4)):
            self.sent += len(data)
            for at in range(0, len(data), _PACKET):
                packet = data[at : at + _PACKET]
                self._free_at = max(time.monotonic(), self._free_at) + len(packet) / self._rate
                self._in_transit.append((self._free_at + self._delay_s, packet))
            self.most_queued = max(self.most_queued, self.queued())
            return
        try:
            os.kill(self._screen.pid, 0)
            state = Path(f"/proc/{self._screen.pid}/stat").read_text().rpartition(")")[2].split()[0]
            self.ended = state == "Z"
        except OSError:
            self.ended = True

    def seen_s(self, mark: str, within_s: float = GIVE_UP_S) -> float | None:
        """Return the seconds until the far screen shows `mark` or, if that is "", until a screenful has arrived."""
        began = time.monotonic()
        arrived = 0
        for data in self.arrivals(within_s):
            arrived += len(data)
            if self.picture.shows(mark) if mark else arrived >= _SCREENFUL:
                return time.monotonic() - began
        return None

    def rest(self, seconds: float) -> None:
        """Wait."""
        for _ in self.arrivals(seconds):
            pass

    def emptied_s(self) -> float:
        """Return the seconds until the line is empty."""
        began = time.monotonic()
        while self.queued() and time.monotonic() - began < 60.0:
            self.rest(0.05)
        return time.monotonic() - began


def main() -> None:
    """Use the monitor and report."""
    parser = command_line(__doc__)
    parser.add_argument("--kb-s", type=float, default=56.0)
    parser.add_argument("--delay-ms", type=float, default=300.0)
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    columns, rows = size(arguments.size)
    delay_s = arguments.delay_ms / 1e3
    print(heading(f"{arguments.size} over {arguments.kb_s:g} kB/s, {arguments.delay_ms:g} ms each way"))
    with tempfile.TemporaryDirectory(prefix="llmtui-line-") as name:
        config = Path(name) / "slow.toml"
        write_config(config)
        env = {"XDG_RUNTIME_DIR": name, "LLMTUI_STORE": str(Path(name) / "one.db")}
        command = ["/usr/bin/env", "-C", name, *monitor_argv(config)]
        screen = Screen(command, env, columns=columns, rows=rows)
        try:
            picture = Picture(columns, rows)
            report(Line(screen, picture, arguments.kb_s * 1e3, delay_s), arguments.rounds, delay_s)
        finally:
            screen.close()


def report(line: Line, rounds: int, delay_s: float) -> None:
    """Do everything that a user does."""
    first = line.seen_s("three")
    print(f"start: first panels after {first or 0.0:.2f} s, {line.sent / 1e3:.1f} kB")
    line.rest(5.0)
    before, empty = line.sent, 0
    for _ in range(20):
        line.rest(1.0)
        empty += not line.queued()
    print(f"the run alone: {(line.sent - before) / 20e3:.2f} kB/s; line empty at the end of {empty} of 20 seconds")
    took: list[float] = []
    missing: list[str] = []
    print(f"\nkey to change in s (the line alone takes {2 * delay_s:.2f}), bytes, bytes queued")
    for number in range(rounds):
        for key, mark, words in ACTS:
            line.rest(1.0)
            before, line.most_queued = line.sent, line.queued()
            early = bool(mark) and line.picture.shows(mark)
            line.press(key)
            seconds = line.seen_s(mark)
            if seconds is None or early:
                missing.append(words)
                print(f"{words:18} {'on the screen before the key' if early else 'never'}")
                continue
            took.append(seconds)
            if number == 0:
                line.rest(0.3)
                kilobytes = (line.sent - before) / 1e3
                queued = line.most_queued / 1e3
                print(f"{words:18} {seconds:5.2f} {kilobytes:6.1f} kB, at most {queued:.1f} kB queued")
    line.rest(2.0)
    line.most_queued, before = 0, line.sent
    for turn in range(BURST):
        line.press(b"12"[turn % 2 : turn % 2 + 1])
        line.rest(BURST_S)
    line.rest(delay_s)
    emptied = line.emptied_s()
    print(
        f"{BURST} changes of focus at {1 / BURST_S:.0f} a second: {(line.sent - before) / 1e3:.0f} kB, at most "
        f"{line.most_queued / 1e3:.0f} kB queued, all arrived {emptied + delay_s:.1f} s after the last key"
    )
    line.rest(2.0)
    line.press(b"q")
    line.rest(2.0)
    line.press(b"q")
    began = time.monotonic()
    while not line.ended and time.monotonic() - began < GIVE_UP_S:
        line.rest(0.1)
    print(f"quit: {'done' if line.ended else 'still running'} after {time.monotonic() - began:.2f} s")
    worst = max(took, default=0.0)
    print(f"\nall keys: median {statistics.median(took):.2f} s, worst {worst:.2f}, n = {len(took)}")
    usable = not missing and worst <= USABLE_S and empty >= 19 and line.ended
    print(f"no change seen: {', '.join(missing) or 'none'}; usable: {'yes' if usable else 'no'}")
    sys.exit(not usable)


if __name__ == "__main__":
    main()
