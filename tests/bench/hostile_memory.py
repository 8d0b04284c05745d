"""How much memory does the engine take for each hostile answer of tests/hostile/bombs.py?

    python -m tests.bench.hostile_memory [--only WORD]

Each answer goes to a real engine of its own; answers to questions (GET) also go to fifty backends at the same time.
The peak is the engine's VmHWM (Linux).
"""

from __future__ import annotations

import asyncio
import os
import tempfile

from tests.bench.common import command_line
from tests.hostile.bombs import MEGABYTE, bombs, explode

GOAL_MB = 150


def main() -> None:
    """Print a line for each answer, and the largest peak at the end."""
    parser = command_line(__doc__)
    parser.add_argument("--only", default="", help="only answers with this in their name")
    arguments = parser.parse_args()
    peaks: list[tuple[float, str]] = []
    with tempfile.TemporaryDirectory(prefix="llmtui-bombs-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = os.environ["LLMTUI_STORE"] = folder
        for bomb in bombs():
            for backends in (1, 50) if bomb.path.startswith(b"GET") else (1,):
                name = bomb.name + (f", {backends} at once" if backends > 1 else "")
                if arguments.only in name:
                    result = asyncio.run(explode(bomb, 1, backends))
                    peaks.append((result.peak_bytes / MEGABYTE, name))
                    print(f"{peaks[-1][0]:7.1f} MB  {name:45}  {result.said[:110]}", flush=True)
    if not peaks:
        parser.error(f"no answer has {arguments.only!r} in its name")
    worst = max(peaks)
    print(f"\n{len(peaks)} answers, the largest {worst[0]:.1f} MB ({worst[1]}); goal: {GOAL_MB} MB")


if __name__ == "__main__":
    main()
