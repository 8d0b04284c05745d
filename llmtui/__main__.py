"""`llmtui` and `python -m llmtui`: runs the command line and turns every error into an exit code."""

from __future__ import annotations

import io
import os
import sys

# Importing `typing` takes 10 ms, in which an interruption would be a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Entry point of the command line."""
    try:
        for stream in (sys.stdout, sys.stderr):
            # Characters that the terminal's encoding lacks are printed as question marks.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        from llmtui.interrupts import ExitOnInterrupt

        with ExitOnInterrupt():
            from llmtui.cli.app import cli

            cli.main(prog_name="llmtui", standalone_mode=False)
    except KeyboardInterrupt:
        _exit_interrupted()
    except SystemExit:
        raise
    except BaseException as error:
        _exit_with(error)


def _exit_with(error: BaseException) -> NoReturn:
    """Print `error` and exit with its code. An error that is not meant for the user is raised again."""
    import click

    from llmtui import exit_codes

    if isinstance(error, exit_codes.CommandError):
        from llmtui.cli.output import report
        from llmtui.text import sanitize

        # A usage error repeats what was typed, and is one line whatever that was.
        report(sanitize(str(error), 2_000) if isinstance(error, exit_codes.UsageError) else str(error))
        sys.exit(error.exit_code)
    if isinstance(error, click.exceptions.Exit):
        sys.exit(error.exit_code)
    if isinstance(error, click.Abort):
        _exit_interrupted()
    if isinstance(error, click.ClickException):
        error.show()
        sys.exit(exit_codes.USAGE if isinstance(error, click.UsageError) else exit_codes.FAILED)
    if isinstance(error, BrokenPipeError):
        # The reader closed the pipe, as `head` does. Python must not flush to it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(exit_codes.FAILED)
    raise error


def _exit_interrupted() -> NoReturn:
    from llmtui import exit_codes
    from llmtui.interrupts import ignore_interrupts

    ignore_interrupts()
    sys.stderr.write("llmtui: interrupted\n")
    sys.exit(exit_codes.INTERRUPTED)


if __name__ == "__main__":
    main()
