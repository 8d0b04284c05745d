"""What is on this machine, as the monitor's page knows it, and the race that the user chose there.

The monitor never asks servers itself: the command that opened it gives it a function that does.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from llmtui.config.frameworks import ENGINES, absent_packages
from llmtui.config.lineup import Group, groups, recorded
from llmtui.model import Embedded, Found, Plan, RunConfig

Look = Callable[[], Awaitable[Found]]


class Here:
    """What was found. `chosen` is the race to start when the monitor has closed, None if there is none.

    `look` asks what is on this machine. `write` writes a config of a race with the settings of a run, and returns a
    sentence on it. Both are None if the monitor cannot start races.
    """

    def __init__(self, look: Look | None = None, write: Callable[[Group, RunConfig], str] | None = None) -> None:
        self.look = look
        self.write = write
        self.found: Found | None = None
        self.looking = False
        self.chosen: Group | None = None
        self.selected = 0
        #: Whether the next press of the key stops the run in progress.
        self.asked = False

    def races(self, plan: Plan) -> list[Group]:
        """The races that are possible here, the largest first."""
        return groups(self.known(plan), plan.config.model)

    def known(self, plan: Plan) -> Found:
        """What was found, else what the run knew when it was started."""
        return self.found if self.found is not None else recorded(plan, _installed())


@functools.cache
def _installed() -> list[Embedded]:
    """The engines whose packages are installed: looked up once, as each redraw asks."""
    return [one.engine for one in ENGINES if not absent_packages(one.engine)]
