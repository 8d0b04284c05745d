"""How soon the monitor is there: from exec in a terminal of 120x40 to the first frame with a panel; and `--help`.

`python -m tests.bench.first_frame [-n 20]`. The frame has come when the output after the switch to the alternate screen
holds a panel's text (the backend's name). The backend is one that nobody serves: the engine's start is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import heading

ALTERNATE = b"\x1b[?1049h"
PANEL = b"nobody-serves"


def first_frame_s(config: Path) -> float:
    """Seconds from the start of the process to the first painted panel."""
    screen = Screen(monitor_argv(config))
    try:
        seen = b""
        for data in screen.chunks(30.0):
            seen += data
            if PANEL in seen.partition(ALTERNATE)[2]:
                return time.monotonic() - screen.started
        sys.exit("no frame came")
    finally:
        screen.close(now=True)


def help_s() -> float:
    """Wall time of `llmtui --help`."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-P", "-m", "llmtui", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20)
    count = parser.parse_args().n
    print(heading("how soon the monitor is there"))
    with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
        config = Path(folder) / "frame.toml"
        config.write_text(
            f"[run]\non_disconnect = 'stop'\n[[backend]]\nname = '{PANEL.decode()}'\nurl = 'http://127.0.0.1:9'\n"
        )
        frames = [first_frame_s(config) for _ in range(count + 1)][1:]
    helps = [help_s() for _ in range(count + 1)][1:]
    for title, values in (("exec to first frame", frames), ("llmtui --help", helps)):
        told = f"median {statistics.median(values) * 1e3:.0f} ms, {min(values) * 1e3:.0f} to {max(values) * 1e3:.0f}"
        print(f"{title}: {told} (n = {len(values)}, one warm-up)")


if __name__ == "__main__":
    main()
