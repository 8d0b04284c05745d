"""Where a run comes from that another tool measured (`llmtui import`)."""

from __future__ import annotations

from llmtui.model.base import Outside, Own, Struct


class Imported(Struct, frozen=True):
    """What measured a run, and what is unknown of it.

    `tool` is its name ("hyperfine"), `version` what the file says of it, `files` are the names of the files, and
    `unknown` what they do not say, in words: of such a thing nothing may be compared. `imported_utc` is when it was
    read, "" if it was read before llmtui recorded that.
    """

    tool: Own
    version: Outside = ""
    files: list[str] = []
    unknown: list[Own] = []
    imported_utc: str = ""

    @property
    def title(self) -> str:
        """ "hyperfine", or "guidellm 0.8.1"."""
        return f"{self.tool} {self.version}".strip()
