"""Says which workers of a run are on one machine, and where another run measures too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from llmtui.model import Note
from llmtui.text.format import plural


class OnMachine(Protocol):
    """A worker, such as RemoteWorker."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def boot(self) -> str:
        """The id of its machine since that was started, "" if unknown."""

    @property
    def cores(self) -> int:
        """Those of the machine, 0 if unknown."""

    @property
    def others(self) -> int:
        """How many other runs measured there when it was asked last."""


def together(workers: Iterable[OnMachine]) -> list[Note]:
    """Return a note for each machine with several of these workers: a warning if it has fewer cores."""
    machines: defaultdict[str, list[OnMachine]] = defaultdict(list)
    for worker in workers:
        if worker.boot:
            machines[worker.boot].append(worker)
    notes = []
    for of in machines.values():
        if len(of) < 2:
            continue
        names, cores = ", ".join(worker.name for worker in of), max(worker.cores for worker in of)
        text = f"{plural(len(of), 'worker')} ({names}) are on one machine"
        if 0 < cores < len(of):
            text = f"{text}, which has {plural(cores, 'core')}, so they wait for one another; start fewer of them there"
            notes.append(Note(text=text, level="warning"))
        else:
            notes.append(Note(text=f"{text} and share its {plural(cores, 'core')}" if cores else text))
    return notes


def disturbed(workers: Sequence[OnMachine]) -> Note | None:
    """Return a warning that names the workers on whose machines another run measures; None without any."""
    names = [worker.name for worker in workers if worker.others]
    if not names:
        return None
    machines = "the machine" if len(names) == 1 else "the machines"
    text = f"another run measures on {machines} of {', '.join(names)} too: the two disturb each other"
    return Note(text=text, level="warning")
