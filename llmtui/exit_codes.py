"""The exit codes of every command. Scripts rely on the codes: they do not change."""

from __future__ import annotations

#: The command did what it was asked to do.
OK = 0
#: A backend failed or did not answer, a gate was broken, or a file could not be written.
FAILED = 1
#: Wrong usage or an invalid config.
USAGE = 2
#: `compare --gate`: the data are too few to pass or to break the gate.
SILENT = 3
#: Control-C, as a shell reports it (128 + SIGINT).
INTERRUPTED = 130
