"""The engine's memory under every hostile answer that we know of: `python -m tests.bench.hostile_memory`.

Each one is served to a real engine of its own, those to questions also to fifty backends at once. Peak is the engine's
VmHWM (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile

from tests.hostile.bombs import MEGABYTE, bombs, explode

GOAL_MB = 150


def main() -> None:
    """Print a line for each, the largest at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only those whose name holds this")
    asked = parser.parse_args()
    peaks: list[tuple[float, str]] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-bombs-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = os.environ["LLMTUI_STORE"] = folder
        for bomb in bombs():
            for backends in (1, 50) if bomb.path.startswith(b"GET") else (1,):
                name = bomb.name + (f", {backends} at once" if backends > 1 else "")
                if asked.only in name:
                    came = asyncio.run(explode(bomb, 1, backends))
                    peaks.append((came.peak_bytes / MEGABYTE, name))
                    print(f"{peaks[-1][0]:7.1f} MB  {name:45}  {came.said[:110]}", flush=True)
    worst = max(peaks)
    print(f"\n{len(peaks)} answers, the largest {worst[0]:.1f} MB ({worst[1]}); goal: {GOAL_MB} MB")


if __name__ == "__main__":
    main()
