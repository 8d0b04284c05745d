"""`llmtui` and `python -m llmtui`."""

from __future__ import annotations


def main() -> None:
    """Entry point of the command line."""
    from llmtui.cli import cli

    cli.main(prog_name="llmtui")


if __name__ == "__main__":
    main()
