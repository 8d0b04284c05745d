"""What does a run on another machine cost on the line, and how soon does the monitor answer a key?

    python -m tests.bench.on_line [--kb-s 56] [--delay-ms 300] [--seconds 60] [--rounds 3] [--ssh-options OPTIONS]

The other machine is a real sshd on loopback behind a line of that rate and delay (each way). The monitor here shows a
race of two truth servers there with about one iteration a second. Reported are the bytes per second on the line, those
of TCP and IP aside, and the time from a key to its change on the screen. `--ssh-options -oCompression=no` shows what
compression saves.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen
from llmtui.store.open import open_store
from tests.bench.common import command_line, heading, truth_config
from tests.bench.slow_line import Line, Picture
from tests.link.sshd import OtherMachine, other_machine, why_not

COLUMNS, ROWS = 120, 40
#: Key, text that is there after its change and not before.
KEYS = (
    (b"m", "TTFT per iteration"),
    (b"m", "ITL per iteration"),
    (b"m", "tokens/s per iteration"),
    (b"m", "latency per iteration"),
    (b"?", "llmtui: keys"),
    (b"\x1b", "latency per iteration"),
)


def counts(path: Path) -> tuple[int, int]:
    """Return the bytes up and down so far."""
    up, down = path.read_text().split()
    return int(up), int(down)


def iterations(far: OtherMachine) -> int:
    """Return how many iterations the history there has."""
    store, _ = open_store(far.store)
    with store:
        return len(store.load("last").iterations)


def line_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `behind_a_slow_line` reads."""
    parser.add_argument("--kb-s", type=float, default=56.0)
    parser.add_argument("--delay-ms", type=float, default=300.0)
    parser.add_argument("--port", type=int, default=0)


@contextlib.contextmanager
def behind_a_slow_line(arguments: argparse.Namespace) -> Iterator[OtherMachine]:
    """Run a real sshd behind a line of that rate and delay; its file `counts` has the bytes. Prints the heading."""
    if reason := why_not():
        sys.exit(reason)
    print(heading(f"a line of {arguments.kb_s:g} kB/s and {arguments.delay_ms:g} ms each way"), flush=True)
    with tempfile.TemporaryDirectory(prefix="llmtui-on-") as name, other_machine(Path(name), arguments.port) as far:
        proxy = f"{sys.executable} -m tests.bench.line_proxy %p {name}/counts"
        proxy += f" --kb-s {arguments.kb_s} --delay-ms {arguments.delay_ms}"
        with (Path(name) / "ssh_config").open("a") as config:
            config.write(f" ProxyCommand {proxy}\n")
        yield far


def main() -> None:
    """Watch and press keys."""
    parser = command_line(__doc__)
    line_options(parser)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ssh-options", default="")
    arguments = parser.parse_args()
    with behind_a_slow_line(arguments) as far:
        watch(far, far.folder, arguments.seconds, arguments.rounds, arguments.ssh_options)


def watch(far: OtherMachine, folder: Path, seconds: float, rounds: int, options: str) -> None:
    """Open the monitor, count bytes for a while, then press keys."""
    path = folder / "race.toml"
    truth_config(path, {"one": 15.0, "two": 15.5}, iterations=10_000, warmup=0, max_tokens=64, on_disconnect="stop")
    env = {**far.env, "LLMTUI_SSH": f"{far.env['LLMTUI_SSH']} {options}".strip()}
    screen = Screen(far.command("monitor", str(path)), env, columns=COLUMNS, rows=ROWS)
    try:
        terminal = Line(screen, Picture(COLUMNS, ROWS), 1e12, 0.0)
        opened = terminal.seen_s("running", 60.0)
        if opened is None:
            sys.exit("the monitor did not open")
        terminal.rest(10.0)
        up, down = counts(folder / "counts")
        print(f"opened after {opened:.1f} s; bytes until then and 10 s more: {up} up, {down} down", flush=True)
        per_second: list[float] = []
        began, done = time.monotonic(), iterations(far)
        while time.monotonic() - began < seconds:
            terminal.rest(10.0)
            before, (up, down) = down, counts(folder / "counts")
            per_second.append((down - before) / 10.0)
        rate = (iterations(far) - done) / (time.monotonic() - began)
        middle = statistics.median(per_second)
        print(f"iterations a second: {rate:.2f}", flush=True)
        print(f"down, of each 10 s: median {middle / 1e3:.2f} kB/s, most {max(per_second) / 1e3:.2f} kB/s", flush=True)
        took: list[float] = []
        for _ in range(rounds):
            for key, mark in KEYS:
                terminal.rest(0.7)
                terminal.press(key)
                seen = terminal.seen_s(mark)
                if seen is None:
                    print(f"{key!r}: {mark!r} did not come", flush=True)
                else:
                    took.append(seen * 1e3)
        took.sort()
        print(
            f"key to paint: n {len(took)}, median {statistics.median(took):.0f} ms, p95 "
            f"{took[int(0.95 * (len(took) - 1))]:.0f} ms, most {took[-1]:.0f} ms",
            flush=True,
        )
    finally:
        screen.close()


if __name__ == "__main__":
    main()
