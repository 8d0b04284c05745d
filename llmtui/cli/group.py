"""The classes of llmtui's commands, and of the group that they are in."""

from __future__ import annotations

from typing import Any

import click

from llmtui.interrupts import raise_on_interrupt


class InterruptibleCommand(click.Command):
    """A command that Control-C interrupts with KeyboardInterrupt, once it has started."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        raise_on_interrupt()
        return super().invoke(ctx)


class DefaultGroup(click.Group):
    """A group in which `llmtui [CONFIG]` is short for `llmtui monitor [CONFIG]`."""

    command_class = InterruptibleCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command if none is named."""
        if not args and ctx.resilient_parsing:
            pass  # shell completion of the first word: it may become a command
        elif not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = ["monitor", *args]
        return super().parse_args(ctx, args)
