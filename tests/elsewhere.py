"""Runs the tests that differ between systems as on a Mac: `python -m tests.elsewhere [PYTEST OPTIONS] [PATHS]`.

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
    "tests/servers/test_bridge.py",
    "tests/servers/test_cgroup.py",
    "tests/servers/test_exit_reasons.py",
    "tests/servers/test_launcher.py",
    "tests/servers/test_log.py",
    "tests/servers/test_orphans.py",
    "tests/servers/test_ports.py",
    "tests/servers/test_process_tree.py",
    "tests/servers/test_recipes.py",
    "tests/servers/test_server_ports.py",
    "tests/servers/test_server_processes.py",
    "tests/store/test_atomic.py",
    "tests/store/test_faults.py",
    "tests/store/test_open.py",
    "tests/store/test_process_id.py",
    "tests/store/test_runs.py",
    "tests/places/test_peers.py",
    "tests/engine/test_clock_drift.py",
    "tests/engine/test_cpu_time.py",
    "tests/engine/test_detach.py",
    "tests/engine/test_engine.py",
    "tests/engine/test_processor.py",
    "tests/engine/test_resume.py",
    "tests/engine/test_server_usage.py",
)
_BAD_SERVERS = "tests/measure/test_bad_servers.py::"
_IN_ROUNDS = "tests/engine/test_engine.py::test_run_measures_all_backends_in_rounds"
_STARTED = "test_a_process_that_is_started_during_a_request_is_the_servers"
#: Not run, with the reason.
SKIPPED: dict[str, str] = {
    f"{_BAD_SERVERS}test_answer_before_the_request_fails": "without kernel stamps it is not noticed",
    f"{_BAD_SERVERS}test_clock_step_fails_the_iteration": "without kernel stamps no time is of the clock that was set",
    f"tests/servers/test_server_processes.py::{_STARTED}[was waited for]": "what ended children used is not told",
    _IN_ROUNDS: "without kernel stamps tokens 1 ms apart are one piece if they are read too late",
}


def main(options: list[str]) -> int:
    """Run pytest, and return its exit code."""
    for name, reason in SKIPPED.items():
        print(f"skipped elsewhere: {name}: {reason}")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "not slow and not real", "-p", "no:cacheprovider"),
            *(f"--deselect={name}" for name in SKIPPED),
            *options,
            *(() if any(Path(option.partition("::")[0]).exists() for option in options) else PATHS),
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
