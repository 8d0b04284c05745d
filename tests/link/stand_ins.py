"""Stand-ins for ssh, a shell script, and for an engine with a long run: the two ends of a line without sshd."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmtui.link import run_folders
from llmtui.link.server import LinkServer
from llmtui.link.ssh import OtherMachine
from llmtui.model import Hello, Iteration, IterationDone, Machine, Plan, RunState
from tests import build

#: ssh that carries out `llmtui link` here.
HERE = f"exec {shlex.quote(sys.executable)} -P -m llmtui link"


def machine_of(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str = HERE) -> OtherMachine:
    """Return a machine whose ssh is this shell script."""
    ssh = folder / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("LLMTUI_SSH", shlex.quote(str(ssh)))
    return OtherMachine.named("far")


class LongRun:
    """A run with many iterations behind the socket of its folder, as an engine has it, which may go on."""

    def __init__(self, run: str, count: int) -> None:
        self.plan: Plan = build.plan("a", "b", run=run)
        self.iterations = [self.iteration(number) for number in range(count)]
        self.link: LinkServer | None = None

    def iteration(self, number: int) -> Iteration:
        """Return the iteration with this number from 0 on, of the two backends in turns."""
        # Figures have as many digits as measured ones: a line compresses them.
        latency_s, ttft_s, itl_s = (random.Random(f"{name} {number}").gauss(1.0, 0.1) for name in ("l", "t", "i"))
        usual = {"ttft_s": ttft_s / 10, "itl_s": itl_s / 100, "output_tokens": 64, "seq": number + 1}
        return build.iteration("ab"[number % 2], number // 2 + 1, latency_s, run=self.plan.run, **usual)

    def hello(self) -> Hello:
        """Return what a client gets first."""
        states = [build.state(name, state="running") for name in "ab"]
        run, done = RunState(phase="running"), list(self.iterations)
        return Hello(plan=self.plan, machine=Machine(), run=run, backends=states, iterations=done)

    def go_on(self, count: int = 1) -> None:
        """Measure further iterations."""
        for _ in range(count):
            self.iterations.append(self.iteration(len(self.iterations)))
            if self.link is not None:
                self.link.emit(IterationDone(iteration=self.iterations[-1]))

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[LinkServer]:
        """Listen in a folder of the run."""
        folder, log = run_folders.make(self.plan.run)
        self.link = LinkServer(folder / run_folders.SOCKET_NAME, self.hello, lambda _: None, lambda _: None)
        await self.link.open()
        try:
            yield self.link
        finally:
            await self.link.close()
            os.close(log)
            run_folders.remove(self.plan.run)
            self.link = None
