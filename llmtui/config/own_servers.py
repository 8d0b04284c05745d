"""What llmtui knows about a framework's own server program, which it can start on the model file of the race.

How each is launched is in servers/own/.
"""

from __future__ import annotations

from llmtui.model import OwnServerName, Struct


class OwnServer(Struct, frozen=True):
    """The server program of one framework.

    `server` is the value of `server` in a config. `programs` are its names on PATH, `patterns` are further files, such
    as "~/bin/*.llamafile". `checked` are the versions on which its command line was checked, `how` is "run" if that was
    with the program itself, else "read" (in its documentation or source); `read` are further versions that were only
    read. `known` are those versions as numbers, the oldest first: a launch of an older or a newer one says so. `needs`
    are the Python packages with which llmtui prepares the model for it.
    """

    server: OwnServerName
    programs: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    checked: str = ""
    how: str = "read"
    read: str = ""
    known: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
