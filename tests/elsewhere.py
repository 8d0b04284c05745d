"""Runs the rooms that differ between systems as on a Mac: `python -m tests.elsewhere [PYTEST OPTIONS]`.

Linux stays below: see tests/places/elsewhere/sitecustomize.py for what is taken away. Tests that cannot pass there are
named here with the reason, and skip themselves where they only need Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PATHS = (
    "tests/config",
    "tests/measure",
    "tests/places",
    "tests/servers",
    "tests/store",
    "tests/engine/test_engine.py",
    "tests/engine/test_resume.py",
    "tests/engine/test_turns.py",
    "tests/engine/test_cpu_time.py",
)
#: Not run: what it needs that this emulation, or a Mac, does not have.
SKIPPED: dict[str, str] = {}


def main(options: list[str]) -> int:
    """Run pytest, and return its exit code."""
    for name, reason in SKIPPED.items():
        print(f"skipped elsewhere: {name}: {reason}")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "not slow and not real", "-p", "no:cacheprovider"),
            *(f"--deselect={name}" for name in SKIPPED),
            *(options or PATHS),
        ],
        cwd=HERE.parent,
        env={
            **os.environ,
            "LLMTUI_ELSEWHERE": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE / "places" / "elsewhere"), os.environ.get("PYTHONPATH", "")]),
        },
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
