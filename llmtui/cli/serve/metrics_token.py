"""The token for a Prometheus that scrapes `llmtui serve --metrics` for weeks: from a file, or from the environment.

The token of the pages is another one after each start. This one stays the same, so it opens /metrics alone and cannot
control a run. It is never an argument of the command, which every user of the machine could read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from llmtui.model.errors import UsageError
from llmtui.text import sanitize

VARIABLE = "LLMTUI_METRICS_TOKEN"
#: The shortest and the longest token, in characters.
SHORTEST, LONGEST = 20, 512
#: What a header with it may contain (RFC 6750).
_CHARACTERS = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)
_HINT = "to make one: openssl rand -hex 32"


def metrics_token(file: Path | None, report: Callable[[str], None]) -> str:
    """Return the token in `file`, else that of the environment; "" without one. Raises UsageError.

    The variable is taken out of the environment, so that no server that is started has it. `report` prints a warning
    if every user of this machine can read the file.
    """
    given = os.environ.pop(VARIABLE, "")
    where = VARIABLE if file is None else sanitize(str(file), 200)
    token = (given if file is None else _read(file, where, report)).strip()
    if not token and file is None:
        return ""
    if not SHORTEST <= len(token) <= LONGEST:
        raise UsageError(
            f"{where}: the token of /metrics has {len(token)} characters; it needs {SHORTEST} to {LONGEST} ({_HINT})"
        )
    if not _CHARACTERS.fullmatch(token):
        raise UsageError(f"{where}: a token has letters, digits and - . _ ~ + / = only, and no spaces ({_HINT})")
    return token


def _read(file: Path, where: str, report: Callable[[str], None]) -> str:
    """Return the beginning of the file. Raises UsageError."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            # A longer one is too long for a token.
            data = opened.read(4 * LONGEST)
    except OSError as error:
        raise UsageError(f"{where}: the token of /metrics cannot be read: {error.strerror or error}") from None
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        report(f"WARNING: every user of this machine can read {where}: chmod o-r")
    return data.decode("utf-8", "replace")
