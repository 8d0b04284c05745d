"""The commands of llmtui. Each imports its module when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import llmtui
from llmtui.cli.options import (
    FILE,
    MetricOption,
    config_argument,
    only_option,
    output_files,
    output_options,
    plan_from,
    refuse_misspelt_command,
    run_options,
    store_option,
    stream_counts,
)
from llmtui.exit_codes import UsageError
from llmtui.interrupts import ExitOnInterrupt, raise_on_interrupt

if TYPE_CHECKING:
    from llmtui.config.schema import Config
    from llmtui.model import Plan
    from llmtui.stats.metrics import MetricKey


class Command(click.Command):
    """A command that Control-C interrupts with KeyboardInterrupt, once it has started."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        raise_on_interrupt()
        return super().invoke(ctx)


class DefaultGroup(click.Group):
    """A group in which `llmtui [CONFIG]` is short for `llmtui monitor [CONFIG]`."""

    command_class = Command

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
    epilog="Exit codes: 0 all well, 1 a backend failed, 2 wrong usage or config.",
)
@click.version_option(llmtui.__version__, message="llmtui %(version)s")
def cli() -> None:
    """Benchmark the serving latency of LLM frameworks side by side, live."""


@cli.command()
@run_options
@store_option
def monitor(config: str | None, only: tuple[str, ...], store: str, **changes: Any) -> None:
    """Open the monitor (this is what plain `llmtui` does)."""
    settings, plan = _plan(config, only, changes)
    from llmtui.cli.monitor import need_terminal, open_monitor

    need_terminal("; for plain text use: llmtui run")
    sys.exit(open_monitor(plan, settings.ui, store))


@cli.command()
@run_options
@output_options
@store_option
@click.option("-q", "--quiet", is_flag=True, help="Only the table at the end.")
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
    """The same run as plain text: a line per iteration, then the table."""
    _, plan = _plan(config, only, changes)
    files = output_files(csv=csv_file, iterations_csv=iterations_csv, json=json_file, markdown=markdown)
    with ExitOnInterrupt():
        from llmtui.cli.run import run_as_text

    sys.exit(run_as_text(plan, files, quiet=quiet, store=store))


@cli.command()
@click.option("-n", "--number", type=click.IntRange(1, 100_000), default=20, show_default=True, help="So many runs.")
@store_option
def history(number: int, store: str) -> None:
    """The runs that were made, the newest first."""
    from llmtui.cli.history import list_runs

    sys.exit(list_runs(number, store))


@cli.command()
@click.argument("run")
@store_option
@click.option("--label", metavar="TEXT", help="Give the run a name, by which it can be called from then on.")
@click.option("--note", metavar="TEXT", help="Write a note to the run.")
def show(run: str, store: str, label: str | None, note: str | None) -> None:
    """One run of the history (its id, the beginning of it, or its label)."""
    from llmtui.cli.history import show_run

    sys.exit(show_run(run, store, label=label, note=note))


@cli.command()
@click.argument("a")
@click.argument("b")
@click.option("--backend", "named", multiple=True, metavar="NAME_A=NAME_B", help="Pair these too (may be repeated).")
@click.option("--metric", cls=MetricOption, default="latency", help="By what to compare (else by latency):")
@click.option(
    "--gate",
    type=click.FloatRange(0, 10_000),
    metavar="PERCENT",
    help="Exit 1 where B is shown to be slower, and typically by more than this, or to fail more often, or has no "
    "samples while A has. Exit 3 where the gate says nothing: the data could not have shown so much.",
)
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="The same as data (-: to stdout).")
@store_option
def compare(
    a: str, b: str, named: tuple[str, ...], metric: MetricKey, gate: float | None, json_file: Path | None, store: str
) -> None:
    """Is a backend faster or slower in run B than in run A, and is that shown?

    A and B are runs of the history (id, its beginning, or label). Backends are paired by name; those of one run are
    compared by: compare A A --backend ONE=OTHER
    """
    if gate is not None and gate != gate:
        raise UsageError("--gate: found 'nan', wanted a number of percent")
    output_files(json=json_file)
    from llmtui.cli.compare import compare_runs

    sys.exit(compare_runs(a, b, store, named=named, metric=metric, percent=gate, json_file=json_file))


@cli.command()
@click.argument("run")
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
    """Write the files of a run of the history; without an option the results as CSV to stdout."""
    files = output_files(csv=csv_file, iterations_csv=iterations_csv, json=json_file, markdown=markdown)
    from llmtui.cli.history import export_run

    sys.exit(export_run(run, files, store))


@cli.command()
@click.argument("run", required=False, metavar="[RUN]")
def attach(run: str | None) -> None:
    """Come back to a run that is going on (the newest, or RUN)."""
    from llmtui.cli import monitor as monitors

    monitors.need_terminal()
    sys.exit(monitors.attach(run))


@cli.command()
@click.argument("run")
@click.option(
    "--config", metavar="FILE", type=click.Path(), help="The config that the run was made from, where it was moved."
)
@store_option
@click.option("--text", is_flag=True, help="As plain text, in place of the monitor.")
def resume(run: str, config: str | None, store: str, text: bool) -> None:
    """Go on with a run that died or was stopped: only the iterations that are missing are made.

    Servers are started again, with warm-ups of their own. Failed iterations stay failed.
    """
    from llmtui.cli.monitor import need_terminal, open_monitor
    from llmtui.cli.resume import resumable

    if not text:
        need_terminal("; for plain text use: llmtui resume RUN --text")
    plan, ui = resumable(run, store, config)
    if text:
        with ExitOnInterrupt():
            from llmtui.cli.run import run_as_text

        sys.exit(run_as_text(plan, {}, quiet=False, store=store, resume=True))
    sys.exit(open_monitor(plan, ui, store, resume=True))


@cli.command()
@click.argument("file", required=False, metavar="[FILE]", type=FILE)
@click.option("--force", is_flag=True, help="Replace FILE where it is there already.")
@click.option("--print", "to_stdout", is_flag=True, help="To stdout, and no file.")
def init(file: Path | None, force: bool, to_stdout: bool) -> None:
    """Look for servers on this machine and write a config for them.

    FILE is ./config.toml unless named. Only this machine is asked.
    """
    if file is not None and to_stdout:
        raise UsageError("--print writes no file; leave FILE out")
    if file is not None and not file.name:
        raise UsageError(f"{str(file)!r} is no name of a file")
    from llmtui.cli.init import write_config

    sys.exit(write_config(file, force=force, to_stdout=to_stdout))


@cli.command()
@run_options
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0: any.")
@store_option
def serve(config: str | None, only: tuple[str, ...], host: str, port: int, store: str, **changes: Any) -> None:
    """The monitor in a browser: one run, as many pages as you like.

    Leaving a page leaves the run going; Ctrl-C here ends it.
    """
    settings, plan = _plan(config, only, changes)
    try:
        with ExitOnInterrupt():
            from llmtui.cli.serve import command as pages
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual_serve", "aiohttp"):
            raise
        raise UsageError("serve needs one package more: pip install 'llmtui[serve]'") from None
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
    """Reach every backend: state, version, model. Exit 0 when all answer."""
    _, plan = _plan(config, only, {})
    with ExitOnInterrupt():
        from llmtui.cli.check import check_backends

    sys.exit(check_backends(plan))


@cli.command()
@click.option("--streams", metavar="N,N", default="1,8,32", show_default=True, help="Streams at once: a level each.")
@click.option(
    "--requests",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=40,
    show_default=True,
    help="Of a level; each stream makes 5 or more.",
)
@click.option(
    "--tokens", metavar="N", type=click.IntRange(2, 10_000), default=64, show_default=True, help="Tokens of a request."
)
@click.option(
    "--itl-ms",
    metavar="MS",
    type=click.FloatRange(0.1, 10_000),
    default=10.0,
    show_default=True,
    help="From token to token.",
)
@click.option(
    "--ttft-ms",
    metavar="MS",
    type=click.FloatRange(0, 10_000),
    default=50.0,
    show_default=True,
    help="To the first token.",
)
@click.option("--monitor/--no-monitor", default=True, help="Also with a monitor on screen (default), or only without.")
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
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
    """This tool's own error on this machine, against its built-in truth server.

    The newest result stands in the monitor's header and in every export.
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
