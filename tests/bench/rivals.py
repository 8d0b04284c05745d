"""What do the screens of other tools cost? The same server, 120x40, an iteration a second, one tool after the other.

    python -m tests.bench.rivals [--aiperf PATH] [--homebench PATH] [--seconds 20] [--show]

Install the tools first, each in an environment of its own; the options take their commands. Without them only llmtui is
measured. aiperf needs a tokenizer, offline one from the cache that HF_HOME names. Reported are the time to the first
text, the bytes to the terminal, and CPU and memory of all processes that the tool starts (the server runs already).
`--show` prints the end of what each tool wrote.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from tests.bench.common import ESCAPES, TRUTH_SERVER, command_line, heading
from tests.engine.helpers import process_tree

ITL_MS = 15
TOKENS = 64
#: How long a tool may take until it measures.
SETTLED_S = 20.0


@contextlib.contextmanager
def truth_server() -> Iterator[str]:
    """Run a truth server and yield its address."""
    argv = [*TRUTH_SERVER, "--port", "0", "--itl-ms", str(ITL_MS)]
    with subprocess.Popen([*argv, "--tokens", str(TOKENS)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def commands(url: str, folder: Path, rivals: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command of each tool: one stream, with enough requests for the whole time."""
    config = folder / "rivals.toml"
    config.write_text(
        "[run]\niterations = 1000\nwarmup = 0\nmax_tokens = 64\non_disconnect = 'stop'\n"
        f"[[backend]]\nname = 'truth'\nurl = '{url}'\n"
    )
    argvs = {"llmtui": monitor_argv(config)}
    if rivals.aiperf:
        argvs["AIPerf"] = [rivals.aiperf, "profile", "-m", "truth", "--url", url, "--endpoint-type", "chat"]
        argvs["AIPerf"] += ["--streaming", "--request-count", "1000", "--concurrency", "1", "--ui", "dashboard"]
        # Without max_tokens the server's replies are short, and come four times as often as those to the others.
        argvs["AIPerf"] += ["--extra-inputs", f"max_tokens:{TOKENS}"]
        argvs["AIPerf"] += ["--tokenizer", rivals.tokenizer, "--artifact-dir", str(folder / "aiperf")]
    if rivals.homebench:
        argvs["homebench"] = [rivals.homebench, "run", "--provider", "openai", "--host", url, "-m", "truth", "--tui"]
        argvs["homebench"] += ["--no-quality", "--no-save", "--repeat", "1000", "--speed-tokens", str(TOKENS)]
    return argvs


def cpu_s(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of these processes so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def rss_mb(processes: list[psutil.Process]) -> float:
    """Return the resident memory of these processes in MB; shared memory counts in each."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 1e6


def watch(argv: list[str], env: dict[str, str], seconds: int) -> tuple[str, str]:
    """Run a tool for some seconds. Return its line of figures, and the end of what it wrote."""
    screen = Screen([shutil.which(argv[0]) or argv[0], *argv[1:]], env)
    first_s = 0.0
    written = b""
    counts = [0] * seconds
    try:
        for data in screen.chunks(SETTLED_S):
            if not first_s and re.search(rb"[A-Za-z]{3}", ESCAPES.sub(b"", data)):
                first_s = time.monotonic() - screen.started
            written += data
        processes = process_tree(screen.pid)
        began, before, own = time.monotonic(), cpu_s(processes), screen.cpu_s()
        for data in screen.chunks(seconds):
            counts[min(seconds - 1, int(time.monotonic() - began))] += len(data)
            written += data
        took = time.monotonic() - began
        if not (processes := process_tree(screen.pid)):
            return f"exited after {took:.0f} s", ESCAPES.sub(b"", written)[-2000:].decode("utf-8", "replace")
        cores, first_cores = (cpu_s(processes) - before) / took, (screen.cpu_s() - own) / took
        line = (
            f"first text {first_s * 1e3:6.0f} ms; {statistics.mean(counts) / 1e3:6.1f} kB/s "
            f"({min(counts) / 1e3:.1f} to {max(counts) / 1e3:.1f}); CPU {cores * 100:5.1f}% of a core, "
            f"{first_cores * 100:5.1f}% the first process; {rss_mb(processes):6.0f} MB in {len(processes)} processes, "
            f"{rss_mb(processes[:1]):.0f} the first"
        )
        return line, ESCAPES.sub(b"", written)[-4000:].decode("utf-8", "replace")
    finally:
        below = process_tree(screen.pid)
        screen.close()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()


def main() -> None:
    """Measure one tool after the other and report."""
    parser = command_line(__doc__)
    parser.add_argument("--aiperf", default="", help="the command aiperf")
    parser.add_argument("--tokenizer", default="builtin", help="the tokenizer for aiperf")
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
