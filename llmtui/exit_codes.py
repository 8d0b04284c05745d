"""The exit codes, and what they mean for each command. Scripts rely on the codes: they do not change."""

from __future__ import annotations

#: The command did what it was asked to do.
OK = 0
#: A backend failed or did not answer, a gate or `--fail-if` was broken, or a file could not be written.
FAILED = 1
#: Wrong usage or an invalid config. Naming a run that does not exist is wrong usage.
USAGE = 2
#: `compare --gate`: the data neither exclude a slowdown beyond the gate nor show one. `--fail-if`: too few samples.
SILENT = 3
#: Control-C, as a shell reports it (128 + SIGINT).
INTERRUPTED = 130

#: What each code means in general, in a few words for the help.
MEANINGS = {
    OK: "success",
    FAILED: "failure",
    USAGE: "wrong usage",
    SILENT: "cannot tell",
    INTERRUPTED: "Ctrl-C",
}
_RUN = {OK: "success", FAILED: "a backend failed", USAGE: "wrong usage", INTERRUPTED: "Ctrl-C"}
_NO_RUN = "wrong usage or no such run"
#: The codes of each command, with their meaning there. Any command can be interrupted; it is said where that matters.
OF_COMMAND: dict[str, dict[int, str]] = {
    "monitor": _RUN,
    "run": {OK: "success", FAILED: "failure", USAGE: "wrong usage", SILENT: "cannot tell", INTERRUPTED: "Ctrl-C"},
    "serve": _RUN,
    "check": {OK: "all answer", FAILED: "a backend does not", USAGE: "wrong usage", INTERRUPTED: "Ctrl-C"},
    "init": {OK: "success", FAILED: "cannot write the file", USAGE: "wrong usage", INTERRUPTED: "Ctrl-C"},
    "history": {OK: "success", FAILED: "cannot read the history", USAGE: "wrong usage"},
    "show": {OK: "success", FAILED: "cannot read the history", USAGE: _NO_RUN},
    "open": {OK: "success", FAILED: "cannot read the history", USAGE: _NO_RUN},
    "export": {OK: "success", FAILED: "cannot read or write", USAGE: _NO_RUN},
    "import": {OK: "success", FAILED: "cannot write the history", USAGE: "a file cannot be imported"},
    "compare": {OK: "success", FAILED: "the gate does not hold", USAGE: _NO_RUN, SILENT: "cannot tell"},
    "trend": {OK: "success", FAILED: "cannot read the history", USAGE: "wrong usage, no such run or backend"},
    "attach": {OK: "success", FAILED: "a backend failed", USAGE: _NO_RUN, INTERRUPTED: "Ctrl-C"},
    "resume": {OK: "success", FAILED: "failure", USAGE: _NO_RUN, SILENT: "cannot tell", INTERRUPTED: "Ctrl-C"},
    "accuracy": {OK: "success", FAILED: "the test failed", USAGE: "wrong usage", INTERRUPTED: "Ctrl-C"},
    "completion": {OK: "success", USAGE: "unknown shell"},
    "link": {OK: "success", FAILED: "the other end is another version", USAGE: "wrong usage"},
    "explain": {OK: "success", USAGE: "no such topic"},
}


def exit_line(command: str = "") -> str:
    """Return the line of a help with the exit codes of a command, or of all commands together."""
    codes = OF_COMMAND.get(command, MEANINGS)
    return "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in codes.items()) + "."
