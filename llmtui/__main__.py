"""`llmtui` and `python -m llmtui`: runs the command line and turns every error into an exit code."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command line."""
    code: object = 0
    streams = None
    try:
        from llmtui.interrupts import ExitOnInterrupt

        with ExitOnInterrupt():
            from llmtui.cli.streams import open_streams

            streams = open_streams()
            from llmtui.cli.app import cli

            cli.main(prog_name="llmtui", standalone_mode=False)
    except KeyboardInterrupt:
        from llmtui.interrupts import exit_interrupted

        exit_interrupted()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        from llmtui.cli.exits import exit_code_of

        code = exit_code_of(error)
    if streams is not None and (reason := streams.lost()) is not None:
        from llmtui.cli.exits import report_lost_output

        code = report_lost_output(reason, code)
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
