"""`llmtui` and `python -m llmtui`: runs the command line and turns every error into an exit code."""

from __future__ import annotations

import io
import sys


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
        from llmtui.interrupts import exit_interrupted

        exit_interrupted()
    except SystemExit:
        raise
    except BaseException as error:
        from llmtui.cli.exits import exit_with

        exit_with(error)


if __name__ == "__main__":
    main()
