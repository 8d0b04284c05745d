"""The formats that a run is written in, by name: one table for the options of the commands, and for what writes files.

Each is imported when it is used: a run that writes a CSV does not load the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from llmtui.runview.run import RunView


class Format(NamedTuple):
    """One format. `make` returns the document or its pieces; `into`, if there is one, is called in its place.

    `into` writes the files of a folder, which it creates, and returns remarks for the user. `requests`: the format
    contains the requests of a load, which are read from the history while it is written.
    """

    make: Callable[[RunView], str | Iterable[str]]
    requests: bool = False
    into: Callable[[RunView, Path], list[str]] | None = None


def _csv(run_view: RunView) -> str:
    from llmtui.export.csv import results_csv

    return results_csv(run_view)


def _iterations_csv(run_view: RunView) -> Iterable[str]:
    from llmtui.export.csv import iterations_lines

    return iterations_lines(run_view)


def _turns_csv(run_view: RunView) -> str:
    from llmtui.export.csv import turns_csv

    return turns_csv(run_view)


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


def _nothing(_: RunView) -> str:
    """A folder has no document of its own."""
    return ""


#: By name; on the command line with - for _ (llmtui.cli.outputs has the option of each).
FORMATS: dict[str, Format] = {
    "csv": Format(_csv),
    "iterations_csv": Format(_iterations_csv, requests=True),
    "turns_csv": Format(_turns_csv),
    "json": Format(_json, requests=True),
    "jsonl": Format(_jsonl),
    "markdown": Format(_markdown),
    "html": Format(_html),
    "openmetrics": Format(_openmetrics),
    "hyperfine": Format(_nothing, requests=True, into=_hyperfine),
    "parquet": Format(_nothing, requests=True, into=_parquet),
}
