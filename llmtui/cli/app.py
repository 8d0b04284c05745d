"""The commands of llmtui. Each imports its module when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import llmtui
from llmtui.cli.options import (
    FILE,
    TEXT,
    MetricOption,
    config_argument,
    only_option,
    output_files,
    output_options,
    plan_from,
    refuse,
    refuse_misspelt_command,
    run_options,
    store_option,
    stream_counts,
)
from llmtui.interrupts import ExitOnInterrupt, raise_on_interrupt

if TYPE_CHECKING:
    from llmtui.config.schema import Config
    from llmtui.model import Plan
    from llmtui.stats.metrics import MetricKey


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


@click.group(
    cls=DefaultGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success, 1 a backend failed, 2 wrong usage or config.",
)
@click.version_option(llmtui.__version__, message="llmtui %(version)s")
def cli() -> None:
    """Benchmark the latency of LLM servers side by side, live in the terminal."""


@cli.command()
@run_options
@store_option
def monitor(config: str | None, only: tuple[str, ...], store: str, **changes: Any) -> None:
    """Run the benchmark in the monitor (the default command).

    Each round sends one request to every backend. CONFIG is ./config.toml by default; see `llmtui explain config`.
    """
    settings, plan = _plan(config, only, changes)
    from llmtui.cli.monitor import need_terminal, open_monitor

    need_terminal("llmtui run")
    sys.exit(open_monitor(plan, settings.ui, store))


@cli.command()
@run_options
@output_options
@store_option
@click.option("-q", "--quiet", is_flag=True, help="Print only the table.")
def run(
    config: str | None,
    only: tuple[str, ...],
    csv_file: Path | None,
    iterations_csv: Path | None,
    json_file: Path | None,
    markdown: Path | None,
    store: str,
    quiet: bool,
    **changes: Any,
) -> None:
    """Run the benchmark as plain text.

    Print a line per iteration, then the table. A FILE of - is stdout, which then contains nothing else.
    """
    _, plan = _plan(config, only, changes)
    files = output_files(csv=csv_file, iterations_csv=iterations_csv, json=json_file, markdown=markdown)
    with ExitOnInterrupt():
        from llmtui.cli.run import run_as_text

    sys.exit(run_as_text(plan, files, quiet=quiet, store=store))


@cli.command()
@click.option(
    "-n",
    "--number",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="The number of runs to list.",
)
@store_option
def history(number: int, store: str) -> None:
    """List past runs, newest first.

    A line shows the id, start and state of a run, and the median latency of its backends.
    """
    from llmtui.cli.history import list_runs

    sys.exit(list_runs(number, store))


@cli.command()
@click.argument("run", type=TEXT)
@store_option
@click.option("--label", metavar="TEXT", type=TEXT, help="Label the run. A label can be used as RUN.")
@click.option("--note", metavar="TEXT", type=TEXT, help="Add a note to the run.")
def show(run: str, store: str, label: str | None, note: str | None) -> None:
    """Show the results of a past run.

    RUN is an id, the beginning of one, or a label.
    """
    from llmtui.cli.history import show_run

    sys.exit(show_run(run, store, label=label, note=note))


@cli.command()
@click.argument("a", type=TEXT)
@click.argument("b", type=TEXT)
@click.option(
    "--backend",
    "named",
    multiple=True,
    metavar="NAME_A=NAME_B",
    type=TEXT,
    help="Also compare these two. Repeatable.",
)
@click.option(
    "--metric",
    cls=MetricOption,
    default="latency",
    help="The metric to compare (llmtui explain measure); latency by default:",
)
@click.option(
    "--gate",
    type=click.FloatRange(0, 10_000),
    metavar="PERCENT",
    help="Exit with 1 if a backend is significantly slower in B, and by more than this; or fails more often; or has no "
    "samples. Exit with 3 if there are too few samples to tell.",
)
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Write the comparison as JSON (- is stdout).")
@store_option
def compare(
    a: str, b: str, named: tuple[str, ...], metric: MetricKey, gate: float | None, json_file: Path | None, store: str
) -> None:
    """Compare the backends of run B with those of run A, by name.

    A and B are ids, beginnings of ids, or labels. To compare two backends of one run: llmtui compare RUN RUN --backend
    ONE=OTHER
    """
    if gate is not None and gate != gate:
        refuse("--gate: 'nan' is not a percentage")
    json_file = output_files(json=json_file)["json"]
    from llmtui.cli.compare import compare_runs

    sys.exit(compare_runs(a, b, store, named=named, metric=metric, percent=gate, json_file=json_file))


@cli.command()
@click.argument("run", type=TEXT)
@output_options
@store_option
def export(
    run: str,
    csv_file: Path | None,
    iterations_csv: Path | None,
    json_file: Path | None,
    markdown: Path | None,
    store: str,
) -> None:
    """Write the files of a past run.

    Without an option, print the results as CSV. A FILE of - is stdout.
    """
    files = output_files(csv=csv_file, iterations_csv=iterations_csv, json=json_file, markdown=markdown)
    from llmtui.cli.history import export_run

    sys.exit(export_run(run, files, store))


@cli.command()
@click.argument("run", required=False, metavar="[RUN]")
def attach(run: str | None) -> None:
    """Open the monitor on a run in progress.

    RUN is the beginning of an id. By default it is the newest run.
    """
    from llmtui.cli import monitor as monitors

    monitors.need_terminal()
    sys.exit(monitors.attach(run))


@cli.command()
@click.argument("run", type=TEXT)
@click.option("--config", metavar="FILE", type=click.Path(), help="The run's config, if it was moved.")
@store_option
@click.option("--text", is_flag=True, help="Print plain text instead of opening the monitor.")
def resume(run: str, config: str | None, store: str, text: bool) -> None:
    """Continue a run that died or was stopped.

    Only missing iterations are measured, and failed ones are not repeated. Servers are started and warmed up again.
    """
    from llmtui.cli.monitor import need_terminal, open_monitor
    from llmtui.cli.resume import resumable

    if not text:
        need_terminal(f"llmtui resume {run} --text")
    plan, ui = resumable(run, store, config)
    if text:
        with ExitOnInterrupt():
            from llmtui.cli.run import run_as_text

        sys.exit(run_as_text(plan, {}, quiet=False, store=store, resume=True))
    sys.exit(open_monitor(plan, ui, store, resume=True))


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
    show_default=True,
    help="Port to listen on; 0 is any free port.",
)
@store_option
def serve(config: str | None, only: tuple[str, ...], host: str, port: int, store: str, **changes: Any) -> None:
    """Run the benchmark in a browser.

    Any number of pages can show the monitor. Closing them does not end the run; Control-C does.
    """
    settings, plan = _plan(config, only, changes)
    try:
        with ExitOnInterrupt():
            from llmtui.cli.serve import command as pages
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual_serve", "aiohttp"):
            raise
        refuse("serve needs further packages; try: pip install 'llmtui[serve]'")
    sys.exit(pages.serve(plan, settings.ui, host=host, port=port, store=store))


def _complete_topic(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the topics that a shell may complete `incomplete` to."""
    from llmtui.cli.explain import TOPICS

    return [topic for topic in TOPICS if topic.startswith(incomplete)]


@cli.command()
@click.argument("topic", required=False, metavar="[TOPIC]", shell_complete=_complete_topic)
def explain(topic: str | None) -> None:
    """Print the manual on a topic; without one, list the topics."""
    from llmtui.cli import explain as manual

    sys.exit(manual.explain(topic))


@cli.command()
@config_argument
@only_option
def check(config: str | None, only: tuple[str, ...]) -> None:
    """Send every backend one short request.

    Print the version and the model of each. Exit with 0 if all of them answer.
    """
    _, plan = _plan(config, only, {})
    with ExitOnInterrupt():
        from llmtui.cli.check import check_backends

    sys.exit(check_backends(plan))


@cli.command()
@click.option(
    "--streams", metavar="N,N", default="1,8,32", show_default=True, help="Numbers of concurrent streams to measure."
)
@click.option(
    "--requests",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=40,
    show_default=True,
    help="Requests for each number of streams, but at least 5 per stream.",
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
    counts = stream_counts(streams)
    with ExitOnInterrupt():
        from llmtui.accuracy.probe import Job
        from llmtui.cli.accuracy import measure_accuracy

    job = Job(streams=counts, requests=requests, tokens=tokens, itl_ms=itl_ms, ttft_ms=ttft_ms, monitor=monitor)
    sys.exit(measure_accuracy(job, as_json=as_json, quiet=quiet))


def _plan(config: str | None, only: tuple[str, ...], changes: dict[str, Any]) -> tuple[Config, Plan]:
    refuse_misspelt_command(config, cli.commands)
    return plan_from(config, only, changes)
