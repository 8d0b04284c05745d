"""The monitor as one has it at the other end of a bad line: 80x24, 56 kB/s, 300 ms each way.

`python -m tests.bench.slow_line [--kb-s 56] [--delay-ms 300] [--size 80x24]`. Between the pseudo-terminal and the user
is a line of our own: what the monitor writes is queued without a limit and leaves at that rate; both it and the keys
arrive so much later. A user starts the monitor (three truth servers, iterations of a second), presses keys, looks at
details and help, exports, changes the focus ten times a second, and quits. Told are the times from the key to the
arrival of its change, the bytes that it cost (with those of other changes meanwhile), and what waits in the line.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from llmtui.engine.watched import Screen, monitor_argv
from tests.bench.common import heading
from tests.bench.terminal import write_config

#: What a user does: key, the text with which its change has come (none: the program ends), in words.
ACTS: tuple[tuple[bytes, bytes, str], ...] = (
    (b"m", b"TTFT, iteration", "metric: TTFT"),
    (b"m", b"ITL, iteration", "metric: ITL"),
    (b"m", b"tokens/s, iteration", "metric: tokens/s"),
    (b"m", b"latency, iteration", "metric: latency"),
    (b"x", b"hidden", "hide one"),
    (b"x", b"Hide", "show it"),
    (b"2", b"two", "focus the second"),
    (b"1", b"one", "focus the first"),
    (b"T", b"Table", "chart for table"),
    (b"T", b"Chart", "and back"),
    (b"h", b"held", "hold"),
    (b"h", b"Hold", "go on"),
    (b"\r", b" att ", "details"),
    (b"\x1b", b"two", "and back"),
    (b"?", b"llmtui: keys", "help"),
    (b"\x1b", b"two", "and back"),
    (b"L", b" entries", "log"),
    (b"\x1b", b"two", "and back"),
    (b"e", b".csv", "export"),
)
_CODES = re.compile(rb"\x1b\[[0-9;?:]*[A-Za-z]")
_PACKET = 512
GIVEN_UP_S = 20.0
BURST = 20
BURST_S = 0.1
#: What one still calls usable: a key's change after so long, the run alone leaving the line empty each second.
USABLE_S = 2.0


class Line:
    """A screen at the far end of a line of `rate` bytes a second and `delay_s` each way."""

    def __init__(self, screen: Screen, rate: float, delay_s: float) -> None:
        self._screen = screen
        self._rate = rate
        self._delay_s = delay_s
        self._free_at = 0.0
        self._under_way: collections.deque[tuple[float, bytes]] = collections.deque()
        self._keys: collections.deque[tuple[float, bytes]] = collections.deque()
        self.most = 0
        self.sent = 0
        self.ended = False

    def waiting(self) -> int:
        """Bytes that the line has not taken yet."""
        return max(0, round((self._free_at - time.monotonic()) * self._rate))

    def press(self, key: bytes) -> None:
        """Type at the far end."""
        self._keys.append((time.monotonic() + self._delay_s, key))

    def arrivals(self, seconds: float) -> Iterator[bytes]:
        """What arrives at the far end, as it does, for so long or until the program has ended and all is there."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            while self._keys and self._keys[0][0] <= now:
                self._screen.press(self._keys.popleft()[1])
            while self._under_way and self._under_way[0][0] <= now:
                yield self._under_way.popleft()[1]
            if self.ended and not self._under_way:
                return
            due = min([deadline, *(queue[0][0] for queue in (self._keys, self._under_way) if queue)])
            if self.ended:
                time.sleep(max(0.0, due - time.monotonic()))
                continue
            self.take(max(0.0, due - time.monotonic()))

    def take(self, seconds: float) -> None:
        """What the program writes next, within that time, goes into the line."""
        for data in self._screen.chunks(max(seconds, 1e-4)):
            self.sent += len(data)
            for at in range(0, len(data), _PACKET):
                packet = data[at : at + _PACKET]
                self._free_at = max(time.monotonic(), self._free_at) + len(packet) / self._rate
                self._under_way.append((self._free_at + self._delay_s, packet))
            self.most = max(self.most, self.waiting())
            return
        try:
            os.kill(self._screen.pid, 0)
            state = Path(f"/proc/{self._screen.pid}/stat").read_text().rpartition(")")[2].split()[0]
            self.ended = state == "Z"
        except OSError:
            self.ended = True

    def seen_s(self, mark: bytes, within_s: float = GIVEN_UP_S) -> float | None:
        """Seconds until `mark` is there."""
        began = time.monotonic()
        seen = b""
        for data in self.arrivals(within_s):
            seen += data
            if mark in _CODES.sub(b"", seen):
                return time.monotonic() - began
        return None

    def rest(self, seconds: float) -> None:
        """Look on."""
        for _ in self.arrivals(seconds):
            pass

    def emptied_s(self) -> float:
        """Seconds until everything written so far has arrived."""
        began = time.monotonic()
        while self.waiting() and time.monotonic() - began < 60.0:
            self.rest(0.05)
        return time.monotonic() - began


def main() -> None:
    """Use it, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kb-s", type=float, default=56.0)
    parser.add_argument("--delay-ms", type=float, default=300.0)
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    columns, rows = (int(number) for number in arguments.size.split("x"))
    delay_s = arguments.delay_ms / 1e3
    print(heading(f"{arguments.size} over {arguments.kb_s:g} kB/s, {arguments.delay_ms:g} ms each way"))
    with tempfile.TemporaryDirectory(prefix="llmtui-line-") as name:
        config = Path(name) / "slow.toml"
        write_config(config)
        env = {"XDG_RUNTIME_DIR": name, "LLMTUI_STORE": str(Path(name) / "one.db")}
        command = ["/usr/bin/env", "-C", name, *monitor_argv(config)]
        screen = Screen(command, env, columns=columns, rows=rows)
        try:
            report(Line(screen, arguments.kb_s * 1e3, delay_s), arguments.rounds, delay_s)
        finally:
            screen.close()


def report(line: Line, rounds: int, delay_s: float) -> None:
    """The whole visit."""
    first = line.seen_s(b"three")
    print(f"start: first panels after {first or 0.0:.2f} s, {line.sent / 1e3:.1f} kB")
    line.rest(5.0)
    before, empty = line.sent, 0
    for _ in range(20):
        line.rest(1.0)
        empty += not line.waiting()
    print(f"the run alone: {(line.sent - before) / 20e3:.2f} kB/s; line empty at the end of {empty} of 20 seconds")
    took: list[float] = []
    lost: list[str] = []
    print(f"\nkey to change in s (the line alone takes {2 * delay_s:.2f}), bytes, bytes left waiting then")
    for number in range(rounds):
        for key, mark, words in ACTS:
            line.rest(1.0)
            before, line.most = line.sent, line.waiting()
            line.press(key)
            seconds = line.seen_s(mark)
            if seconds is None:
                lost.append(words)
                print(f"{words:18} never")
                continue
            took.append(seconds)
            if number == 0:
                line.rest(0.3)
                size = (line.sent - before) / 1e3
                print(f"{words:18} {seconds:5.2f} {size:6.1f} kB, at most {line.most / 1e3:.1f} kB wait")
    line.rest(2.0)
    line.most, before = 0, line.sent
    for turn in range(BURST):
        line.press(b"12"[turn % 2 : turn % 2 + 1])
        line.rest(BURST_S)
    line.rest(delay_s)
    emptied = line.emptied_s()
    print(
        f"{BURST} changes of focus at {1 / BURST_S:.0f} a second: {(line.sent - before) / 1e3:.0f} kB, at most "
        f"{line.most / 1e3:.0f} kB wait, all there {emptied + delay_s:.1f} s after the last reached the monitor"
    )
    line.rest(2.0)
    line.press(b"q")
    line.rest(2.0)
    line.press(b"q")
    began = time.monotonic()
    while not line.ended and time.monotonic() - began < GIVEN_UP_S:
        line.rest(0.1)
    print(f"quit: {'over' if line.ended else 'still there'} after {time.monotonic() - began:.2f} s")
    worst = max(took, default=0.0)
    print(f"\nall keys: median {statistics.median(took):.2f} s, worst {worst:.2f}, n = {len(took)}")
    usable = not lost and worst <= USABLE_S and empty >= 19 and line.ended
    print(f"never seen: {', '.join(lost) or 'none'}; usable: {'yes' if usable else 'no'}")
    sys.exit(not usable)


if __name__ == "__main__":
    main()
