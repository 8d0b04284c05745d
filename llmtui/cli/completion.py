"""`llmtui completion SHELL`: the script that completes words of llmtui in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from llmtui import exit_codes


def print_script(group: click.Command, shell: str) -> int:
    """Print the script of `shell`: bash, zsh or fish. Return the exit code."""
    kind = get_completion_class(shell)
    assert kind is not None
    # click's own class asks bash for its version first; the script says the same when it is read.
    click.echo(kind.source_template % kind(group, {}, "llmtui", "_LLMTUI_COMPLETE").source_vars())
    return exit_codes.OK
