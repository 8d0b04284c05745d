"""The exit of a command that raised: the one map from errors to messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from llmtui import exit_codes
from llmtui.cli.output import report
from llmtui.interrupts import exit_interrupted
from llmtui.model.errors import CommandError, UsageError
from llmtui.text import sanitize


def exit_with(error: BaseException) -> NoReturn:
    """Print `error` and exit with its code. An error that is not meant for the user is raised again."""
    if isinstance(error, CommandError):
        # A usage error repeats what was typed, and is one line whatever that was.
        report(sanitize(str(error), 2_000) if isinstance(error, UsageError) else str(error))
        sys.exit(error.exit_code)
    if isinstance(error, click.exceptions.Exit):
        sys.exit(error.exit_code)
    if isinstance(error, click.Abort):
        exit_interrupted()
    if isinstance(error, click.ClickException):
        error.show()
        sys.exit(exit_codes.USAGE if isinstance(error, click.UsageError) else exit_codes.FAILED)
    if isinstance(error, BrokenPipeError):
        # The reader closed the pipe, as `head` does. Python must not flush to it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(exit_codes.FAILED)
    raise error
