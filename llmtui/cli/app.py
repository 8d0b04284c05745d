"""Commands and flags. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

import llmtui
from llmtui import exit_codes
from llmtui.interrupts import NothingBegun, begin

if TYPE_CHECKING:
    from llmtui.config.schema import Config, UiConfig
    from llmtui.model import Plan
    from llmtui.stats.metrics import MetricKey

STORE_HELP = "File of the history, in place of the usual one."

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command of ours: until its turn comes nothing is begun."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        begin()
        return super().invoke(ctx)


class DefaultGroup(click.Group):
    """`llmtui [CONFIG]` is `llmtui monitor [CONFIG]`."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front where none is named."""
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = ["monitor", *args]
        return super().parse_args(ctx, args)


def run_options(command: F) -> F:
    """What the monitor and `run` have in common: the config and what goes before it."""
    for decorate in reversed(
        (
            click.argument("config", required=False, metavar="[CONFIG]"),
            click.option("--only", multiple=True, metavar="NAME", help="Only this backend (may be repeated)."),
            click.option("--iterations", type=int, metavar="N", help="Measured iterations of each backend."),
            click.option("--warmup", type=int, metavar="N", help="Warm-ups of each backend, shown and not counted."),
            click.option("--max-tokens", type=int, metavar="N", help="Longest answer, in tokens."),
            click.option("--order", metavar="O", help="shuffled, round-robin or sequential."),
        )
    ):
        command = decorate(command)
    return command


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
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
def monitor(config: str | None, only: tuple[str, ...], store: str, **changes: Any) -> None:
    """Open the monitor (this is what plain `llmtui` does)."""
    settings, plan = _plan(config, only, changes)
    _need_terminal("; for plain text use: llmtui run")
    _open(plan, settings.ui, store)


def _need_terminal(instead: str = "") -> None:
    """Refuse where there is nothing to draw on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        _refuse(f"the monitor needs a terminal{instead}")
    if os.environ.get("TERM") == "dumb":
        _refuse(f"the monitor needs a terminal that can place the cursor, and TERM is dumb{instead}")


def _open(plan: Plan, ui: UiConfig, store: str, *, resume: bool = False) -> NoReturn:
    """Start an engine and the monitor over it."""
    from llmtui.link.process import EngineError, EngineProcess

    try:
        engine = EngineProcess.start(plan, store, resume=resume)
    except EngineError as error:
        _say(str(error))
        sys.exit(exit_codes.FAILED)
    # From here on the engine starts beside the import of the screen.
    from llmtui.ui.run import show

    sys.exit(show(plan, engine, ui))


@cli.command()
@run_options
@click.option("--csv", "csv_file", metavar="FILE", type=click.Path(path_type=Path), help="Results, a row per backend.")
@click.option("--iterations-csv", metavar="FILE", type=click.Path(path_type=Path), help="Every iteration, a row each.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Everything.")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="The results as a table to paste.")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
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
    files = _files(csv_file, iterations_csv, json_file, markdown)
    with NothingBegun():
        from llmtui.cli.run import run_headless

    sys.exit(run_headless(plan, files, quiet=quiet, store=store))


@cli.command()
@click.option("-n", "--number", type=click.IntRange(1, 100_000), default=20, show_default=True, help="So many runs.")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
def history(number: int, store: str) -> None:
    """The runs that were made, the newest first."""
    from llmtui.cli.history import history_headless

    sys.exit(history_headless(number, store))


@cli.command()
@click.argument("run")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
@click.option("--label", metavar="TEXT", help="Give the run a name, by which it can be called from then on.")
@click.option("--note", metavar="TEXT", help="Write a note to the run.")
def show(run: str, store: str, label: str | None, note: str | None) -> None:
    """One run of the history (its id, the beginning of it, or its label)."""
    from llmtui.cli.history import show_headless

    sys.exit(show_headless(run, store, label=label, note=note))


class _MetricOption(click.Option):
    """Takes one of llmtui.stats.metrics.METRICS, which are looked up when they are needed."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """With all of them."""
        from llmtui.stats.metrics import METRICS

        return "--metric METRIC", f"{self.help} {', '.join(METRICS)}."

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse what is none of them."""
        from llmtui.stats.metrics import METRICS

        return click.Choice(METRICS).convert(value, self, ctx)


@cli.command()
@click.argument("a")
@click.argument("b")
@click.option("--backend", "named", multiple=True, metavar="NAME_A=NAME_B", help="Pair these too (may be repeated).")
@click.option("--metric", cls=_MetricOption, default="latency", help="By what to compare (else by latency):")
@click.option(
    "--gate",
    type=click.FloatRange(0, 10_000),
    metavar="PERCENT",
    help="Exit 1 where B is shown to be slower, and typically by more than this, or to fail more often, or has no "
    "samples while A has. Exit 3 where the gate says nothing: the data could not have shown so much.",
)
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="The same as data (-: to stdout)."
)
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
def compare(
    a: str, b: str, named: tuple[str, ...], metric: MetricKey, gate: float | None, json_file: Path | None, store: str
) -> None:
    """Is a backend faster or slower in run B than in run A, and is that shown?

    A and B are runs of the history (id, its beginning, or label). Backends are paired by name; those of one run are
    compared by: compare A A --backend ONE=OTHER
    """
    if gate is not None and gate != gate:
        _refuse("--gate: found 'nan', wanted a number of percent")
    files = _files(None, None, json_file, None)
    from llmtui.cli.compare import compare_headless

    sys.exit(compare_headless(a, b, store, named=named, metric=metric, percent=gate, json_file=files["json"]))


@cli.command()
@click.argument("run")
@click.option("--csv", "csv_file", metavar="FILE", type=click.Path(path_type=Path), help="Results, a row per backend.")
@click.option("--iterations-csv", metavar="FILE", type=click.Path(path_type=Path), help="Every iteration, a row each.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Everything.")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="The results as a table to paste.")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
def export(
    run: str,
    csv_file: Path | None,
    iterations_csv: Path | None,
    json_file: Path | None,
    markdown: Path | None,
    store: str,
) -> None:
    """Write the files of a run of the history; without an option the results as CSV to stdout."""
    files = _files(csv_file, iterations_csv, json_file, markdown)
    from llmtui.cli.history import export_headless

    sys.exit(export_headless(run, files, store))


def _files(
    csv_file: Path | None, iterations_csv: Path | None, json_file: Path | None, markdown: Path | None
) -> dict[str, Path | None]:
    """The outputs that were named, checked before any work is done for them."""
    files = {"csv": csv_file, "iterations_csv": iterations_csv, "json": json_file, "markdown": markdown}
    named = [path for path in files.values() if path is not None]
    if len({path.absolute() for path in named}) < len(named):
        _refuse("two outputs have the same file; name one for each")
    for path in named:
        if path.is_dir():
            _refuse(f"{path}: is a folder; name a file in it")
        if not path.absolute().parent.is_dir():
            _refuse(f"{path}: there is no folder {path.absolute().parent}")
    return files


@cli.command()
@click.argument("run", required=False, metavar="[RUN]")
def attach(run: str | None) -> None:
    """Come back to a run that is going on (the newest, or RUN)."""
    _need_terminal()
    from llmtui.link.process import live_runs

    runs = live_runs()
    chosen = [r for r in runs if not run or r.run.startswith(run)]
    if not chosen or (run and len(chosen) > 1):
        names = ", ".join(r.run for r in runs)
        _refuse(
            (f"no run {run!r} is going on" if run else "no run is going on")
            + (f"; there are: {names}" if names else "; start one with: llmtui")
        )
    from llmtui.config.schema import UiConfig
    from llmtui.ui.run import show_again

    try:
        sys.exit(show_again(Path(chosen[0].socket), UiConfig()))
    except OSError as error:
        _say(f"run {chosen[0].run}: {error.strerror or error}")
        sys.exit(exit_codes.FAILED)


@cli.command()
@click.argument("run")
@click.option("--config", metavar="FILE", help="The config that the run was made from, where it was moved.")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
@click.option("--text", is_flag=True, help="As plain text, in place of the monitor.")
def resume(run: str, config: str | None, store: str, text: bool) -> None:
    """Go on with a run that died or was stopped: only the iterations that are missing are made.

    Servers are started again, with warm-ups of their own. Failed iterations stay failed.
    """
    if not text:
        _need_terminal("; for plain text use: llmtui resume RUN --text")
    from llmtui.cli.history import resumable
    from llmtui.config import schema as configs
    from llmtui.store.errors import StoreError

    try:
        plan, ui = resumable(run, store, config)
    except configs.ConfigError as error:
        _refuse(str(error))
    except StoreError as error:
        _say(str(error))
        sys.exit(exit_codes.FAILED)
    if text:
        with NothingBegun():
            from llmtui.cli.run import run_headless

        sys.exit(run_headless(plan, {}, quiet=False, store=store, resume=True))
    _open(plan, ui, store, resume=True)


@cli.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where it is there already.")
@click.option("--print", "to_stdout", is_flag=True, help="To stdout, and no file.")
def init(file: Path | None, force: bool, to_stdout: bool) -> None:
    """Look for servers on this machine and write a config for them.

    FILE is ./config.toml unless named. Only this machine is asked.
    """
    if file is not None and (to_stdout or not file.name):
        _refuse("--print writes no file; leave FILE out" if to_stdout else f"{str(file)!r} is no name of a file")
    from llmtui.cli import init as finding

    sys.exit(finding.init(file, force=force, to_stdout=to_stdout))


@cli.command()
@run_options
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0: any.")
@click.option("--store", metavar="PATH", default="", help=STORE_HELP)
def serve(config: str | None, only: tuple[str, ...], host: str, port: int, store: str, **changes: Any) -> None:
    """The monitor in a browser: one run, as many pages as you like.

    Leaving a page leaves the run going; Ctrl-C here ends it.
    """
    settings, plan = _plan(config, only, changes)
    try:
        with NothingBegun():
            from llmtui.cli.serve import command as pages
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual_serve", "aiohttp"):
            raise
        _refuse("serve needs one package more: pip install 'llmtui[serve]'")
    sys.exit(pages.serve(plan, settings.ui, host=host, port=port, store=store))


@cli.command()
@click.argument("topic", required=False, metavar="[TOPIC]")
def explain(topic: str | None) -> None:
    """Print the manual on a topic; without one, list the topics."""
    from llmtui.cli import explain as manual

    sys.exit(manual.explain(topic))


@cli.command()
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("--only", multiple=True, metavar="NAME", help="Only this backend (may be repeated).")
def check(config: str | None, only: tuple[str, ...]) -> None:
    """Reach every backend: state, version, model. Exit 0 when all answer."""
    _, plan = _plan(config, only, {})
    with NothingBegun():
        from llmtui.cli.run import check_headless

    sys.exit(check_headless(plan))


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
    levels = [int(part) for part in streams.split(",") if part.strip().isdecimal()]
    if len(levels) != streams.count(",") + 1 or not all(1 <= level <= 256 for level in levels):
        _refuse(f"--streams: found {streams!r}, allowed are numbers from 1 to 256 with commas between")
    with NothingBegun():
        from llmtui.accuracy.probe import Job
        from llmtui.cli.run import accuracy_headless

    job = Job(streams=levels, requests=requests, tokens=tokens, itl_ms=itl_ms, ttft_ms=ttft_ms, monitor=monitor)
    sys.exit(accuracy_headless(job, as_json=as_json, quiet=quiet))


def _plan(named: str | None, only: tuple[str, ...], changes: dict[str, Any]) -> tuple[Config, Plan]:
    """The config and the plan, with the flags' changes; a sentence and exit code 2 when they cannot be had."""
    with NothingBegun():
        return _read(named, only, changes)


def _read(named: str | None, only: tuple[str, ...], changes: dict[str, Any]) -> tuple[Config, Plan]:
    from llmtui.config import schema as configs

    if named == "":
        _refuse("the config file's name is empty")
    if named is not None and not Path(named).exists():
        close = difflib.get_close_matches(named, cli.commands, n=1)
        if close:
            _refuse(f"there is no file and no command {named!r}; did you mean {close[0]!r}?")
    try:
        settings = configs.load(configs.find(named), found=named is None)
        settings = configs.changed(settings, changes)
        plan = settings.plan(only=only)
        if settings.ui.keys:
            from llmtui.ui.actions.registry import resolve_keys

            try:
                resolve_keys(settings.ui.keys)
            except ValueError as error:
                raise configs.ConfigError(f"{settings.source}: [ui]: keys: {error}") from None
    except configs.ConfigError as error:
        _refuse(str(error))
    return settings, plan


def _refuse(text: str) -> NoReturn:
    """Wrong usage or config: one sentence and exit code 2."""
    _say(text)
    sys.exit(exit_codes.USAGE)


def _say(text: str) -> None:
    from llmtui.text import sanitize

    click.echo(f"llmtui: {sanitize(text, 2_000)}", err=True)
