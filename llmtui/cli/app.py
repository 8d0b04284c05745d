"""The commands of llmtui. Each imports its module when it runs, so that `--help` is quick."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtui.cli import past_runs
from llmtui.cli.group import DefaultGroup
from llmtui.cli.options import (
    FILE,
    TEXT,
    against_option,
    label_option,
    on_command_option,
    on_option,
    plan_from,
    refuse,
    request_rates,
    run_options,
    store_option,
    stream_counts,
    there_option,
)
from llmtui.cli.outputs import output_options
from llmtui.interrupts import ExitOnInterrupt

if TYPE_CHECKING:
    from llmtui.config.schema import UiConfig
    from llmtui.link.remote import RemoteEngine


def _print_version(ctx: click.Context, param: click.Parameter, wanted: Any) -> None:
    """Print the versions if the option was given: they take 20 ms to find."""
    if wanted:
        from llmtui.cli.version import print_version

        print_version(ctx, param, wanted)


@click.group(
    cls=DefaultGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and those of what it measures with.",
)
def cli() -> None:
    """Benchmark the latency of LLM servers side by side, live in the terminal."""


@cli.command()
@run_options
@label_option
@against_option
@on_option
@on_command_option
@store_option
def monitor(
    words: tuple[str, ...],
    model: str | None,
    only: tuple[str, ...],
    label: str,
    against: str | None,
    on: str | None,
    on_command: str | None,
    store: str,
    **changes: Any,
) -> None:
    """Run the benchmark in the monitor (the default command).

    WHAT is a config (./config.toml by default), or frameworks (ollama), addresses of servers, and a FILE.gguf: see
    `llmtui explain servers`.
    """
    from llmtui.cli.monitor import need_terminal, open_monitor

    if on is not None:
        need_terminal(shlex.join(["llmtui", "run", "--on", on, *words]))
        if against is not None:
            refuse("--against reads the history of this machine; leave it out with --on")
        on_other = started_there(on, on_command, words, model, only, changes, label, store)
        from llmtui.cli.on import watch

        sys.exit(watch(*on_other, store))
    settings, plan = plan_from(words, model, only, changes, or_choose=True)
    need_terminal(shlex.join(["llmtui", "run", *words, *(["--model", model] if model is not None else [])]))
    sys.exit(open_monitor(plan, settings.ui, store, label=label, against=against))


@cli.command()
@run_options
@output_options(format_shown=False)
@label_option
@on_option
@on_command_option
@store_option
@click.option("--fail-if", metavar="EXPR", multiple=True, type=TEXT, hidden=True)
@click.option("-q", "--quiet", is_flag=True, help="Print only the table.")
def run(
    words: tuple[str, ...],
    model: str | None,
    only: tuple[str, ...],
    files: dict[str, Path | None],
    label: str,
    on: str | None,
    on_command: str | None,
    store: str,
    fail_if: tuple[str, ...],
    quiet: bool,
    **changes: Any,
) -> None:
    """Run the benchmark as plain text: a line per iteration or turn, and the table.
    WHAT is as in `llmtui monitor`. A FILE of - is stdout, instead of the text.
    """
    if on is not None:
        engine, _ = started_there(on, on_command, words, model, only, changes, label, store)
        from llmtui.cli.on import run_there

        sys.exit(run_there(engine, files, quiet=quiet, fail_if=fail_if))
    _, plan = plan_from(words, model, only, changes)
    with ExitOnInterrupt():
        from llmtui.cli.run import run_as_text
        from llmtui.runview.limits import parse_limits

        limits = parse_limits(fail_if, plan)
    sys.exit(run_as_text(plan, files, quiet=quiet, store=store, label=label, limits=limits))


@cli.command(hidden=True)
def link() -> None:
    """Be the other end of `llmtui --on`: ssh starts this command."""
    from llmtui.cli.link import serve_line

    sys.exit(serve_line())


def started_there(
    on: str,
    on_command: str | None,
    words: tuple[str, ...],
    model: str | None,
    only: tuple[str, ...],
    changes: dict[str, Any],
    label: str,
    store: str,
) -> tuple[RemoteEngine, UiConfig]:
    """Let another machine make a plan of what was typed; see `on.planned`."""
    from llmtui.cli.on import Typed, planned
    from llmtui.link.ssh import OtherMachine

    machine = OtherMachine.named(on, on_command)
    return planned(machine, Typed(words, model, only, changes, label, store), cli.commands)


@cli.command()
@click.argument("file", required=False, metavar="[FILE]", type=FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--print", "to_stdout", is_flag=True, help="Print the config instead of writing it.")
def init(file: Path | None, force: bool, to_stdout: bool) -> None:
    """Find the servers on this machine and write a config for them.

    FILE is ./config.toml by default. Other machines are not contacted.
    """
    if file is not None and to_stdout:
        refuse("--print writes no file; omit FILE")
    if file is not None and not file.name:
        refuse(f"{str(file)!r} is not a file name")
    from llmtui.cli.init import write_config

    sys.exit(write_config(file, force=force, to_stdout=to_stdout))


@cli.command()
@run_options
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8321,
    help="Port to listen on, 8321 by default; 0: any free one.",
)
@click.option("--metrics", is_flag=True, hidden=True)
@click.option("--metrics-token-file", "token_file", metavar="FILE", type=FILE, hidden=True)
@label_option
@store_option
def serve(
    words: tuple[str, ...],
    model: str | None,
    only: tuple[str, ...],
    host: str,
    port: int,
    metrics: bool,
    token_file: Path | None,
    label: str,
    store: str,
    **changes: Any,
) -> None:
    """Run the benchmark in a browser. Any number of pages can show the monitor.

    Closing them does not end the run; Control-C does.
    """
    if token_file is not None and not metrics:
        refuse("--metrics-token-file is for --metrics; add that")
    settings, plan = plan_from(words, model, only, changes)
    try:
        with ExitOnInterrupt():
            from llmtui.cli.serve import command as pages
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual_serve", "aiohttp"):
            raise
        refuse("serve needs further packages; try: pip install 'llmtui[serve]'")
    sys.exit(
        pages.serve(
            plan,
            settings.ui,
            host=host,
            port=port,
            store=store,
            label=label,
            metrics=metrics,
            token_file=token_file,
        )
    )


def _complete_topic(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the topics that a shell may complete `incomplete` to."""
    from llmtui.cli.explain import SCHEMAS, SECTIONS, TOPICS

    return [topic for topic in (*TOPICS, *SECTIONS, *SCHEMAS) if topic.startswith(incomplete)]


@cli.command()
@click.argument("topic", required=False, metavar="[TOPIC]", shell_complete=_complete_topic)
def explain(topic: str | None) -> None:
    """Print the manual on a topic; without one, list the topics."""
    from llmtui.cli import explain as manual

    sys.exit(manual.explain(topic))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, frameworks and topics.

    \b
    bash: eval "$(llmtui completion bash)" in ~/.bashrc
    zsh:  eval "$(llmtui completion zsh)" in ~/.zshrc
    fish: llmtui completion fish > ~/.config/fish/completions/llmtui.fish
    """
    from llmtui.cli.completion import print_script

    sys.exit(print_script(cli, shell))


@cli.command()
@run_options
@there_option
@on_command_option
@click.pass_context
def check(
    context: click.Context,
    /,
    words: tuple[str, ...],
    model: str | None,
    only: tuple[str, ...],
    on: str | None,
    on_command: str | None,
    **changes: Any,
) -> None:
    """Send every backend one short request.

    Print the version and the model of each, and check the options of a run. WHAT is as in `llmtui monitor`.
    """
    past_runs.print_there(context, on, on_command)
    _, plan = plan_from(words, model, only, changes, sent=context.find_root().obj)
    with ExitOnInterrupt():
        from llmtui.cli.check import check_backends

    sys.exit(check_backends(plan))


@cli.command()
@click.option(
    "--streams", metavar="N,N", default="1,8,32,256", show_default=True, help="Numbers of streams of closed loops."
)
@click.option(
    "--rates", metavar="N,N", default="100,500", show_default=True, help="Requests/s of open loops; '' for none."
)
@click.option(
    "--requests",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=40,
    show_default=True,
    help="Requests of each level, but at least 5 per stream.",
)
@click.option(
    "--tokens", metavar="N", type=click.IntRange(2, 10_000), default=64, show_default=True, help="Tokens per answer."
)
@click.option(
    "--itl-ms",
    metavar="MS",
    type=click.FloatRange(0.1, 10_000),
    default=10.0,
    show_default=True,
    help="The server's time between tokens (ITL).",
)
@click.option(
    "--ttft-ms",
    metavar="MS",
    type=click.FloatRange(0, 10_000),
    default=50.0,
    show_default=True,
    help="The server's time to first token (TTFT).",
)
@click.option("--monitor/--no-monitor", default=True, help="Measure with a monitor too (default).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors to stderr.")
def accuracy(
    streams: str,
    rates: str,
    requests: int,
    tokens: int,
    itl_ms: float,
    ttft_ms: float,
    monitor: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure llmtui's own error.

    The reference is a built-in server that logs when it sends each token.
    """
    counts, per_s = stream_counts(streams), request_rates(rates)
    with ExitOnInterrupt():
        from llmtui.accuracy.probe import Job
        from llmtui.cli.accuracy import measure_accuracy

    job = Job(
        streams=counts,
        rates=per_s,
        requests=requests,
        tokens=tokens,
        itl_ms=itl_ms,
        ttft_ms=ttft_ms,
        monitor=monitor,
    )
    sys.exit(measure_accuracy(job, as_json=as_json, quiet=quiet))


for command in past_runs.COMMANDS:
    cli.add_command(command)
