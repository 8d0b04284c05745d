"""The header shows llmtui's own error if it was measured and there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.store.accuracy_record import store_record
from tests.build import machine, record_of
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

#: The machine of the canned run.
MACHINE = machine()


@pytest.mark.parametrize(("size", "shown"), [((120, 40), True), ((80, 24), True), ((40, 24), False)])
async def test_own_error_is_in_the_second_line(
    size: tuple[int, int], shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    store_record(record_of(MACHINE, 0.00018))
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        second = screen_text(app).split("\n")[1].rstrip()
    assert second.endswith("27/39  own error: p95 0.18 ms" if shown else "27/39")


@pytest.mark.parametrize("content", [None, "rubbish", "other"])
async def test_header_without_a_record_of_this_machine(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    if content == "other":
        store_record(record_of(machine(cpu="Another CPU")))
    elif content is not None:
        (tmp_path / "accuracy.json").write_text(content)
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        second = screen_text(app).split("\n")[1].rstrip()
    assert second.endswith("27/39")
