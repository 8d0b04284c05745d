"""A container with a CPU limit: what do the default threads cost against threads set by hand, and is throttling named?

    python -m tests.bench.cpu_limit [--cores 1] [--threads 1 2] [--iterations 8] [--pairs 2]

Needs root and cgroup v1 or v2. llmtui and its embedded llama.cpp run in a control group of `--cores` cores: with the
default threads (0), and with each of `--threads`, in turns. A line per setting has the median latency over all runs of
the setting, its ratio to the first of `--threads`, for how long the group was throttled, and whether the check
`cpu-limit` named it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from llmtui.servers.cgroup import cpu_limit

_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
#: Moves itself into the group, and becomes llmtui there.
_ENTER = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"


class Run(NamedTuple):
    """One run: its latencies (s), how long its group was throttled (s), and whether the check named that."""

    latencies: list[float]
    throttled_s: float
    named: bool


def make_group(cores: float) -> Path:
    """Make a control group with this limit. Raises OSError."""
    v1 = (_V1 / "tasks").exists()
    folder = (_V1 if v1 else _V2) / f"llmtui-bench-{os.getpid()}"
    folder.mkdir()
    (folder / ("cpu.cfs_quota_us" if v1 else "cpu.max")).write_text(
        str(round(cores * 100_000)) + ("" if v1 else " 100000")
    )
    return folder


def throttled_s(group: Path) -> float:
    """Return for how long the group was throttled so far."""
    fields = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(fields["throttled_time"]) / 1e9 if "throttled_time" in fields else int(fields["throttled_usec"]) / 1e6


def measure(group: Path, threads: int, iterations: int) -> Run:
    """Run llama.cpp in the group."""
    tasks = group / ("tasks" if (group / "tasks").exists() else "cgroup.procs")
    with tempfile.TemporaryDirectory() as folder:
        config, results = Path(folder) / "c.toml", Path(folder) / "r.json"
        config.write_text(
            f'[run]\nthreads = {threads}\niterations = {iterations}\nwarmup = 1\n[[backend]]\nname = "llama.cpp"\n'
            'embedded = "llama.cpp"\n'
        )
        before = throttled_s(group)
        subprocess.run(
            [
                *(sys.executable, "-c", _ENTER, str(tasks)),
                *(sys.executable, "-m", "llmtui", "run", str(config), "--json", str(results)),
                *("--store", f"{folder}/h.db"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=600,
        )
        document = json.loads(results.read_text())
    latencies = [
        one["latency_s"]
        for one in document["backends"][0]["iterations"]
        if one["phase"] == "measured" and one["latency_s"]
    ]
    named = any(check["code"] == "cpu-limit" for check in document["checks"])
    return Run(latencies, throttled_s(group) - before, named)


def main() -> None:
    """Print a line per setting."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cores", type=float, default=1.0)
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--iterations", type=int, default=8)
    options.add_argument("--pairs", type=int, default=2)
    args = options.parse_args()
    group = make_group(args.cores)
    runs: dict[int, list[Run]] = {threads: [] for threads in (0, *args.threads)}
    try:
        for _ in range(args.pairs):
            for threads, of in runs.items():
                of.append(measure(group, threads, args.iterations))
    finally:
        group.rmdir()
    medians = {t: statistics.median([s for run in of for s in run.latencies]) for t, of in runs.items()}
    outer = cpu_limit()
    print(f"limit {args.cores:g} of {os.cpu_count()} cores" + (f", {outer:g} outside" if outer else ""))
    for threads, of in runs.items():
        print(
            f"threads {threads or 'default'}: median {medians[threads]:.3f} s, "
            f"{medians[threads] / medians[args.threads[0]]:.2f}x, n = {sum(len(run.latencies) for run in of)}, "
            f"throttled {sum(run.throttled_s for run in of):.1f} s, "
            f"named in {sum(run.named for run in of)} of {len(of)}"
        )


if __name__ == "__main__":
    main()
