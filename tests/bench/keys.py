"""How long does it take from a key to its change on the screen, during a run, with 32 streams beside it?

    python -m tests.bench.keys [--rounds 12] [--streams 32] [--size 120x40]
    python -m tests.bench.keys --load 256 [--rounds 12]
    python -m tests.bench.keys --requests 100000 [--rounds 12]    (see tests.bench.large_turn)

The monitor follows a run of three truth servers whose iterations take 0.3 s; other processes run that many streams of
`llmtui accuracy`, as `tests.bench.soak` does. Keys are pressed at random moments. The change is complete with the first
output that only this key can cause (a figure's name, a chart's title, a word of the footer, a heading of another
screen). Later parts of it, such as charts after figures, have a line of their own and are not in the total. The line
"core" leaves out the time in which the monitor could run and had no core: on a busy machine that is most of it.

With --load the run is a closed loop of two truth servers at that many streams and at one less, with nothing beside it:
the order of levels is random, so both are about that many. Keys are pressed once that level has figures; it takes 90 s.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from llmtui.stats.summary import percentile
from tests.bench import large_turn
from tests.bench.common import ESCAPES, command_line, heading, load_config, size, truth_config
from tests.bench.soak import ROOT, Child
from tests.bench.soaked import Order

METRICS = (b"TTFT", b"ITL", b"tokens/s", b"latency")
#: Name, key, and the text that only its change writes. In this order they return to the first screen.
KEYS: tuple[tuple[str, bytes, bytes], ...] = (
    ("x", b"x", b"x Show"),
    ("2", b"2", b"Hide"),
    ("1", b"1", b"Show"),
    ("x", b"x", b"x Hide"),
    *(("m", b"m", metric + b", iteration") for metric in METRICS),
    *(("c", b"c", title) for title in (b"box plot, ", b"(ECDF), ", b"baseline stats, ")),
    ("h", b"h", b" Go on "),
    ("h", b"h", b" Hold "),
    ("y", b"y", b"log scale"),
    ("y", b"y", b"baseline stats, "),
    ("?", b"?", b"llmtui: keys"),
    ("esc", b"\x1b", b"baseline stats, "),
    ("L", b"L", b" entries"),
    ("esc", b"\x1b", b"baseline stats, "),
    ("enter", b"\r", b" try "),
    ("esc", b"\x1b", b"baseline stats, "),
)
#: What is painted after the first change, with the name of its line in the report.
LATER: dict[bytes, tuple[str, bytes]] = {
    metric + b", iteration": ("m, charts", b"stats, " + metric) for metric in METRICS
}
GIVE_UP_S = 3.0
#: How long a load may take until the level that is shown has figures, in s.
READY_S = 45.0
#: The least and the longest pause before a key, in s.
PAUSES_S = (0.25, 0.75)
PAUSES_OF_LOAD_S = (0.15, 0.45)


def keys_of_load(streams: int) -> tuple[tuple[str, bytes, bytes], ...]:
    """The same of a load at this many streams, which are shown first, and at one less."""
    return (
        ("x", b"x", b"x Show"),
        ("x", b"x", b"x Hide"),
        ("<", b"<", b"[%d]" % (streams - 1)),
        (">", b">", b"[%d]" % streams),
        ("h", b"h", b" Go on "),
        ("h", b"h", b" Hold "),
        ("?", b"?", b"llmtui: keys"),
        ("esc", b"\x1b", b"against streams"),
        ("L", b"L", b" entries"),
        ("esc", b"\x1b", b"against streams"),
    )


@contextlib.contextmanager
def streams(count: int, folder: Path) -> Iterator[None]:
    """Run `count` streams in other processes."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)}
    order = Order(
        run="6e79" * 2,
        streams=count,
        requests=5 * count,
        store=str(folder / "many.db"),
        socket=str(folder / "many.sock"),
    )
    child = Child(["serve"], env, order)
    try:
        child.first()
        child.first()
        yield
    finally:
        child.process.terminate()
        child.process.communicate(timeout=30.0)


def changed_s(screen: Screen, key: bytes, marks: Sequence[bytes]) -> list[float]:
    """Return the seconds from the key to each mark in the output; the list ends before the first that is missing."""
    pressed = time.monotonic()
    screen.press(key)
    output = b""
    took: list[float] = []
    for data in screen.chunks(GIVE_UP_S):
        output += data
        while marks[len(took)] in ESCAPES.sub(b"", output):
            took.append(time.monotonic() - pressed)
            if len(took) == len(marks):
                return took
    return took


def waited_s(screen: Screen) -> float:
    """Return how long the program's main thread could run and had no core, in s since its start."""
    return int(Path(f"/proc/{screen.pid}/task/{screen.pid}/schedstat").read_text().split()[1]) / 1e9


def rest(screen: Screen, seconds: float) -> None:
    """Let it draw for some seconds."""
    for _ in screen.chunks(seconds):
        pass


def until_figures(screen: Screen, streams: int) -> None:
    """Let it draw until the level of this many streams has figures. Exits if it takes too long."""
    mark, output = b"tok/s at %d streams" % streams, b""
    for data in screen.chunks(READY_S):
        output += data
        if mark in ESCAPES.sub(b"", output):
            return
    sys.exit(f"no figures of {streams} streams within {READY_S:g} s")


def line(title: str, values: Sequence[float]) -> str:
    """Return one line of the report."""
    low, high = min(values) * 1e3, max(values) * 1e3
    median, p95, p99 = (percentile(sorted(values), share) * 1e3 for share in (0.5, 0.95, 0.99))
    return f"{title:9} {median:7.1f} {p95:7.1f} {p99:7.1f} {low:7.1f} {high:7.1f} {len(values):5}"


def main() -> None:
    """Press keys and report."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--load", type=int, default=0, metavar="N", help="streams of a load, instead of the race")
    parser.add_argument("--requests", type=int, default=0, metavar="N", help="the page of a turn of N requests instead")
    arguments = parser.parse_args()
    if arguments.requests:
        print(heading(f"the page of a turn of {arguments.requests} requests at 120x40"))
        large_turn.measure(arguments.requests, arguments.rounds)
        return
    columns, rows = size(arguments.size)
    rng = random.Random(5)
    keys = keys_of_load(arguments.load) if arguments.load else KEYS
    pauses_s = PAUSES_OF_LOAD_S if arguments.load else PAUSES_S
    beside = 0 if arguments.load else arguments.streams
    what = f"{arguments.load} streams in the run" if arguments.load else f"{beside} streams beside the run"
    print(heading(f"key to change at {arguments.size}, {what}"))
    took: dict[str, list[float]] = {}
    running: list[float] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-keys-") as name:
        folder = Path(name)
        servers = dict.fromkeys(("one", "two", "three"), 4.0)
        if arguments.load:
            load_config(folder / "keys.toml", [arguments.load - 1, arguments.load], 4 * arguments.load)
        else:
            truth_config(folder / "keys.toml", servers, iterations=100_000, warmup=0, on_disconnect="stop")
        env = {"XDG_RUNTIME_DIR": name, "LLMTUI_STORE": str(folder / "one.db")}
        with streams(beside, folder) if beside else contextlib.nullcontext():
            screen = Screen(monitor_argv(folder / "keys.toml"), env, columns=columns, rows=rows)
            try:
                if arguments.load:
                    until_figures(screen, arguments.load)
                else:
                    rest(screen, 8.0)
                began, cpu_s, count = time.monotonic(), screen.cpu_s(), screen.bytes
                for _ in range(arguments.rounds):
                    for title, key, mark in keys:
                        rest(screen, rng.uniform(*pauses_s))
                        later, *marks = LATER.get(mark, ("",))
                        before = waited_s(screen)
                        times = changed_s(screen, key, [mark, *marks])
                        running += [max(0.0, seconds - waited_s(screen) + before) for seconds in times[:1] if not marks]
                        if len(times) <= len(marks):
                            missing.append(title)
                        for name_of, seconds in zip((title, later), times, strict=False):
                            took.setdefault(name_of, []).append(seconds)
                seconds = time.monotonic() - began
                cpu_s, count = screen.cpu_s() - cpu_s, screen.bytes - count
            finally:
                screen.close()
    print("key          p50     p95     p99     min     max     n   (ms)")
    for title, values in took.items():
        print(line(title, values))
    later_ones = {name for name, _ in LATER.values()}
    print(line("all", [value for title, values in took.items() if title not in later_ones for value in values]))
    print(line("core", running))
    print(f"no change seen: {', '.join(missing) or 'none'}; load {os.getloadavg()[0]:.2f} at the end")
    print(f"monitor meanwhile: {cpu_s / seconds * 100:.1f}% of a core, {count / seconds / 1e3:.1f} kB/s")


if __name__ == "__main__":
    main()
