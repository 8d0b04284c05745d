"""The exit codes of every command, and the errors that carry one. Scripts rely on the codes: they do not change."""

from __future__ import annotations

#: The command did what it was asked to do.
OK = 0
#: A backend failed or did not answer, a gate was broken, or a file could not be written.
FAILED = 1
#: Wrong usage or an invalid config.
USAGE = 2
#: `compare --gate`: the data are too few to pass or to break the gate.
SILENT = 3
#: Control-C, as a shell reports it (128 + SIGINT).
INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command. `llmtui.__main__` prints the message, a sentence for the user, and exits with `exit_code`."""

    exit_code = FAILED


class UsageError(CommandError):
    """The command line or the config cannot be used as it is. The message says what to change."""

    exit_code = USAGE
