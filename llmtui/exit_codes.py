"""The exit codes of every command. Scripts read them: they are documented in the README and do not change."""

from __future__ import annotations

#: All went well.
OK = 0
#: A backend failed or was not there, a gate did not hold, or something could not be written.
FAILED = 1
#: Wrong usage or config.
USAGE = 2
#: A gate that the data can neither hold nor break.
SILENT = 3
#: Control-C, as a shell reports it (128 + SIGINT).
INTERRUPTED = 130
