"""Options that several commands share, and how they become a plan or a set of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from llmtui.interrupts import ExitOnInterrupt

if TYPE_CHECKING:
    from llmtui.cli.racing import SentConfig
    from llmtui.config.schema import Config
    from llmtui.model import Plan

F = TypeVar("F", bound=Callable[..., Any])

#: The most streams that `accuracy` opens, and the most requests per second that it sends.
MAX_STREAMS = 256
MAX_RATE = 2_000


def refuse(message: str) -> NoReturn:
    """Raise UsageError. The model, which has it, takes 10 ms to import: `--help` does not wait for that."""
    from llmtui.model.errors import UsageError

    raise UsageError(message)


def _all(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator that adds these options, in this order."""

    def decorate(command: F) -> F:
        for add in reversed(decorators):
            command = add(command)
        return command

    return decorate


class Text(click.types.StringParamType):
    """A text, read as UTF-8 if the locale is ASCII; Python gives its bytes as lone surrogates there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        text = str(super().convert(value, param, ctx))
        try:
            return text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeError:
            return text


class Word(click.types.StringParamType):
    """A word of what to race, as it is typed. A shell completes it to a framework or a file."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return frameworks, unless it is the value of an option; if none fits, files."""
        names = frameworks_like(incomplete) if isinstance(param, click.Argument) else []
        return names or [CompletionItem(incomplete, type="file")]


def frameworks_like(incomplete: str) -> list[CompletionItem]:
    """Return the frameworks whose names begin with a word, as words."""
    from llmtui.config.frameworks import FRAMEWORKS, word_of

    names = [word_of(one.title) for one in FRAMEWORKS]
    return [CompletionItem(name) for name in names if incomplete and name.startswith(incomplete.lower())]


TEXT = Text()


class LocalPath(click.Path):
    """The path of a file. The address of a server is refused: as a path it would lose a slash."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises UsageError for an address."""
        if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
            from llmtui.config.errors import show

            refuse(f"{show(value)} is the address of a server, not a file; to race that server, run: llmtui ADDRESS")
        return super().convert(value, param, ctx)


class Aliased(click.Option):
    """An option whose help shows only the first of its names, or `shown`."""

    def __init__(self, *args: Any, shown: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.shown = shown or f"{self.opts[0]} {self.metavar}"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its help."""
        record = super().get_help_record(ctx)
        return (self.shown, record[1]) if record is not None else None


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return the decorator of an option: its own name, those that other tools have for it, and that of its argument.

    The argument is named as the option if no name of one is given.
    """
    own = names[0].removeprefix("--").replace("-", "_")
    return click.option(*names, *([own] if names[-1].startswith("-") else []), cls=Aliased, **settings)


FILE = LocalPath(path_type=Path)
PATH = LocalPath()
words_argument = click.argument("words", nargs=-1, metavar="[WHAT]...", type=Word())
model_option = click.option(
    "--model", metavar="FILE|NAME", type=Word(), help="The model to race: a GGUF file, or a name."
)
only_option = click.option(
    "--only", multiple=True, metavar="NAME", type=TEXT, help="Include only this backend. Repeatable."
)
store_option = click.option("--store", metavar="PATH", default="", type=PATH, help="Use this history file.")


def _label(_: click.Context, __: click.Parameter, text: str) -> str:
    """Return the label as it is stored. Raises UsageError if it is reserved."""
    if not text:
        return ""
    from llmtui.store.run_names import label_of

    return label_of(text)


label_option = click.option(
    "--label",
    metavar="TEXT",
    default="",
    type=TEXT,
    callback=_label,
    help="Label the run. A label can be used as RUN.",
)

against_option = click.option(
    "--against",
    metavar="RUN",
    type=TEXT,
    help="Show the medians of an earlier run too.",
)

#: The load, which goes before [load] of the config. The names of vLLM, SGLang and AIPerf work too.
load_options = (
    option("--concurrency", metavar="LIST", type=TEXT, help="Load: streams kept busy, as 1,4,16 or 1..64."),
    option(
        "--request-rate",
        metavar="LIST",
        type=TEXT,
        help="Load: requests/s, as 0.5,1,2 (llmtui explain loads).",
    ),
    option("--arrival", metavar="WORD", type=TEXT, hidden=True),
    option("--burstiness", metavar="N", type=float, hidden=True),
    option("--max-concurrency", metavar="N", type=TEXT, hidden=True),
    option(
        "--requests",
        "--num-prompts",
        "--request-count",
        type=int,
        metavar="N",
        help="Load: requests a turn, or --duration; --slo; --search.",
    ),
    option(
        "--duration",
        "--benchmark-duration",
        "duration_s",
        type=float,
        metavar="SECONDS",
        hidden=True,
    ),
    option("--slo", metavar="LIST", type=TEXT, hidden=True),
    option("--goodput", metavar="LIST", type=TEXT, hidden=True),
    click.option("--search", metavar="knee|slo", type=TEXT, hidden=True),
    option("--probe-rate", "--probe-request-rate", type=float, metavar="N", hidden=True),
    option("--users", "--num-users", metavar="LIST", type=TEXT, hidden=True),
    option("--think", "--think-time", "think_s", type=float, metavar="SECONDS", hidden=True),
    option("--turns", type=int, metavar="N", hidden=True),
    option("--trace", metavar="FILE", type=TEXT, hidden=True),
    option("--time-scale", metavar="N", type=float, hidden=True),
    click.option("--workers", metavar="N", type=TEXT, hidden=True),
    option("--scheduler", metavar="URL", type=TEXT, hidden=True),
    click.option("--insecure-cluster", is_flag=True, default=None, hidden=True),
)

#: What is asked. The names of vLLM, SGLang and AIPerf work too, which have the lengths of a mix apart.
prompt_options = (
    option(
        "--prompts",
        "--dataset",
        "--dataset-path",
        "--input-file",
        metavar="FILE",
        type=PATH,
        hidden=True,
    ),
    option("--mix", metavar="MIX", type=TEXT, hidden=True),
    option("--random-input-len", "--isl", metavar="N", type=int, hidden=True),
    option("--random-output-len", "--osl", metavar="N", type=int, hidden=True),
)

#: What to race, and what goes before the settings of the config.
run_options = _all(
    words_argument,
    model_option,
    only_option,
    option(
        "--iterations",
        "--rounds",
        type=int,
        metavar="N",
        help="Measured iterations per backend; warm-ups: --warmup N.",
    ),
    click.option("--warmup", type=int, metavar="N", hidden=True),
    click.option("--launches", type=int, metavar="N", hidden=True),
    click.option("--max-tokens", type=int, metavar="N", help="Tokens of an answer. Prompts: --prompts FILE, --mix."),
    *load_options,
    *prompt_options,
    click.option("--yes", is_flag=True, hidden=True),
    click.option("--order", metavar="ORDER", help="Order: shuffled, round-robin or sequential."),
)

#: Another machine, on which the run is.
on_option = click.option("--on", metavar="HOST", type=TEXT, help="The run is on another machine; by ssh.")
there_option = click.option("--on", metavar="HOST", type=TEXT, help="Do it on another machine; by ssh.")
on_command_option = click.option("--on-command", metavar="PATH", type=TEXT, hidden=True)


class MetricOption(click.Option):
    """An option that takes one of llmtui.stats.metrics.METRICS, which is imported only when it is needed."""

    @property
    def choices(self) -> Sequence[str]:
        """The metrics that it takes."""
        from llmtui.stats.metrics import RATIOS

        return RATIOS

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The option and its help, with all metrics."""
        return "--metric METRIC", f"{self.help} {', '.join(self.choices)}."

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse unknown metrics."""
        return click.Choice(self.choices).convert(value, self, ctx)


class TrendMetricOption(MetricOption):
    """The same, also with the energy, which has a trend but decides no race."""

    @property
    def choices(self) -> Sequence[str]:
        """The metrics that it takes."""
        from llmtui.stats.metrics import ENERGY

        return (*super().choices, ENERGY.key)


def plan_from(
    words: Sequence[str],
    model: str | None,
    only: Sequence[str],
    changes: dict[str, Any],
    *,
    or_choose: bool = False,
    sent: SentConfig | None = None,
) -> tuple[Config, Plan]:
    """Return the settings and the plan of the race that a command asks for; see `racing.plan_of`.

    `or_choose`: see `present.complete`; `sent`: see `racing.plan_of`. Raises CommandError, mostly UsageError.
    """
    group = click.get_current_context().find_root().command
    commands = group.commands if isinstance(group, click.Group) else ()
    with ExitOnInterrupt():
        from llmtui.cli.racing import plan_of

        yes = bool(changes.pop("yes", False))
        settings, plan = plan_of(words, model, only, changes, commands, or_choose=or_choose, sent=sent)
        if settings.sweep:
            from llmtui.cli.grids import confirm

            confirm(plan, yes=yes)
        if settings.ui.keys:
            from llmtui.config.schema import ConfigError
            from llmtui.ui.actions.keys import resolve_keys

            try:
                resolve_keys(settings.ui.keys)
            except ValueError as error:
                raise ConfigError(f"{settings.place.section('ui').key('keys')}: {error}") from None
    return settings, plan


def stream_counts(text: str) -> list[int]:
    """The numbers in "1,8,32". Raises UsageError."""
    parts = text.split(",")
    counts = [int(part) for part in parts if part.strip().isdecimal()]
    if len(counts) != len(parts) or not all(1 <= count <= MAX_STREAMS for count in counts):
        refuse(f"--streams: {text!r} is not a list of numbers from 1 to {MAX_STREAMS}, such as 1,8,32")
    return counts


def request_rates(text: str) -> list[float]:
    """The numbers in "100,500", none in "". Raises UsageError."""
    try:
        rates = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        rates = [0.0]
    if not all(1 <= rate <= MAX_RATE for rate in rates):
        refuse(f"--rates: {text!r} is not a list of numbers from 1 to {MAX_RATE}, such as 100,500")
    return rates
