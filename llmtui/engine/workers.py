"""How many worker processes send the requests of a turn."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.engine.run import Run
from llmtui.engine.schedule import is_local
from llmtui.load.dealing import most_workers
from llmtui.model import Level, Note, Plan, Turn
from llmtui.model.accuracy import Record
from llmtui.stats.checks.loads import LATE_S, LATE_SHARE, WORKER_CPU
from llmtui.store import accuracy_record
from llmtui.text.format import figure, plural


class WorkerCounts:
    """Decides how many workers a level has, and says so once if that is not what the config says.

    All measured turns of a level have the same number. With "auto" it is one, and one more if the warm-up turns, or
    the record of `llmtui accuracy`, show that this is not enough. Only what comes before the first measured turn
    decides: rounds could not be compared otherwise.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._machine = run.machine
        self._record: Record | None = None
        self._read = False
        self._said: dict[int, int] = {}

    def begin(self) -> None:
        """Say it if the config has more workers than this machine has cores."""
        count, cores = self._run.plan.workers.count, self._machine.cores
        if count != "auto" and count > cores > 0 and self._run.plan.levels:
            text = f"{count} workers on {plural(cores, 'core')} wait for one another; set count in [workers] to less"
            self._run.add_note(Note(text=text, level="warning"))

    def at(self, level: Level) -> int:
        """Return how many workers the next turn at a level has."""
        plan = self._run.plan
        if plan.workers.count != "auto":
            return min(plan.workers.count, most_workers(level))
        turns = [turn for turn in self._run.turns if turn.level == level.number]
        if measured := [turn for turn in turns if turn.phase == "measured" and turn.requests]:
            return measured[-1].workers
        if not self._read:
            self._record, self._read = accuracy_record.newest(self._machine), True
        count, why = auto_count(level, turns, self._record, most_auto(plan, self._machine.cores))
        if count != self._said.get(level.number, 1):
            text = f"{level.title}: {why}; {plural(count, 'worker')} send the requests from now on"
            self._run.add_note(Note(text=text))
        self._said[level.number] = count
        return count


def auto_count(level: Level, turns: Sequence[Turn], record: Record | None, most: int) -> tuple[int, str]:
    """Return how many workers a level needs, at most `most`, and why if that is more than one.

    `turns` are its warm-ups so far, and `record` is what `llmtui accuracy` measured here, if anything.
    """
    count, why = 1, ""
    known = record.level_for(streams=level.streams, rate=level.rate) if record is not None else None
    if known is not None and (known.worker_cpu or 0.0) > WORKER_CPU:
        count, why = 2, f"llmtui accuracy says that one worker takes {known.worker_cpu:.0%} of a core at {known.title}"
    for turn in turns:
        if turn.workers >= count and (words := _too_few(turn)):
            count, why = turn.workers + 1, words
    count = max(1, min(count, most, most_workers(level)))
    return count, why if count > 1 else ""


def most_auto(plan: Plan, cores: int) -> int:
    """Return how many workers are taken without being asked for: half of the cores if a server has to do with the
    rest."""
    local = any(backend.enabled and is_local(backend) for backend in plan.backends)
    return max(1, cores // 2 if local else cores)


def _too_few(turn: Turn) -> str:
    """Why the workers of a warm-up turn were too few, "" if they were not."""
    who = "the worker" if turn.workers == 1 else f"one of {turn.workers} workers"
    if turn.worker_cpu is not None and turn.worker_cpu > WORKER_CPU:
        return f"{who} took {turn.worker_cpu:.0%} of a core in the warm-up"
    late_s = turn.late_p99_s or 0.0
    if late_s > max(LATE_S, LATE_SHARE * (turn.ttft_s or 0.0)):
        return f"{who} sent requests {figure(late_s, 's')} late in the warm-up (p99)"
    return ""
