"""What the two ends of a line to another machine say to each other before and after the events of a run.

The other end is `llmtui link` there. Each message is a line of JSON. First that end sends a `Greeting`. This end sends
one of `Start`, `Continue`, `Join` and `Past`, and gets `Planned`, `Joined` or `Refused`. After `Planned` it sends an
empty line, and the run starts. Then the events of the run follow as the engine sends them, and commands go the other
way. `Ended` is last. An empty line is a heartbeat, not a command. After `Print`, `Printed` follow and then `Exited`.
"""

from __future__ import annotations

from typing import Any

from llmtui.model import Plan, Since, Struct

#: The version of these messages. Ends with different ones do not understand each other.
LINK = 1
#: This end says at least this often that it is there, in s. The other end hangs up after `SILENCE_S` without a word:
#: a line may be dead for hours before the system notices.
STILL_HERE_S = 15.0
SILENCE_S = 60.0


class Greeting(Struct, frozen=True, tag="greeting", tag_field="line"):
    """The first line from the other machine: the version of llmtui there, and that of these messages.

    `does` are the requests that came after the first version, by the values of their tag.
    """

    llmtui: str
    link: int
    does: list[str] = []


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


class Continue(Struct, frozen=True, tag="continue", tag_field="line"):
    """Make the plan of what is missing of a run in the history there, and then start it.

    `words` and `model` are those of `resume.resumable`, and `path` is that of a config there. `config` and
    `config_name` are as in `Start`.
    """

    run: str
    words: list[str] = []
    model: str | None = None
    path: str | None = None
    config: str | None = None
    config_name: str = ""
    store: str = ""


class Print(Struct, frozen=True, tag="print", tag_field="line"):
    """Carry out a command whose output is text, and send that. Hanging up interrupts it.

    `words` are the command and its arguments. `config` and `config_name` are as in `Start`. `columns` is the width of
    the terminal that stdout is here, 0 if it is none.
    """

    words: list[str]
    config: str | None = None
    config_name: str = ""
    columns: int = 0


class Join(Struct, frozen=True, tag="join", tag_field="line"):
    """Connect to a run in progress: the newest one, or the one that `run` names.

    `again`: it was connected before; if the run has ended since then, its end is sent from the history. `have` says
    what this end has of the run: the other one leaves that out, if it and the engine there are able to.
    """

    run: str | None = None
    store: str = ""
    again: bool = False
    have: Since | None = None


class Past(Struct, frozen=True, tag="past", tag_field="line"):
    """Answer commands for requests of the turns of `run` from the history."""

    run: str
    store: str = ""


class Planned(Struct, frozen=True, tag="planned", tag_field="line"):
    """The plan, without secrets. Nothing has started yet."""

    plan: Plan


class Joined(Struct, frozen=True, tag="joined", tag_field="line"):
    """The run whose events follow. `others` are in progress too, if it is the newest one because none was named."""

    run: str
    others: list[str] = []


class Refused(Struct, frozen=True, tag="refused", tag_field="line"):
    """Why the run was refused, as a sentence for the user, and the exit code of the command.

    `again` says that the run goes on, so that asking again may help.
    """

    problem: str
    exit_code: int
    again: bool = False


class Printed(Struct, frozen=True, tag="printed", tag_field="line"):
    """What a command wrote to stdout, or to stderr."""

    text: str
    stderr: bool = False


class Exited(Struct, frozen=True, tag="exited", tag_field="line"):
    """A command has ended, with this exit code."""

    code: int


class Ended(Struct, frozen=True, tag="ended", tag_field="line"):
    """The engine has hung up: no more events follow. `problem` is why the engine did not start, else ""."""

    problem: str = ""


AnyRequest = Start | Continue | Join | Past | Print
AnyReply = Greeting | Planned | Joined | Refused | Printed | Exited | Ended

#: What `Greeting.does` has.
DOES = ["continue", "print"]

#: How a line with one of `AnyReply` begins; those with events begin otherwise.
REPLY_START = b'{"line":'
