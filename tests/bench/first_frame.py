"""How long does it take from exec to the first panel in a 120x40 terminal, and for `llmtui --help`?

    python -m tests.bench.first_frame [-n 20]

The first frame is the output that has a panel's text (the backend's name) after the switch to the alternate screen.
Nothing listens at the backend's address, so no server is waited for.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import command_line, heading

ALTERNATE = b"\x1b[?1049h"
PANEL = b"unreachable"


def first_frame_s(config: Path) -> float:
    """Return the seconds from the start of the process to the first painted panel."""
    screen = Screen(monitor_argv(config))
    try:
        output = b""
        for data in screen.chunks(30.0):
            output += data
            if PANEL in output.partition(ALTERNATE)[2]:
                return time.monotonic() - screen.started
        sys.exit("no frame within 30 s")
    finally:
        screen.close(now=True)


def help_s() -> float:
    """Return the wall time of `llmtui --help` in seconds."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-P", "-m", "llmtui", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def main() -> None:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("-n", type=int, default=20)
    count = parser.parse_args().n
    print(heading("time to the first frame"))
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        config = Path(folder) / "frame.toml"
        config.write_text(
            f"[run]\non_disconnect = 'stop'\n[[backend]]\nname = '{PANEL.decode()}'\nurl = 'http://127.0.0.1:9'\n"
        )
        frames = [first_frame_s(config) for _ in range(count + 1)][1:]
    helps = [help_s() for _ in range(count + 1)][1:]
    for title, values in (("exec to first frame", frames), ("llmtui --help", helps)):
        figures = f"median {statistics.median(values) * 1e3:.0f} ms, {min(values) * 1e3:.0f} to {max(values) * 1e3:.0f}"
        print(f"{title}: {figures} (n = {len(values)}, one warm-up)")


if __name__ == "__main__":
    main()
