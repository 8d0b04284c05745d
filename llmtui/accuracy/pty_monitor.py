"""Runs the measuring process of `llmtui accuracy`, and meanwhile a monitor in a pseudo-terminal."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from llmtui.accuracy.probe import AccuracyError, Job, LevelReport
from llmtui.engine.watch.machine import describe_machine
from llmtui.link.run_folders import scratch_folder
from llmtui.model.accuracy import MonitorLoad, Record
from llmtui.text.format import plural

COLUMNS, ROWS = 120, 40
#: On a busy machine the monitor is the last process to get a core, and takes long to open.
OPEN_S = 90.0
_EXIT_S = 15.0
_BUSY_ITERATIONS = 100_000
#: The title of the monitor (OSC 2) has the progress of its run, and is always complete, unlike updates of the screen.
_TITLE = re.compile(rb"\x1b\]2;llmtui ([0-9]+)/[0-9]+ ")
_TITLE_BYTES = 200


class Screen:
    """A program in a pseudo-terminal, whose output is read and counted. Must be closed."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, columns: int = COLUMNS, rows: int = ROWS
    ) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.bytes = 0
        self.started = time.monotonic()
        self.status: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                # Under nohup it would survive the end of its terminal.
                signal.signal(signal.SIGHUP, signal.SIG_DFL)
                termios.tcsetwinsize(0, (rows, columns))
                os.execve(argv[0], list(argv), environment)
            finally:
                os._exit(127)
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        """Readable if there is output, or the program has exited."""
        return self._fd

    def drain(self) -> bytes | None:
        """Return the output since the last call; None once the program has exited."""
        parts: list[bytes] = []
        while True:
            try:
                part = os.read(self._fd, 65536)
            except BlockingIOError:
                return b"".join(parts)
            except OSError:
                part = b""  # Linux reports the end of a pseudo-terminal as an error.
            if not part:
                return b"".join(parts) if parts else None
            parts.append(part)
            self.bytes += len(part)

    def chunks(self, timeout_s: float) -> Iterator[bytes]:
        """Yield the output as it arrives, until the program exits or the timeout passes."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self], [], [], left)[0]:
                if (data := self.drain()) is None:
                    return
                yield data

    def press(self, keys: bytes) -> None:
        """Send key presses."""
        os.write(self._fd, keys)

    def cpu_s(self) -> float:
        """Return the CPU seconds of the program without its children; 0 once it has exited."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def close(self, *, now: bool = False) -> None:
        """Stop the program with SIGTERM; with SIGKILL if that takes too long, or `now` is set."""
        if self.status is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL if now else signal.SIGTERM)
        for _ in self.chunks(_EXIT_S):
            pass
        os.close(self._fd)
        deadline = time.monotonic() + 1.0
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        while pid == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        self.status = os.waitstatus_to_exitcode(status)


def monitor_argv(config: Path) -> list[str]:
    """Return the command that opens the monitor, with this Python."""
    return [sys.executable, "-P", "-m", "llmtui", str(config)]


@contextlib.contextmanager
def busy_monitor() -> Iterator[Screen]:
    """Open a monitor whose run has figures to draw. Raises AccuracyError."""
    launch = [sys.executable, "-P", "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--itl-ms", "4"]
    # The run stops when the monitor exits.
    text = f"[run]\niterations = {_BUSY_ITERATIONS}\nwarmup = 0\non_disconnect = 'stop'\n"
    for name in ("one", "two", "three"):
        text += f"[[backend]]\nname = {name!r}\nlanguage = 'Python'\n"
        text += f"launch = {msgspec.json.encode(launch).decode()}\n"
    with scratch_folder("llmtui-accuracy-") as folder:
        config = Path(folder) / "busy.toml"
        config.write_text(text)
        screen = Screen(monitor_argv(config))
        try:
            output = b""
            for data in screen.chunks(OPEN_S):
                output = output[-_TITLE_BYTES:] + data
                # After 6 iterations every backend has figures, and both charts have points.
                if any(int(count) >= 6 for count in _TITLE.findall(output)):
                    break
            else:
                raise AccuracyError(f"the monitor did not open: {last_title(output)}")
            yield screen
        finally:
            screen.close()


def last_title(output: bytes) -> str:
    """Return what the title of the monitor was, for an error message."""
    titles = re.findall(rb"\x1b\]2;([^\x07\x1b]*)", output)
    return f"its title was {titles[-1].decode('utf-8', 'replace')!r}" if titles else "it had no title yet"


def levels(job: Job, screen: Screen | None) -> Iterator[LevelReport]:
    """Run the measuring process while draining the screen. Raises AccuracyError."""
    with scratch_folder("llmtui-accuracy-") as folder, (Path(folder) / "log").open("w+b") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "llmtui.accuracy.probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            # As the engine of a run.
            start_new_session=True,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            child.stdin.flush()
            watched = [child.stdout.fileno(), *([screen.fileno()] if screen is not None else [])]
            done = 0
            while done < len(job.levels):
                ready = select.select(watched, [], [])[0]
                if screen is not None and screen.fileno() in ready and screen.drain() is None:
                    raise AccuracyError("the monitor ended before the measurement did")
                if child.stdout.fileno() in ready:
                    line = child.stdout.readline()
                    if not line:
                        log.seek(0)
                        lines = log.read().decode("utf-8", "replace").strip().splitlines()
                        raise AccuracyError("the measuring process ended" + (f": {lines[-1]}" if lines else ""))
                    report = msgspec.json.decode(line, type=LevelReport)
                    if report.error:
                        raise AccuracyError(report.error)
                    done += 1
                    yield report
        finally:
            child.stdin.close()
            child.stdout.close()
            try:
                child.wait(10.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _versions() -> dict[str, str]:
    """Return the versions of the packages that measure and draw, as far as installed."""
    versions = {}
    for name in ("llmtui", "httpx", "httptools", "textual"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions | {"Python": platform.python_version()}


def measure(job: Job, progress: Callable[[str], None]) -> Record:
    """Measure without a monitor and then, if the job asks for it, with one. Raises AccuracyError."""
    reports: list[LevelReport] = []
    monitor_load = None
    for monitor in (False, True) if job.monitor else (False,):
        part = msgspec.structs.replace(job, monitor=monitor)
        with busy_monitor() if monitor else contextlib.nullcontext() as screen:
            began, first, cpu_s = time.monotonic(), screen.bytes if screen else 0, screen.cpu_s() if screen else 0.0
            for report in levels(part, screen):
                reports.append(report)
                assert report.level is not None
                where = "with a monitor on screen" if monitor else "without a monitor"
                requests = plural(report.level.requests, "request")
                progress(f"{report.level.title} {where}: {requests}")
            if screen is not None:
                seconds = time.monotonic() - began
                monitor_load = MonitorLoad(
                    columns=COLUMNS,
                    rows=ROWS,
                    seconds=seconds,
                    bytes_per_s=(screen.bytes - first) / seconds,
                    cpu_cores=(screen.cpu_s() - cpu_s) / seconds,
                )
    measured = [report.level for report in reports if report.level is not None]
    return Record(
        measured_utc=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        machine=describe_machine(),
        versions=_versions(),
        stamp="kernel" if all(level.stamp == "kernel" for level in measured) else "user",
        truth_stamp="kernel" if all(report.truth_stamp == "kernel" for report in reports) else "user",
        tokens=job.tokens,
        ttft_ms=job.ttft_ms,
        itl_ms=job.itl_ms,
        levels=measured,
        watching=monitor_load,
    )
