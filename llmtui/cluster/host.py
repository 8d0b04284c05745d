"""The measuring process on the machine of a Dask worker: starts it, gives it slices, keeps what it reports.

It is the same process as on one machine, a child of the Dask worker: Dask's heartbeats, threads and garbage
collections would otherwise be in the figures.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from llmtui.cluster.messages import Answer, Carry, End, Fetch, Tell
from llmtui.cluster.sealing import SealError, unsealed
from llmtui.cluster.spool import Spool
from llmtui.load.marks import Mark
from llmtui.load.messages import Batch, Frames, FromWorker, SliceDone, frame
from llmtui.load.process import EXIT_S, SILENT_S
from llmtui.model import Failure, Struct
from llmtui.model.redacting import redacted
from llmtui.text import Redactor

#: A run counts as measuring until this long after a turn, in s: the next one follows.
QUIET_S = 5.0
#: The process ends if the engine says nothing for this long, in s: it asks several times a second.
ALONE_S = 30.0
#: What to do about a file that cannot be written there.
SPACE = "free some space, or give that Dask worker another --local-directory"
_CHECK_S = 1.0
_READ_BYTES = 1024 * 1024
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FromWorker).decode
_DONE = "done"


class _Kind(Struct, frozen=True):
    """The kind of a message, without reading the rest of it."""

    m: str


_kind = msgspec.msgpack.Decoder(_Kind).decode


class Host:
    """Holds one measuring process at a time. `run` takes a thread; the other methods answer the engine meanwhile.

    `wanted` returns whether the task is still wanted; `name` is how messages call this machine. `run` is the id of the
    run.
    """

    def __init__(self, name: str, wanted: Callable[[], bool], folder: str | None = None, run: str = "") -> None:
        self.run_id = run
        self._mark = Mark(run)
        self._name = name
        self._wanted = wanted
        self._commands: queue.SimpleQueue[Carry | Tell | End] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._spool = Spool(folder)
        self._child: subprocess.Popen[bytes] | None = None
        self._begun = 0
        self._open = 0
        self._secrets: list[bytes] = []
        self._redact = Redactor([])
        self._heard_s = self._reported_s = time.monotonic()
        self._measured_s = -math.inf

    @property
    def measures(self) -> bool:
        """Whether a turn is under way, or has just ended."""
        return bool(self._open) or time.monotonic() - self._measured_s < QUIET_S

    def command(self, ask: Carry | Tell | End) -> Answer:
        """Let `run` carry this out."""
        self._heard_s = time.monotonic()
        self._commands.put(ask)
        return Answer()

    def fetch(self, ask: Fetch) -> Answer:
        """Return what is not acknowledged."""
        self._heard_s = time.monotonic()
        with self._lock:
            self._spool.acknowledge(ask.acknowledged)
            return Answer(frames=self._spool.read())

    def run(self) -> str:
        """Carry out commands until one ends the task, or its engine is gone. Return why it ended."""
        try:
            while True:
                if self._open:
                    self._measured_s = time.monotonic()
                self._mark.set(self.measures)
                try:
                    command = self._commands.get(timeout=_CHECK_S)
                except queue.Empty:
                    if why := self._over():
                        return why
                    continue
                match command:
                    case Carry():
                        self._carry(command)
                    case Tell(number=number, frame=data):
                        if number == self._open:
                            self._send(data)
                    case End():
                        return "the run ended"
        finally:
            self._end_child()
            self._mark.set(False)
            with self._lock, contextlib.suppress(OSError):
                self._spool.close()

    def _over(self) -> str:
        now_s = time.monotonic()
        if not self._wanted():
            return "the task was taken back"
        if now_s - self._heard_s > ALONE_S:
            return f"the engine was silent for {ALONE_S:g} s"
        if self._open and now_s - self._reported_s > SILENT_S and self._child is not None:
            self._child.kill()  # stopped, or it hangs
        return ""

    def _carry(self, ask: Carry) -> None:
        if ask.number <= self._begun:
            return  # the engine asked twice, as it did not see our answer
        self._begun = self._open = ask.number
        try:
            of, keys = unsealed(ask.sealed, os.environ)
        except SealError as error:
            self._done(ask.number, Failure(kind="missing", message=f"worker {self._name}: {error}"))
            return
        self._secrets = [key.encode() for key in keys]
        self._redact = Redactor(keys)
        self._reported_s = time.monotonic()
        try:
            self._start()
        except OSError as error:
            message = f"worker {self._name}: cannot start the process that measures: {error.strerror or error}"
            self._done(ask.number, Failure(kind="stopped", message=message))
            return
        self._send(frame(of))

    def _start(self) -> None:
        if self._child is not None and self._child.poll() is None:
            return
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "llmtui.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)
        threading.Thread(target=self._read, args=(self._child,), name="llmtui-reader", daemon=True).start()

    def _send(self, data: bytes) -> None:
        child, left = self._child, memoryview(data)
        if child is None or child.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError), selectors.DefaultSelector() as writable:
            writable.register(child.stdin, selectors.EVENT_WRITE)
            while left:  # a process that has ended is reported by its reader, and one that hangs may never read
                if writable.select(_CHECK_S):
                    left = left[child.stdin.write(left) or 0 :]
                elif self._over():
                    return

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        """Keep what the process reports, until it ends. Runs in a thread of its own."""
        assert child.stdout is not None
        frames = Frames()
        try:
            while data := os.read(child.stdout.fileno(), _READ_BYTES):
                self._reported_s = time.monotonic()
                for each in frames.feed(data):
                    self._keep(each)
            why, hint = f"the process that measures ended (status {child.wait()})", ""
        except Exception as error:  # such as a full disk; whatever it is, the engine has to hear of the end
            child.kill()
            child.wait()  # the next slice may come at once, and needs a new one
            why, hint = f"the process that measures was ended: {error!r}", ""
            if isinstance(error, OSError):
                why, hint = str(error), SPACE
        if self._open and child is self._child:
            self._done(self._open, Failure(kind="stopped", message=f"worker {self._name}: {why}", hint=hint))

    def _keep(self, data: bytes) -> None:
        kind, number = _kind(data).m, self._open
        data = self._without_keys(data)
        with self._lock:
            self._spool.add(number, data)
            if kind == _DONE:
                self._open = 0

    def _without_keys(self, data: bytes) -> bytes:
        """The keys are those of this machine: the engine, which may have others, could not redact them."""
        if not self._redact or not any(self._may_have(secret, data) for secret in self._secrets):
            return data
        message = _decode(data)
        if isinstance(message, Batch):
            return _encode(Batch(samples=[redacted(sample, self._redact) for sample in message.samples]))
        return _encode(redacted(message, self._redact))

    @staticmethod
    def _may_have(secret: bytes, data: bytes) -> bool:
        return secret[:8].lower() in data.lower()

    def _done(self, number: int, failure: Failure) -> None:
        """Say how a slice ended, also on a disk that is full."""
        data = _encode(SliceDone(error=failure))
        with self._lock:
            self._open = 0
            try:
                self._spool.add(number, data)
            except OSError:
                self._spool.add_in_memory(number, data)

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        child.stdin.close()
        try:
            child.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
