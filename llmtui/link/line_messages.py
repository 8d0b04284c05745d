"""What the two ends of a line to another machine say to each other before and after the events of a run.

The other end is `llmtui link` there. Each message is a line of JSON. First that end sends a `Greeting`. This end sends
one of `Start`, `Join` and `Past`, and gets `Planned`, `Joined` or `Refused`. After `Planned` it sends an empty line,
and the run starts. Then the events of the run follow as the engine sends them, and commands go the other way. `Ended`
is last. An empty line is a heartbeat, not a command.
"""

from __future__ import annotations

from typing import Any

from llmtui.model import Plan, Struct

#: The version of these messages. Ends with different ones do not understand each other.
LINK = 1
#: This end says at least this often that it is there, in s. The other end hangs up after `SILENCE_S` without a word:
#: a line may be dead for hours before the system notices.
STILL_HERE_S = 15.0
SILENCE_S = 60.0


class Greeting(Struct, frozen=True, tag="greeting", tag_field="line"):
    """The first line from the other machine: the version of llmtui there, and that of these messages."""

    llmtui: str
    link: int


class Start(Struct, frozen=True, tag="start", tag_field="line"):
    """Make a plan of what was typed, and then start it.

    `words` to `changes` are the arguments of `options.plan_from`. `config` is the text of a config of this machine,
    None if there is none; `config_name` is its name.
    """

    words: list[str]
    model: str | None = None
    only: list[str] = []
    changes: dict[str, Any] = {}
    config: str | None = None
    config_name: str = ""
    label: str = ""
    store: str = ""


class Join(Struct, frozen=True, tag="join", tag_field="line"):
    """Connect to a run in progress: the newest one, or the one that `run` names.

    `again`: it was connected before; if the run has ended since then, its end is sent from the history.
    """

    run: str | None = None
    store: str = ""
    again: bool = False


class Past(Struct, frozen=True, tag="past", tag_field="line"):
    """Answer commands for requests of the turns of `run` from the history."""

    run: str
    store: str = ""


class Planned(Struct, frozen=True, tag="planned", tag_field="line"):
    """The plan, without secrets. Nothing has started yet."""

    plan: Plan


class Joined(Struct, frozen=True, tag="joined", tag_field="line"):
    """The run whose events follow."""

    run: str


class Refused(Struct, frozen=True, tag="refused", tag_field="line"):
    """Why the run was refused, as a sentence for the user, and the exit code of the command."""

    problem: str
    exit_code: int


class Ended(Struct, frozen=True, tag="ended", tag_field="line"):
    """The engine has hung up: no more events follow. `problem` is why the engine did not start, else ""."""

    problem: str = ""


AnyRequest = Start | Join | Past
AnyReply = Greeting | Planned | Joined | Refused | Ended

#: How a line with one of `AnyReply` begins; those with events begin otherwise.
REPLY_START = b'{"line":'
