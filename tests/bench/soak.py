"""Does an hour change anything? 32 streams and a monitor on a screen: memory, descriptors, error of TTFT.

    python -m tests.bench.soak [--minutes 60] [--streams 32] [--json FILE]

Two runs at the same time:

    32 streams    rounds of `llmtui accuracy`, each answer saved and sent to a client (tests/bench/soaked.py). It drops
                  its records, so its memory must not grow.
    one stream    `llmtui CONFIG` in an 80x24 terminal with an engine of its own, as users have it. Engine and monitor
                  keep every record of the run by design; their size is subtracted before the slope is computed.

Every 10 s: RSS, USS, descriptors, threads and CPU of each process. Every minute: error of TTFT, load, CPU of other
programs. A slope is a least-squares fit after the first ten minutes (of a shorter soak, its first third), with its
standard error. The one-stream run is judged once SQLite's cache is full, which takes half an hour.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import psutil

from llmtui.accuracy.pty_monitor import Screen, monitor_argv
from llmtui.engine.watch.other_cpu import OtherCpuMeter
from llmtui.servers.server_processes import ServerProcesses
from tests.bench.common import command_line, heading, truth_config
from tests.bench.soak_figures import (
    CLIENT,
    ENGINE,
    MINUTES_HEAD,
    ONE_ENGINE,
    ONE_MONITOR,
    ONE_TRUTH,
    SETTLED_S,
    TRUTH,
    Gauge,
    Minute,
    Soak,
    as_json,
    minute_line,
    report,
)
from tests.bench.soaked import Order, Round, Weight

SAMPLE_S = 10.0
START_S = 60.0
ROOT = Path(__file__).parents[2]


class Child:
    """A process of tests.bench.soaked, whose output is read by line."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], order: Order | None = None) -> None:
        command = [sys.executable, "-P", "-m", "tests.bench.soaked", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0)
        self._unread = b""
        self._name = " ".join(arguments)
        if order is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    def fileno(self) -> int:
        """Return its stdout, which is readable if it has printed something or has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def lines(self) -> list[bytes]:
        """Return the whole lines that it has printed since. Exit if it has ended."""
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            sys.exit(f"{self._name} ended too soon")
        *whole, self._unread = (self._unread + data).split(b"\n")
        return whole

    def first(self) -> bytes:
        """Wait for its next line, and return it."""
        while not (whole := self.lines()):
            pass
        return whole[0]

    def end(self) -> bytes:
        """Wait for it to end by itself. Return the rest of its output."""
        output, _ = self.process.communicate(timeout=START_S)
        return self._unread + output


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def below(pid: int, module: str) -> int:
    """Wait for a descendant of `pid` that runs `module`, and return its pid. Its guard names it too, after a "--"."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for process in tree(pid)[1:]:
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if module in words and "--" not in words:
                    return process.pid
        time.sleep(0.1)
    sys.exit(f"no process runs {module}")


def soak(folder: Path, order: Order, minutes: int) -> Soak:
    """Run the whole soak."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)}
    one = {**env, "XDG_RUNTIME_DIR": str(folder), "LLMTUI_STORE": str(folder / "one.db")}
    config = folder / "one.toml"
    truth_config(config, {"truth": 10.0}, iterations=100_000, warmup=0, on_disconnect="stop")
    children: list[Child] = []
    screen = None
    try:
        children.append(engine := Child(["serve"], env, order))
        seen = Soak(msgspec.json.decode(engine.first(), type=Round).package)
        print(f"the package under test: {seen.package}", file=sys.stderr, flush=True)
        children.append(client := Child(["follow", order.socket], env))
        screen = Screen(monitor_argv(config), one, columns=80, rows=24)
        pids = {
            ENGINE: engine.process.pid,
            CLIENT: client.process.pid,
            TRUTH: below(engine.process.pid, "llmtui.accuracy.truth_server"),
            ONE_ENGINE: below(screen.pid, "llmtui.engine"),
            ONE_MONITOR: screen.pid,
            ONE_TRUTH: below(screen.pid, "llmtui.accuracy.truth_server"),
        }
        seen.gauges = {name: Gauge(pid) for name, pid in pids.items()}
        watch(seen, engine, screen, minutes)
        screen.close()
        assert engine.process.stdin is not None
        engine.process.stdin.close()
        engine.process.stdin = None
        for line in engine.end().splitlines():
            seen.reported += len(msgspec.json.decode(line, type=Round).ttft_s)
        seen.received = int(client.end())
    finally:
        started = tree(os.getpid())[1:]
        if screen is not None:
            screen.close()
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        psutil.wait_procs(started, timeout=START_S)
    seen.saved = len(started_s(Path(order.store)))
    # The records have UTC times: convert them to the soak's clock.
    offset_s = time.time() - time.monotonic() + seen.began
    seen.one_s = [at - offset_s for at in started_s(folder / "one.db")]
    weigh = Child(["weigh"], env, order)
    seen.weight = msgspec.json.decode(weigh.first(), type=Weight)
    weigh.end()
    return seen


def watch(seen: Soak, engine: Child, screen: Screen, minutes: int) -> None:
    """Read reports and sample processes until the time is over."""
    own = [process.pid for process in tree(os.getpid())]
    began = seen.began = time.monotonic()
    due = 0.0
    watched: list[Child | Screen] = [engine, screen]
    for number in range(minutes):
        minute = Minute()
        meter = OtherCpuMeter(ServerProcesses((), host="127.0.0.1"), lambda: own)
        meter.start()
        ends = 60.0 * (number + 1)
        while (now := time.monotonic() - began) < ends:
            if now >= due:
                for gauge in seen.gauges.values():
                    gauge.sample(now)
                due += SAMPLE_S
                continue
            ready = select.select(watched, [], [], min(due, ends) - now)[0]
            if screen in ready and screen.drain() is None:
                sys.exit("the monitor ended too soon")
            if engine in ready:
                for line in engine.lines():
                    one = msgspec.json.decode(line, type=Round)
                    minute.ttft_s.append(one.ttft_s)
                    minute.itl_s += one.itl_s
                    minute.failed += one.failed
                    seen.stamps.update(one.stamps)
                    seen.reported += len(one.ttft_s)
                    seen.rest_s.append(time.monotonic() - began)
                    seen.rest_bytes.append(one.rss_bytes)
        meter.stop()
        minute.foreign, minute.load = meter.result()[0], os.getloadavg()[0]
        minute.rss = {name: gauge.rss[-1] for name, gauge in seen.gauges.items()}
        seen.minutes.append(minute)
        print(minute_line(number, minute), file=sys.stderr, flush=True)


def started_s(file: Path) -> list[float]:
    """Return when each record of a history was started, in seconds since the epoch."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT started_utc FROM iterations ORDER BY seq")
        return [datetime.fromisoformat(at).timestamp() for (at,) in rows]


def main() -> None:
    """Soak and report. Exit with 1 if a goal does not hold."""
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    print(heading(f"{arguments.minutes} minutes at {arguments.streams} streams, and one stream on an 80x24 screen"))
    print(MINUTES_HEAD, file=sys.stderr, flush=True)
    settled_s = min(SETTLED_S, 60.0 * arguments.minutes / 3)
    with tempfile.TemporaryDirectory(prefix="llmtui-soak-") as name:
        folder = Path(name)
        order = Order(
            run="50a4" * 2,
            streams=arguments.streams,
            requests=5 * arguments.streams,
            store=str(folder / "many.db"),
            socket=str(folder / "engine.sock"),
        )
        seen = soak(folder, order, arguments.minutes)
    verdicts = report(seen, settled_s)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(seen, settled_s, verdicts)))
    sys.exit(any(verdict.holds is False for verdict in verdicts))


if __name__ == "__main__":
    main()
