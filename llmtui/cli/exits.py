"""The exit of a command that raised: the one map from errors to messages and exit codes."""

from __future__ import annotations

import click

from llmtui import exit_codes
from llmtui.cli.output import report
from llmtui.interrupts import exit_interrupted
from llmtui.model.errors import CommandError, UsageError
from llmtui.text import sanitize


def exit_code_of(error: BaseException) -> int:
    """Print `error` and return its exit code. An error that is not meant for the user is raised again."""
    if isinstance(error, CommandError):
        # A usage error repeats what was typed, and is one line whatever that was.
        report(sanitize(str(error), 2_000) if isinstance(error, UsageError) else str(error))
        return error.exit_code
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        exit_interrupted()
    if isinstance(error, click.ClickException):
        error.show()
        return exit_codes.USAGE if isinstance(error, click.UsageError) else exit_codes.FAILED
    raise error


def report_lost_output(reason: str, code: object) -> object:
    """Report why output was lost ("": nothing to report). Return the exit code of a command that ended with `code`."""
    if reason:
        report(f"cannot write the output: {reason}")
    return code or exit_codes.FAILED
