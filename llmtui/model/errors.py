"""Errors that end a command, with its exit code. Their message is a sentence for the user."""

from __future__ import annotations

from llmtui import exit_codes


class CommandError(Exception):
    """Ends a command. `llmtui.cli.exits` prints the message, a sentence for the user, and exits with `exit_code`."""

    exit_code = exit_codes.FAILED


class UsageError(CommandError):
    """The command line or the config cannot be used as it is. The message says what to change."""

    exit_code = exit_codes.USAGE
