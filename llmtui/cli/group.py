"""The classes of llmtui's commands, and of the group that they are in."""

from __future__ import annotations

import itertools
from typing import Any

import click
from click.shell_completion import CompletionItem

from llmtui.exit_codes import exit_line
from llmtui.interrupts import raise_on_interrupt

#: Options of `monitor` that the main help lists.
_EVERYDAY = ("model", "only", "iterations", "max_tokens")
#: The commands by what they are for, and what each of a line does.
COMMAND_LINES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("init", "check", "accuracy"), "Write a config; try every backend; llmtui's error."),
    (("run", "serve"), "Run the benchmark as plain text; in a browser."),
    (("attach", "resume", "import"), "Watch an active run; continue one; import files."),
    (("history", "show", "export"), "List past runs; show one; write its files."),
    (("open", "compare", "trend"), "A past run in the monitor; two runs; all of one."),
    (("explain", "completion"), "Print the manual; the completion of a shell."),
)
#: Examples of the main help.
_EXAMPLES = (
    ("llmtui", "race what the config lists, or what is here"),
    ("llmtui ollama llama.cpp", "frameworks; also a config, or a FILE.gguf"),
    ("llmtui http://gpu-box:8000 :8080", "servers; options: --model llama3.2"),
)
#: Examples of commands whose options and arguments do not explain themselves.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "monitor": ("llmtui ollama http://gpu-box:8000 --model llama3.2",),
    "run": ("llmtui run ollama llama.cpp --csv results.csv --fail-if 'ttft_p50>0.2'",),
    "check": ("llmtui check ollama http://gpu-box:8000",),
    "show": ("llmtui show last --label before",),
    "compare": ("llmtui compare last~1 last --gate 5", "llmtui compare last last --backend ONE=OTHER"),
    "trend": ("llmtui trend llama.cpp --since 30d",),
    "export": ("llmtui export before --format hyperfine -o FOLDER",),
    "import": ("llmtui import ollama=ollama.json llamafile=llamafile.json",),
    "init": ("llmtui init --print",),
}


#: Options that mean something without text: to remove what is there, and to measure at no rate.
_MAY_BE_EMPTY = {"show": ("label", "note"), "accuracy": ("rates",)}


class InterruptibleCommand(click.Command):
    """A command that Control-C interrupts with KeyboardInterrupt, once it has started."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        raise_on_interrupt()
        return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options. One of another load tool is answered with llmtui's own: raises UsageError."""
        if any(word.startswith("--goodput") for word in args):
            from llmtui.config.objectives import goodput_words

            args = goodput_words(args)
        self._refuse_empty(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from llmtui.cli.rivals import instead_of

            if message := instead_of(error.option_name):
                from llmtui.model.errors import UsageError

                raise UsageError(message) from None
            raise

    def _refuse_empty(self, args: list[str]) -> None:
        """Raise UsageError if an option is given without text: a variable of the shell may not be set."""
        taking = {
            name: option.opts[0]
            for option in self.params
            if isinstance(option, click.Option) and not (option.is_flag or option.count)
            if option.name not in _MAY_BE_EMPTY.get(self.name or "", ())
            for name in option.opts
        }
        words = args[: args.index("--")] if "--" in args else args
        for before, word in itertools.pairwise(["", *words]):
            given = before if not word else word[:-1] if word.startswith("--") and word.endswith("=") else ""
            if given in taking:
                from llmtui.model.errors import UsageError

                raise UsageError(f"{taking[given]} is empty; name something, or leave the option out")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and the exit codes."""
        name = self.name or ""
        formatter.write_paragraph()
        for example in EXAMPLES.get(name, ()):
            formatter.write(f"Example: {example}\n")
        formatter.write_text(exit_line(name))


class DefaultGroup(click.Group):
    """A group in which `llmtui [WHAT]...` is short for `llmtui monitor [WHAT]...`."""

    command_class = InterruptibleCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command if none is named. `help` as the first word means --help."""
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)  # shell completion of the first word: it may become a command
        if args[:1] == ["help"]:
            args = [*(word for word in args[1:2] if word in self.commands), "--help"]
        elif not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = ["monitor", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the first word: to a command, a framework, or a file."""
        if names := super().shell_complete(ctx, incomplete):
            return names
        return self.commands["monitor"].params[0].shell_complete(ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a help of one screen: examples, the options that everybody needs, all commands, all exit codes."""
        formatter.write("Usage: llmtui [OPTIONS] [WHAT]...\n       llmtui COMMAND ...\n\n")
        formatter.write(f"{self.help}\n\n")
        formatter.write("".join(f"  {example:34}{what}\n" for example, what in _EXAMPLES))
        options = {option.name: option for option in self.commands["monitor"].params}
        records = [options[name].get_help_record(ctx) for name in _EVERYDAY]
        with formatter.section("Options (the others: llmtui monitor --help)"):
            formatter.write_dl([record for record in records if record is not None])
        with formatter.section("Commands (llmtui COMMAND --help)"):
            formatter.write_dl([(", ".join(names), text) for names, text in COMMAND_LINES])
        formatter.write_paragraph()
        formatter.write(exit_line() + "\n")
