"""The public Python interface: runs of the history and of files as plain data. The package `llmtui` has its names."""

from llmtui.api.errors import ReadError
from llmtui.api.read import list_runs, read_run
from llmtui.api.run import Row, Run

__all__ = ["ReadError", "Row", "Run", "list_runs", "read_run"]
