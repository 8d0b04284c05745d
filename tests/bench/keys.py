"""How long does it take from a key to its change on the screen, during a run, with 32 streams beside it?

    python -m tests.bench.keys [--rounds 12] [--streams 32] [--size 120x40]
    python -m tests.bench.keys --load 256 [--rounds 12]

The monitor follows a run of three truth servers whose iterations take 0.3 s; other processes run that many streams of
`llmtui accuracy`, as `tests.bench.soak` does. Keys are pressed at random moments. The change is complete with the first
output that only this key can cause (a figure's name, a chart's title, a word of the footer, a heading of another
screen). Later parts of it, such as charts after figures, have a line of their own and are not in the total.

With --load the run is a closed loop of two truth servers at 1 and at that many streams, with nothing beside it.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from llmtui.stats.summary import percentile
from tests.bench.common import ESCAPES, command_line, heading, load_config, size, truth_config
from tests.bench.soak import ROOT, Child
from tests.bench.soaked import Order

METRICS = (b"TTFT", b"ITL", b"tokens/s", b"latency")
#: Name, key, and the text that only its change writes. In this order they return to the first screen.
KEYS: tuple[tuple[str, bytes, bytes], ...] = (
    ("x", b"x", b" Show "),
    ("2", b"2", b"Hide"),
    ("1", b"1", b"Show"),
    ("x", b"x", b" Hide "),
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
#: The same of a load at 1 stream and many, which is shown first.
KEYS_OF_LOAD: tuple[tuple[str, bytes, bytes], ...] = (
    ("x", b"x", b" Show "),
    ("x", b"x", b" Hide "),
    ("<", b"<", b"at 1 stream"),
    (">", b">", b" streams"),
    ("h", b"h", b" Go on "),
    ("h", b"h", b" Hold "),
    ("?", b"?", b"llmtui: keys"),
    ("esc", b"\x1b", b"against streams"),
    ("L", b"L", b" entries"),
    ("esc", b"\x1b", b"against streams"),
)
#: What is painted after the first change, with the name of its line in the report.
LATER: dict[bytes, tuple[str, bytes]] = {
    metric + b", iteration": ("m, charts", b"stats, " + metric) for metric in METRICS
}
GIVE_UP_S = 3.0


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


def rest(screen: Screen, seconds: float) -> None:
    """Let it draw for some seconds."""
    for _ in screen.chunks(seconds):
        pass


def line(title: str, values: Sequence[float]) -> str:
    """Return one line of the report."""
    low, high = min(values) * 1e3, max(values) * 1e3
    median, p95 = statistics.median(values) * 1e3, percentile(sorted(values), 0.95) * 1e3
    return f"{title:9} {median:7.1f} {p95:7.1f} {low:7.1f} {high:7.1f} {len(values):5}"


def main() -> None:
    """Press keys and report."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--load", type=int, default=0, metavar="N", help="streams of a load, instead of the race")
    arguments = parser.parse_args()
    columns, rows = size(arguments.size)
    rng = random.Random(5)
    keys = KEYS_OF_LOAD if arguments.load else KEYS
    beside = 0 if arguments.load else arguments.streams
    what = f"{arguments.load} streams in the run" if arguments.load else f"{beside} streams beside the run"
    print(heading(f"key to change at {arguments.size}, {what}"))
    took: dict[str, list[float]] = {}
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-keys-") as name:
        folder = Path(name)
        servers = dict.fromkeys(("one", "two", "three"), 4.0)
        if arguments.load:
            load_config(folder / "keys.toml", [1, arguments.load])
        else:
            truth_config(folder / "keys.toml", servers, iterations=100_000, warmup=0, on_disconnect="stop")
        env = {"XDG_RUNTIME_DIR": name, "LLMTUI_STORE": str(folder / "one.db")}
        with streams(beside, folder) if beside else contextlib.nullcontext():
            screen = Screen(monitor_argv(folder / "keys.toml"), env, columns=columns, rows=rows)
            try:
                # A load needs a turn of each backend first.
                rest(screen, 60.0 if arguments.load else 8.0)
                began, cpu_s, count = time.monotonic(), screen.cpu_s(), screen.bytes
                for _ in range(arguments.rounds):
                    for title, key, mark in keys:
                        rest(screen, rng.uniform(0.25, 0.75))
                        later, *marks = LATER.get(mark, ("",))
                        times = changed_s(screen, key, [mark, *marks])
                        if len(times) <= len(marks):
                            missing.append(title)
                        for name_of, seconds in zip((title, later), times, strict=False):
                            took.setdefault(name_of, []).append(seconds)
                seconds = time.monotonic() - began
                cpu_s, count = screen.cpu_s() - cpu_s, screen.bytes - count
            finally:
                screen.close()
    print("key          p50     p95     min     max     n   (ms)")
    for title, values in took.items():
        print(line(title, values))
    later_ones = {name for name, _ in LATER.values()}
    print(line("all", [value for title, values in took.items() if title not in later_ones for value in values]))
    print(f"no change seen: {', '.join(missing) or 'none'}; load {os.getloadavg()[0]:.2f} at the end")
    print(f"monitor meanwhile: {cpu_s / seconds * 100:.1f}% of a core, {count / seconds / 1e3:.1f} kB/s")


if __name__ == "__main__":
    main()
