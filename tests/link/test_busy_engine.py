"""A line that opens again while the engine there is busy: the run goes on, so it is asked for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.cli import link
from llmtui.link.line_messages import Join, Refused
from llmtui.link.remote import RemoteLink
from llmtui.link.ssh import Line, LineError, OtherMachine, RefusedError
from llmtui.model.errors import CommandError
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, plan

BUSY = Refused(problem="the engine does not answer: timed out", exit_code=1, again=True)


def test_a_run_that_goes_on_is_to_be_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, said = tmp_path / "history.db", list[msgspec.Struct]()
    store, _ = open_store(file)
    with store:
        store.begin(plan(), MACHINE)
        monkeypatch.setattr(link, "_say", said.append)
        join = Join(run=plan().run, store=str(file), again=True)
        assert link._end_of(plan().run, join, CommandError(BUSY.problem)) == 0
    assert said == [BUSY]


@pytest.mark.parametrize("reply", [BUSY, msgspec.structs.replace(BUSY, again=False)])
def test_the_line_is_opened_again_only_if_that_may_help(reply: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        closed, version = False, ""
        machine = OtherMachine("far")

        def greet(self) -> None: ...

        def ask(self, request: object) -> None:
            raise RefusedError("far", reply)

        def close(self, _: float) -> None:
            self.closed = True

    line: Any = Refusing()
    monkeypatch.setattr(Line, "start", lambda *_, **__: line)
    with pytest.raises(LineError if reply.again else RefusedError, match=r"^far: the engine does not answer"):
        RemoteLink(line, "r", "")._join()
    assert line.closed
