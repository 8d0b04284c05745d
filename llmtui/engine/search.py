"""A search in the engine: it queues the turns of the next probe of each backend when those of all have ended."""

from __future__ import annotations

from llmtui.engine.backend_run import BackendRun, jobs_done
from llmtui.engine.run import Run
from llmtui.engine.schedule import Job, last_warmup
from llmtui.model import FAILED
from llmtui.stats import search
from llmtui.stats.probes import Probe, probes_of


class Search:
    """The search of a run, if it has one. Backends that want the same level take turns there, round by round.

    Levels that double the streams come first, so that as many backends as possible want the same one; of the others,
    the smallest.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._numbers = {level.streams: level.number for level in run.plan.levels} if run.plan.load.search else {}

    def wants(self, backend_run: BackendRun) -> int | None:
        """Return the streams of a backend's next probe, None if it has none: its search ended, or it failed."""
        state = backend_run.state.state
        if not self._numbers or backend_run.queue or backend_run.busy or state in FAILED or state == "stopped":
            return None
        return search.next_probe(self._probes(backend_run), self._run.plan.load, self._run.plan.slo)

    def add_probe(self) -> bool:
        """Queue the next probe of the backends that want it; return False if none does, or turns are left."""
        run = self._run
        if not self._numbers or any(backend_run.queue for backend_run in run.backends):
            return False
        wanted = {each.name: streams for each in run.backends if (streams := self.wants(each)) is not None}
        if not wanted:
            return False

        def place(name: str) -> tuple[bool, int]:
            probes = self._probes(run.by_name[name])
            return not search.doubles(probes, wanted[name]), wanted[name]

        streams = wanted[min(wanted, key=place)]
        for name, of in wanted.items():
            if of == streams:
                self._queue(run.by_name[name], self._numbers[streams])
        return True

    def count_left(self) -> None:
        """Record how many more probes of each backend there are at most, besides the one that is queued."""
        for backend_run in self._run.backends if self._numbers else ():
            left = search.probes_left(self._probes(backend_run), self._run.plan.load)
            if backend_run.queue or backend_run.busy:
                backend_run.probes_left = max(0, left - 1)
            else:
                backend_run.probes_left = left if self.wants(backend_run) is not None else 0

    def _probes(self, backend_run: BackendRun) -> list[Probe]:
        run = self._run
        turns = run.turns_of(backend_run)
        over = not backend_run.queue and not backend_run.busy
        return probes_of(turns, run.plan.levels, run.config.iterations, over=over, left_out=backend_run.left_out)

    def _queue(self, backend_run: BackendRun, level: int) -> None:
        """Queue the turns of a backend at a level: after a warm-up, and single requests to a new server."""
        run, config = self._run, self._run.config
        turns = [turn for turn in run.turns_of(backend_run) if turn.phase == "warmup"]
        backend_run.probed.append(level)
        if not backend_run.target.up:
            last = last_warmup(jobs_done(backend_run.state, run.iterations))
            backend_run.queue.extend(Job("warmup", last + n) for n in range(1, max(1, config.warmup) + 1))
            # Its server is another one than that of the turns before.
            backend_run.restarts += backend_run.seq > 0
        if config.warmup:
            number = 1 + max((turn.round for turn in turns if turn.level == level), default=0)
            backend_run.queue.append(Job("warmup", number, level))
        backend_run.queue.extend(Job("measured", number, level) for number in range(1, config.iterations + 1))
        if backend_run.state.state != "waiting":
            run.set_state(backend_run, state="waiting", failure=None)
