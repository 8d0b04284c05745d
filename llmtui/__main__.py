"""`llmtui` and `python -m llmtui`."""

from __future__ import annotations

import io
import os
import sys

# As `typing` has it, which takes 10 ms to load: an interruption in them would be a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Entry point of the command line."""
    try:
        for stream in (sys.stdout, sys.stderr):
            # A name in letters that the terminal lacks is shown with question marks, and is no traceback.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        from llmtui.interrupts import NothingBegun

        with NothingBegun():
            from llmtui.cli.app import cli

            cli.main(prog_name="llmtui", standalone_mode=False)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit:
        raise
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """The exit of what click raises, as click itself does it, but for an interruption, which is 130."""
    import click

    from llmtui import exit_codes

    if isinstance(error, click.exceptions.Exit):
        sys.exit(error.exit_code)
    if isinstance(error, click.Abort):
        _interrupted()
    if isinstance(error, click.ClickException):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):
        # The reader of our output has seen enough; nothing more can be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(exit_codes.FAILED)
    raise error


def _interrupted() -> NoReturn:
    from llmtui import exit_codes
    from llmtui.interrupts import ending

    ending()
    sys.stderr.write("llmtui: interrupted\n")
    sys.exit(exit_codes.INTERRUPTED)


if __name__ == "__main__":
    main()
