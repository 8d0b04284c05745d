"""The formats that a run is written in, by name: one table for the options of the commands, for the dialog of the
monitor, and for what writes files.

Each is imported when it is used: a run that writes a CSV does not load the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from llmtui.runview.run import RunView


class Offer(NamedTuple):
    """How the dialog of the monitor offers a format: its label, and a part of the name of its file or folder."""

    label: str
    name: str


class Format(NamedTuple):
    """One format. `make` returns the document or its pieces; `into`, if there is one, is called in its place.

    `into` writes the files of a folder, which it creates, and returns remarks for the user. `requests`: the format
    contains the requests of a load, which are read from the history while it is written. `lacks` says which package is
    missing, "" if none is. `race` and `load` are its offers in the dialog, None where it has none: what is left out
    there is for programs. `suffix` is that of a file which the dialog names. `slow`: it takes long also for a small
    run.
    """

    make: Callable[[RunView], str | Iterable[str]]
    suffix: str = ""
    requests: bool = False
    into: Callable[[RunView, Path], list[str]] | None = None
    lacks: Callable[[], str] | None = None
    race: Offer | None = None
    load: Offer | None = None
    slow: bool = False


def _csv(run_view: RunView) -> str:
    from llmtui.export.csv import results_csv

    return results_csv(run_view)


def _turns_csv(run_view: RunView) -> str:
    from llmtui.export.csv import turns_csv

    return turns_csv(run_view)


def _iterations_csv(run_view: RunView) -> Iterable[str]:
    from llmtui.export.csv import iterations_lines

    return iterations_lines(run_view)


def _json(run_view: RunView) -> Iterable[str]:
    from llmtui.export.json import json_pieces

    return json_pieces(run_view)


def _jsonl(run_view: RunView) -> Iterable[str]:
    from llmtui.export.jsonl import run_lines

    return run_lines(run_view)


def _markdown(run_view: RunView) -> str:
    from llmtui.export.markdown import run_markdown

    return run_markdown(run_view)


def _html(run_view: RunView) -> str:
    from llmtui.export.report.page import report_html

    return report_html(run_view)


def _openmetrics(run_view: RunView) -> str:
    from llmtui.export.openmetrics import openmetrics

    return openmetrics(run_view)


def _hyperfine(run_view: RunView, folder: Path) -> list[str]:
    from llmtui.export.hyperfine import write_hyperfine

    return write_hyperfine(run_view, folder)


def _parquet(run_view: RunView, folder: Path) -> list[str]:
    from llmtui.export.parquet import write_parquet

    return write_parquet(run_view, folder)


def _lacks_pyarrow() -> str:
    from llmtui.export.parquet import lacks_pyarrow

    return lacks_pyarrow()


def _nothing(_: RunView) -> str:
    """A folder has no document of its own."""
    return ""


_RUN = Offer("JSON, everything", "run")
_MARKDOWN = Offer("Markdown, a table to paste", "results")
_REPORT = Offer("HTML, a report with charts", "report")
_HYPERFINE = Offer("hyperfine JSON, a folder", "hyperfine")
_PARQUET = Offer("Parquet, a folder", "parquet")

#: By name; on the command line with - for _ (llmtui.cli.outputs has the option of each). The dialog has their order.
FORMATS: dict[str, Format] = {
    "csv": Format(
        _csv,
        ".csv",
        race=Offer("CSV, a row per backend", "results"),
        load=Offer("CSV, a row per backend and level", "results"),
    ),
    "turns_csv": Format(_turns_csv, ".csv", load=Offer("CSV, a row per turn", "turns")),
    "iterations_csv": Format(
        _iterations_csv,
        ".csv",
        requests=True,
        race=Offer("CSV, a row per iteration", "iterations"),
        load=Offer("CSV, a row per request", "requests"),
    ),
    "json": Format(_json, ".json", requests=True, race=_RUN, load=_RUN),
    "jsonl": Format(_jsonl, ".jsonl"),
    "markdown": Format(_markdown, ".md", race=_MARKDOWN, load=_MARKDOWN),
    "html": Format(_html, ".html", race=_REPORT, load=_REPORT, slow=True),
    "openmetrics": Format(_openmetrics, ".prom"),
    "hyperfine": Format(_nothing, requests=True, into=_hyperfine, race=_HYPERFINE, load=_HYPERFINE),
    "parquet": Format(
        _nothing, requests=True, into=_parquet, lacks=_lacks_pyarrow, race=_PARQUET, load=_PARQUET, slow=True
    ),
}
