"""How much does the monitor write to the terminal, and how much CPU does it use?

    python -m tests.bench.terminal [--seconds 20]

Three truth servers with iterations of one second (64 tokens, 14.5 to 16 ms apart), at three sizes. Counted are the
bytes of each second after the first four, plain and compressed with zlib as by `ssh -C`. Then the same at 120x40 with
loads of two levels, up to 32 and up to 256 streams, after the first 20 seconds. Last, at 120x40, the same after the end
of a run: nothing should be written then.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import zlib
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import command_line, heading, truth_config

SIZES = ((80, 24), (120, 40), (200, 50))
SETTLED_S = 4
#: Servers are launched, and warmed up, before the first turn.
LOAD_SETTLED_S = 20
#: The streams of the larger of two levels.
LOADS = (32, 256)


def write_config(path: Path, iterations: int = 1000) -> None:
    """Write a config with three truth servers that differ a little."""
    servers = {"one": 14.5, "two": 15.0, "three": 16.0}
    truth_config(path, servers, iterations=iterations, warmup=0, on_disconnect="stop")


def write_load(path: Path, streams: int) -> None:
    """Write a config of a load of two levels with the same servers."""
    write_config(path)
    text = f"{path.read_text()}[load]\nconcurrency = [{streams // 4}, {streams}]\nrequests = {4 * streams}\n"
    path.write_text(text)


def watch(
    config: Path, columns: int, rows: int, seconds: int, settled_s: int = SETTLED_S
) -> tuple[list[int], list[int], float]:
    """Return the bytes of each second, the same compressed, and the monitor's CPU in cores, after `settled_s`."""
    screen = Screen(monitor_argv(config), columns=columns, rows=rows)
    written: list[bytes] = [b""] * (settled_s + seconds)
    try:
        began = time.monotonic()
        cpu_s = None
        for data in screen.chunks(settled_s + seconds):
            second = int(time.monotonic() - began)
            if second >= len(written):
                break
            if second >= settled_s and cpu_s is None:
                cpu_s = screen.cpu_s()
            written[second] += data
        cores = (screen.cpu_s() - (cpu_s or 0.0)) / seconds
    finally:
        screen.close()
    settled = written[settled_s:]
    return [len(data) for data in settled], [len(zlib.compress(data)) for data in settled], cores


def rest(config: Path, seconds: int) -> tuple[int, float]:
    """Return the bytes written and the monitor's CPU in cores, after the end of a run."""
    screen = Screen(monitor_argv(config))
    try:
        for data in screen.chunks(60.0):
            if b" done" in data:
                break
        for _ in screen.chunks(SETTLED_S):
            pass
        before, cpu_s = screen.bytes, screen.cpu_s()
        for _ in screen.chunks(seconds):
            pass
        return screen.bytes - before, (screen.cpu_s() - cpu_s) / seconds
    finally:
        screen.close()


def report(what: str, plain: list[int], packed: list[int], cores: float) -> None:
    """Print a line of the report."""
    print(
        f"{what}: median {statistics.median(plain) / 1e3:.1f} kB/s, mean {statistics.mean(plain) / 1e3:.1f}, "
        f"{min(plain) / 1e3:.1f} to {max(plain) / 1e3:.1f}; zlib {statistics.mean(packed) / 1e3:.2f}; "
        f"{cores * 100:.1f}% of a core (n = {len(plain)} s)"
    )


def main() -> None:
    """Measure every size and report."""
    parser = command_line(__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--load", action="store_true", help="only the loads")
    arguments = parser.parse_args()
    seconds, only_loads = arguments.seconds, arguments.load
    print(heading("bytes to the terminal, three backends, iterations of one second"))
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        config = Path(folder) / "terminal.toml"
        write_config(config)
        for columns, rows in () if only_loads else SIZES:
            report(f"{columns}x{rows}", *watch(config, columns, rows, seconds))
        for streams in LOADS:
            write_load(config, streams)
            report(f"120x40, up to {streams} streams", *watch(config, 120, 40, seconds, LOAD_SETTLED_S))
        if only_loads:
            return
        write_config(config, iterations=2)
        written, cores = rest(config, seconds)
        print(f"after the run: {written} bytes in {seconds} s; {cores * 100:.2f}% of a core")


if __name__ == "__main__":
    main()
