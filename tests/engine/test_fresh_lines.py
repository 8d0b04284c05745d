"""The fresh line of a prompt in a run: where a server refuses a system message, and who gets which line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.engine.adapting import AskAgain
from llmtui.engine.bringup import Target
from llmtui.engine.fresh_role import REMARK
from llmtui.engine.schedule import fresh_sets
from llmtui.measure.request import IterationError
from llmtui.model import Backend, RunConfig
from tests.engine.helpers import engine_for, plan_of
from tests.scripted import ANSWER, Scripted, Step, reply, scripted

REFUSED = reply(400, {"message": "System role not supported", "type": "BadRequestError", "code": 400})
SILENT: list[Step] = [b"HTTP/1.1 500 X\r\nContent-Length: 21\r\n\r\nInternal Server Error"]


def messages(server: Scripted) -> list[list[dict[str, Any]]]:
    bodies = [r.partition(b"\r\n\r\n")[2] for r in server.requests if r.startswith(b"POST")]
    return [json.loads(body)["messages"] for body in bodies]


async def outcomes(answers: list[list[Step]], folder: Path, requests: int) -> tuple[list[str], list[str], str]:
    """Ask this often with a fresh line. Return what came of each, the roles that were sent, and the remark."""
    seen = []
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"POST": answers}
        target = Target(Backend(name="a", url=server.url, model="m"), RunConfig(), folder, fresh_role="system")
        await target.bring_up(lambda _, __: None)
        for number in range(requests):
            try:
                await target.ask("hi", fresh_line=f"[{number}]")
                seen.append("answered")
            except AskAgain as again:
                seen.append(again.note.partition(":")[0])
            except IterationError as error:
                seen.append(str(error.failure.message))
        remark = target.remark
        await target.close()
        return seen, ["+".join(m["role"] for m in one) for one in messages(server)], remark


async def test_a_refused_system_message_goes_into_the_prompt(tmp_path: Path) -> None:
    seen, roles, remark = await outcomes([REFUSED, ANSWER], tmp_path, 3)
    assert seen == ["a system message is refused", "answered", "answered"]
    assert roles == ["system+user", "user", "user"]
    assert remark == REMARK


async def test_a_failure_without_a_reason_is_tried_once_in_the_other_way(tmp_path: Path) -> None:
    seen, roles, remark = await outcomes([SILENT, ANSWER], tmp_path, 3)
    assert seen == ["HTTP 500 without a reason", "answered", "answered"]
    assert (roles, remark) == (["system+user", "user", "user"], REMARK)
    seen, roles, remark = await outcomes([SILENT], tmp_path, 3)
    assert seen[0] == "HTTP 500 without a reason" and seen[1] == seen[2] == "HTTP 500: Internal Server Error"
    assert (roles, remark) == (["system+user", "user", "system+user"], "")


async def test_a_server_that_takes_a_system_message_gets_no_other_form(tmp_path: Path) -> None:
    seen, roles, remark = await outcomes([ANSWER, SILENT, ANSWER], tmp_path, 3)
    assert seen == ["answered", "HTTP 500: Internal Server Error", "answered"]
    assert (roles, remark) == (["system+user"] * 3, "")


def test_backends_at_one_address_have_different_lines() -> None:
    urls = [
        "http://127.0.0.1:8080",
        "http://localhost:8080/v1",
        "http://127.0.0.1:8081",
        "",
        "http://h/a",
        "http://h/b",
    ]
    backends = [Backend(name=f"{n}", url=url) for n, url in enumerate(urls)]
    ports = [Backend(name=name, url="http://127.0.0.1:{port}", launch=["x"]) for name in "xy"]
    assert list(fresh_sets([*backends, *ports]).values()) == [0, 1, 0, 0, 0, 1, 0, 0]


@pytest.mark.slow
async def test_all_backends_with_the_model_take_the_way_that_one_of_them_can(tmp_path: Path) -> None:
    async with scripted(reply(404, {})) as strict, scripted(reply(404, {})) as usual, scripted(reply(404, {})) as other:
        strict.by_path = {b"POST": [REFUSED, ANSWER]}
        usual.by_path = other.by_path = {b"POST": [ANSWER]}
        models = {"strict": (strict, "gemma-2-2b-it"), "usual": (usual, "gemma2:2b"), "other": (other, "qwen3:1.7b")}
        backends = [Backend(name=name, url=one.url, model=model) for name, (one, model) in models.items()]
        plan = msgspec.structs.replace(plan_of(*backends, iterations=2, warmup=2), fresh_role="system")
        async with engine_for(plan) as run:
            views = (await run.until_done()).backends
            notes = [note.text for note in run.run_view.notes]
    sent = {name: [[m["role"] for m in one] for one in messages(server)] for name, (server, _) in models.items()}
    assert sent["strict"] == [["system", "user"], *[["user"]] * 4]
    assert sent["usual"][-3:] == [["user"]] * 3 and sent["other"] == [["system", "user"]] * 4
    assert {name: view.state.fresh_role for name, view in views.items()} == {
        "strict": "user",
        "usual": "user",
        "other": "system",
    }
    assert sum("a system message is refused" in note for note in notes) == 1
    assert not any("rerun all (R)" in note for note in notes), "the first warm-up shows it"
    # All backends of a round have the same line.
    first = {name: [one[0]["content"] for one in messages(server)][-2:] for name, (server, _) in models.items()}
    lines = {name: [text.partition("\n")[0] for text in texts] for name, texts in first.items()}
    assert lines["strict"] == lines["usual"] == lines["other"]


@pytest.mark.slow
async def test_samples_that_had_a_system_message_before_one_was_refused_are_reported() -> None:
    async with scripted(reply(404, {})) as strict, scripted(reply(404, {})) as usual:
        strict.by_path = {b"POST": [REFUSED, ANSWER]}
        usual.by_path = {b"POST": [ANSWER]}
        backends = [Backend(name=name, url=one.url, model="m") for name, one in (("usual", usual), ("strict", strict))]
        plan = plan_of(*backends, iterations=2, warmup=0, order="sequential")
        async with engine_for(msgspec.structs.replace(plan, fresh_role="system")) as run:
            views = (await run.until_done()).backends
            notes = [note.text for note in run.run_view.notes if note.backend == "usual"]
    assert [view.state.fresh_role for view in views.values()] == ["system", "user"]
    assert [note for note in notes if note.startswith("2 iterations had the fresh line as a system message")]
    codes = {check.code for check in run.run_view.verdict().checks}
    assert "fresh-line" in codes
