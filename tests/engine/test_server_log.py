"""The last lines of a launched server's log, also after its exit, without secrets and escape sequences."""

from __future__ import annotations

import shlex

from llmtui.model import Backend, Logs, LogTail
from tests.engine.helpers import TRUTH, engine_for, plan_of, truth_backend

KEY = "sk-of-nobody-0123456789"
#: Longer than the part of a log that is read, so that its last lines are not its first.
CHATTER = (
    f"i=0; while [ $i -lt 3000 ]; do echo line $i of the log; i=$((i+1)); done; printf '\\033[2Jkey {KEY}\\nlast\\n'"
)


async def test_log_tail_of_a_running_and_a_stopped_server() -> None:
    talkative = Backend(name="a", launch=["sh", "-c", f"{CHATTER}; exec {shlex.join(TRUTH)}"], api_key=KEY)
    async with engine_for(plan_of(talkative, truth_backend("b"), order="sequential", iterations=1)) as run:

        async def asked(name: str) -> list[str]:
            run.run_view.backends[name].log_tail = []
            await run.client.send(Logs(backend="nobody"))
            await run.client.send(Logs(backend=name))
            before = len(run.events)
            await run.until(lambda _: any(isinstance(e, LogTail) for e in run.events[before:]))
            return run.run_view.backends[name].log_tail

        await run.until(lambda run_view: run_view.backends["a"].last is not None)
        live = await asked("a")
        assert 20 <= len(live) <= 100
        at = live.index("last")
        assert live[at - 1] == "key ***"
        assert live[at - 2] == "line 2999 of the log"
        await run.until_done()
        assert "last" in await asked("a")
