"""The screens of other tools beside this one's: the same server, 120x40, an iteration a second, one after the other.

`python -m tests.bench.rivals [--aiperf PATH] [--homebench PATH] [--seconds 20]`. The paths are those tools' commands,
installed by whoever runs this (each in an environment of its own); without them only llmtui is measured. (aiperf wants
a tokenizer even to count none: offline, one that lies in the cache that HF_HOME names.) Told are when
the first text is on the screen, the bytes to the terminal, and CPU and memory of all the processes that the tool
starts (the server is not among them: it runs already). `--show` prints what stood on each screen.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import heading
from tests.engine.helpers import process_tree

ITL_MS = 15
TOKENS = 64
#: Until the tool has begun to measure.
SETTLED_S = 20.0
_CODES = re.compile(
    rb"\x1b(?:\[[0-9;?:<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
)


@contextlib.contextmanager
def truth_server() -> Iterator[str]:
    """A truth server; its address."""
    argv = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "0", "--itl-ms", str(ITL_MS)]
    with subprocess.Popen([*argv, "--tokens", str(TOKENS)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def commands(url: str, folder: Path, rivals: argparse.Namespace) -> dict[str, list[str]]:
    """What is run for each tool: one stream, enough requests to last."""
    config = folder / "rivals.toml"
    config.write_text(
        "[run]\niterations = 1000\nwarmup = 0\nmax_tokens = 64\non_disconnect = 'stop'\n"
        f"[[backend]]\nname = 'truth'\nurl = '{url}'\n"
    )
    found = {"llmtui": monitor_argv(config)}
    if rivals.aiperf:
        found["AIPerf"] = [rivals.aiperf, "profile", "-m", "truth", "--url", url, "--endpoint-type", "chat"]
        found["AIPerf"] += ["--streaming", "--request-count", "1000", "--concurrency", "1", "--ui", "dashboard"]
        # Not told how long, the server answers briefly: four times as often as the others are answered.
        found["AIPerf"] += ["--extra-inputs", f"max_tokens:{TOKENS}"]
        found["AIPerf"] += ["--tokenizer", rivals.tokenizer, "--artifact-dir", str(folder / "aiperf")]
    if rivals.homebench:
        found["homebench"] = [rivals.homebench, "run", "--provider", "openai", "--host", url, "-m", "truth", "--tui"]
        found["homebench"] += ["--no-quality", "--no-save", "--repeat", "1000", "--speed-tokens", str(TOKENS)]
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds of these processes so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def rss_mb(processes: list[psutil.Process]) -> float:
    """Resident memory of these processes, what they share counted in each."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 1e6


def watch(argv: list[str], env: dict[str, str], seconds: int) -> tuple[str, str]:
    """Run it for a while; its line of figures, and the last of what it wrote."""
    screen = Screen([shutil.which(argv[0]) or argv[0], *argv[1:]], env)
    first_s = 0.0
    written = b""
    told: list[int] = [0] * seconds
    try:
        for data in screen.chunks(SETTLED_S):
            if not first_s and re.search(rb"[A-Za-z]{3}", _CODES.sub(b"", data)):
                first_s = time.monotonic() - screen.started
            written += data
        processes = process_tree(screen.pid)
        began, before, own = time.monotonic(), cpu_s(processes), screen.cpu_s()
        for data in screen.chunks(seconds):
            told[min(seconds - 1, int(time.monotonic() - began))] += len(data)
            written += data
        took = time.monotonic() - began
        if not (processes := process_tree(screen.pid)):
            return f"ended by itself after {took:.0f} s", _CODES.sub(b"", written)[-2000:].decode("utf-8", "replace")
        all_of_it, screens_own = (cpu_s(processes) - before) / took, (screen.cpu_s() - own) / took
        line = (
            f"first text {first_s * 1e3:6.0f} ms; {statistics.mean(told) / 1e3:6.1f} kB/s "
            f"({min(told) / 1e3:.1f} to {max(told) / 1e3:.1f}); CPU {all_of_it * 100:5.1f} % of a core, "
            f"{screens_own * 100:5.1f} % the first process; {rss_mb(processes):6.0f} MB in {len(processes)} processes, "
            f"{rss_mb(processes[:1]):.0f} the first"
        )
        return line, _CODES.sub(b"", written)[-4000:].decode("utf-8", "replace")
    finally:
        below = process_tree(screen.pid)
        screen.close()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()


def main() -> None:
    """Measure one after the other, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aiperf", default="", help="the command aiperf")
    parser.add_argument("--tokenizer", default="builtin", help="what aiperf takes as one")
    parser.add_argument("--homebench", default="", help="the command homebench")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    print(heading("screens at 120x40, one stream, iterations of a second"))
    with tempfile.TemporaryDirectory(prefix="llmtui-rivals-") as name, truth_server() as url:
        env = {"XDG_RUNTIME_DIR": name, "LLMTUI_STORE": str(Path(name) / "history.db"), "HOME": name}
        env |= {"HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
        for tool, argv in commands(url, Path(name), arguments).items():
            line, shown = watch(argv, env, arguments.seconds)
            print(f"{tool:10} {line}", flush=True)
            if arguments.show:
                print(shown)


if __name__ == "__main__":
    main()
