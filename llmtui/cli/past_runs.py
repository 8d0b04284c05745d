"""The commands about runs in the history and about active runs: each imports its module when it runs."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtui.cli.group import InterruptibleCommand
from llmtui.cli.options import (
    FILE,
    PATH,
    TEXT,
    MetricOption,
    TrendMetricOption,
    against_option,
    label_option,
    model_option,
    on_command_option,
    on_option,
    refuse,
    store_option,
    there_option,
    words_argument,
)
from llmtui.cli.outputs import output_files, output_options
from llmtui.interrupts import ExitOnInterrupt

if TYPE_CHECKING:
    from llmtui.stats.metrics import MetricKey

_command = functools.partial(click.command, cls=InterruptibleCommand)


def print_there(context: click.Context, on: str | None, on_command: str | None) -> None:
    """Carry out the command of `context` on another machine and exit, if one is named."""
    if on is not None:
        from llmtui.cli.printing import print_from
        from llmtui.link.ssh import OtherMachine

        sys.exit(print_from(OtherMachine.named(on, on_command), context))


_label_option = click.option(
    "--label", metavar="TEXT", default="", type=TEXT, help="Only runs with this text in their label."
)
_since_option = click.option("--since", metavar="TIME", default="", help="Only runs since then: 2026-11-22, 12h, 7d.")


@_command()
@click.option(
    "-n",
    "--number",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="The number of runs to list.",
)
@_label_option
@click.option("--backend", metavar="TEXT", default="", type=TEXT, help="Only runs of a backend with this in its name.")
@click.option("--model", metavar="TEXT", default="", type=TEXT, help="Only runs of a model with this in its name.")
@_since_option
@click.option("--json", "as_json", is_flag=True, help="Print the runs as a JSON list (llmtui explain runs).")
@click.option("--prune", is_flag=True, help="Delete old runs: with --keep 50, --older-than 90d, or both; --yes.")
@click.option("--keep", metavar="N", type=click.IntRange(0, 100_000), default=None, hidden=True)
@click.option("--older-than", metavar="TIME", default="", hidden=True)
@click.option("--yes", is_flag=True, hidden=True)
@there_option
@on_command_option
@store_option
@click.pass_context
def history(
    context: click.Context,
    number: int,
    label: str,
    backend: str,
    model: str,
    since: str,
    as_json: bool,
    prune: bool,
    keep: int | None,
    older_than: str,
    yes: bool,
    on: str | None,
    on_command: str | None,
    store: str,
) -> None:
    """List past runs, newest first.

    A line shows the id, start and state of a run, how many backends failed, and the median latency of each.
    """
    print_there(context, on, on_command)
    if prune or keep is not None or older_than or yes:
        if not prune:
            refuse("--keep, --older-than and --yes are for --prune; add it")
        if label or backend or model or since or as_json:
            refuse("--prune takes --keep, --older-than, --yes and --store only")
        from llmtui.cli.prune import prune_history

        sys.exit(prune_history(store, keep=keep, older_than=older_than, yes=yes))
    from llmtui.cli.history_list import list_runs
    from llmtui.store import run_filter

    wanted = run_filter.RunFilter(
        label=label, backend=backend, model=model, since_utc=run_filter.since(since) if since else ""
    )
    sys.exit(list_runs(number, store, wanted, as_json=as_json))


@_command()
@click.argument("run", type=TEXT)
@store_option
@click.option("--label", metavar="TEXT", type=TEXT, help="Label the run. A label can be used as RUN.")
@click.option("--note", metavar="TEXT", type=TEXT, help="Add a note to the run.")
@click.option("--ended", is_flag=True, help="The run has ended: its container or machine is gone. It can be resumed.")
@there_option
@on_command_option
@click.pass_context
def show(
    context: click.Context,
    run: str,
    store: str,
    label: str | None,
    note: str | None,
    ended: bool,
    on: str | None,
    on_command: str | None,
) -> None:
    """Show the results of a past run.

    RUN is an id, the beginning of one, a label, or last: the newest run (last~1: the one before).
    """
    print_there(context, on, on_command)
    from llmtui.cli.history import show_run

    sys.exit(show_run(run, store, label=label, note=note, ended=ended))


@_command("open")
@click.argument("run", type=TEXT)
@against_option
@store_option
def open_(run: str, against: str | None, store: str) -> None:
    """Open a past run in the monitor: charts, table, details, verdict, log.

    RUN names the run as in `show`. Nothing is measured.
    """
    from llmtui.cli.monitor import need_terminal
    from llmtui.cli.open import open_run

    need_terminal(f"llmtui show {run}")
    sys.exit(open_run(run, store, against))


@_command()
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
    help="The metric to compare, by default latency, of loads the one that counts:",
)
@click.option(
    "--gate",
    type=click.FloatRange(0, 10_000),
    metavar="PERCENT",
    help="Exit with 1 if a backend in B is shown to be slower by more, fails more often or has no samples; with 3 if "
    "the runs cannot tell.",
)
@click.option(
    "--runs",
    "count",
    type=click.IntRange(2, 100),
    metavar="N",
    help="Compare N runs like A with N like B.",
)
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Write the comparison as JSON (- is stdout).")
@click.option("--markdown", metavar="FILE", type=FILE, hidden=True)
@store_option
def compare(
    a: str,
    b: str,
    named: tuple[str, ...],
    metric: MetricKey | None,
    gate: float | None,
    count: int | None,
    json_file: Path | None,
    markdown: Path | None,
    store: str,
) -> None:
    """Compare the backends of run B with those of run A, by name.

    A and B name runs as in `show`. With --backend they may be one run.
    """
    if gate is not None and gate != gate:
        refuse("--gate: 'nan' is not a percentage")
    files = output_files(json=json_file, markdown=markdown)
    from llmtui.cli.compare import compare_runs

    code = compare_runs(
        a,
        b,
        store,
        named=named,
        metric=metric,
        percent=gate,
        json_file=files["json"],
        markdown=files["markdown"],
        count=count or 1,
    )
    sys.exit(code)


@_command()
@click.argument("backend", type=TEXT)
@click.option(
    "-n",
    "--number",
    metavar="N",
    type=click.IntRange(1, 1_000),
    default=50,
    show_default=True,
    help="The number of runs.",
)
@click.option("--like", metavar="RUN", default="", type=TEXT, help="Runs like this one; by default the newest.")
@click.option("--metric", cls=TrendMetricOption, help="The metric, by default the one that counts:")
@click.option("--level", metavar="LEVEL", default="", type=TEXT, help="The level of a load, such as 8 or 2/s.")
@_label_option
@_since_option
@click.option("--json", "as_json", is_flag=True, help="Print the series as JSON (llmtui explain runs).")
@store_option
def trend(
    backend: str,
    number: int,
    like: str,
    metric: MetricKey | None,
    level: str,
    label: str,
    since: str,
    as_json: bool,
    store: str,
) -> None:
    """Show a backend over the runs of the history, and where its level shifts.

    Runs of the same work and settings on the same hardware are one series. Changes of versions are marked.
    """
    from llmtui.cli.trend import print_trend
    from llmtui.store import run_filter

    wanted = run_filter.RunFilter(label=label, since_utc=run_filter.since(since) if since else "")
    code = print_trend(
        backend, store, number=number, run=like, metric=metric, wanted=wanted, level=level, as_json=as_json
    )
    sys.exit(code)


@_command()
@click.argument("run", type=TEXT)
@output_options(format_shown=True)
@store_option
def export(run: str, files: dict[str, Path | None], store: str) -> None:
    """Write the files of a past run.

    RUN names the run as in `show`. Without an option, print the results as CSV. A FILE of - is stdout.
    """
    from llmtui.cli.history import export_run

    sys.exit(export_run(run, files, store))


@_command("import")
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...", type=TEXT)
@label_option
@store_option
def import_(files: tuple[str, ...], label: str, store: str) -> None:
    """Store files of hyperfine, AIPerf, guidellm or vLLM as runs.

    What a file does not say is unknown, and is never compared. NAME= names the backend of a FILE: files of one server
    need the same NAME. See `llmtui explain formats`.
    """
    from llmtui.cli.imports import import_files

    sys.exit(import_files(files, store, label))


@_command()
@click.argument("run", required=False, metavar="[RUN]", type=TEXT)
@on_option
@on_command_option
@store_option
def attach(run: str | None, on: str | None, on_command: str | None, store: str) -> None:
    """Open the monitor on a run in progress.

    RUN names it as in `show`. By default it is the newest one. user@host and user@host:RUN are runs on another
    machine.
    """
    from llmtui.cli import monitor as monitors

    monitors.need_terminal()
    if on is None and run is not None and "@" in run:
        from llmtui.cli.on import run_name

        if (there := run_name(run)) is not None:
            on, run = there
    if on is not None:
        from llmtui.cli.on import attach as attach_there
        from llmtui.link.ssh import OtherMachine

        sys.exit(attach_there(OtherMachine.named(on, on_command), run, store))
    sys.exit(monitors.attach(run, store))


@_command()
@click.argument("run", type=TEXT)
@words_argument
@model_option
@click.option("--config", metavar="FILE", type=PATH, help="The run's config, if it was moved.")
@there_option
@on_command_option
@store_option
@click.option("--text", is_flag=True, help="Print plain text instead of opening the monitor.")
@click.option("--fail-if", metavar="EXPR", multiple=True, type=TEXT, hidden=True)
def resume(
    run: str,
    words: tuple[str, ...],
    model: str | None,
    config: str | None,
    on: str | None,
    on_command: str | None,
    store: str,
    text: bool,
    fail_if: tuple[str, ...],
) -> None:
    """Continue a run that died or was stopped.

    RUN names the run as in `show`. If it was started with words such as `ollama`, or with --model, repeat them. Only
    missing iterations are measured, and failed ones are not repeated. Servers are started and warmed up again.
    """
    from llmtui.cli.monitor import need_terminal, open_monitor
    from llmtui.cli.resume import resumable

    if fail_if and not text:
        refuse("--fail-if is for plain text; add --text")
    if not text:
        need_terminal(f"llmtui resume {run} --text")
    if on is not None:
        from llmtui.cli.on import continued, run_there, watch
        from llmtui.link.line_messages import Continue
        from llmtui.link.ssh import OtherMachine

        again = Continue(run=run, words=list(words), model=model, store=store)
        group = click.get_current_context().find_root().command
        commands = group.commands if isinstance(group, click.Group) else ()
        engine, ui = continued(OtherMachine.named(on, on_command), again, config, commands)
        sys.exit(run_there(engine, {}, quiet=False, fail_if=fail_if) if text else watch(engine, ui, store))
    plan, ui = resumable(run, store, config, words, model)
    if text:
        with ExitOnInterrupt():
            from llmtui.cli.run import run_as_text
            from llmtui.runview.limits import parse_limits

            limits = parse_limits(fail_if, plan)
        sys.exit(run_as_text(plan, {}, quiet=False, store=store, resume=True, limits=limits))
    sys.exit(open_monitor(plan, ui, store, resume=True))


#: The commands of this module, which llmtui.cli.app adds to its own.
COMMANDS: tuple[click.Command, ...] = (history, show, open_, compare, trend, export, import_, attach, resume)
