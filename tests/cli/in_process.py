"""The command line in the process of the test: its output and exit code, without the start of another Python.

For commands whose process is not what is tested. Those that measure, or stop by a signal, get a process of their own.
"""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
from pathlib import Path

import pytest

from llmtui.cli.app import cli
from llmtui.cli.exits import exit_code_of
from llmtui.exit_codes import OK


def llmtui(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as `python -m llmtui` does, with these variables beside those of the environment."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        try:
            code = exit_code(*arguments)
        finally:
            signal.signal(signal.SIGINT, handler)
    texts = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(arguments, code, *texts)


def exit_code(*arguments: str) -> int:
    """Run a command and return its exit code; its output goes to the streams of this process."""
    try:
        cli.main(list(arguments), prog_name="llmtui", standalone_mode=False)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return ended.code
    except BaseException as error:
        return exit_code_of(error)
    return OK
