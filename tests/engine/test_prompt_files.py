"""A race and a load over the prompts of a file: every backend of a round asks the same one, and samples name it."""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.load.prompt_files.inspection import inspected
from llmtui.load.prompt_files.source import FoundIndex, index_for
from llmtui.model import Backend, Iteration, Load, Plan, Prompts, RunConfig
from llmtui.store.open import open_store
from tests.engine.helpers import engine_for, plan_of, truth_backend
from tests.load.helpers import run_slice, slice_for, truth, worker
from tests.scripted import ANSWER, reply, scripted


def file_of(folder: Path, *lines: Any) -> str:
    """A file of JSON Lines; a text is written as it is."""
    path = folder / "p.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


def with_prompts(plan: Plan, path: str, **settings: Any) -> Plan:
    """The plan with the prompts of a file, in its order."""
    return msgspec.structs.replace(plan, prompts=Prompts(file=path, **{"sample": "in order"} | settings))


async def test_in_a_race_all_backends_ask_the_same_prompt_in_a_round(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {"prompt": "first", "max_tokens": 3},
        {"prompt": 'se"cond'},
        {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "no"}], "prompt": "third"},
        {"prompt": "last"},
    )
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted(reply(404, {}))) for _ in "ab"]
        backends = []
        for name, server in zip("ab", servers, strict=True):
            server.by_path = {b"POST": [ANSWER]}
            backends.append(Backend(name=name, framework="x", url=server.url, model="m"))
        config = RunConfig(iterations=3, warmup=1, max_tokens=9, fresh_prompt=False)
        plan = msgspec.structs.replace(plan_of(*backends), config=config)
        async with engine_for(with_prompts(plan, path)) as run:
            run_view = await run.until_done()
        bodies = [
            [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests if request[:4] == b"POST"]
            for server in servers
        ]
    asked = [[(body["messages"][-1]["content"], body["max_tokens"]) for body in of] for of in bodies]
    assert asked[0] == asked[1] == [("last", 9), ("first", 3), ('se"cond', 9), ("third", 9)]
    named = [[i.prompt for i in view.iterations] for view in run_view.backends.values()]
    assert named[0] == named[1] == ["line 4", "line 1", "line 2", "line 3"]


@pytest.mark.parametrize("fresh", [pytest.param(False, marks=pytest.mark.slow), True])
async def test_the_messages_of_a_line_are_sent_with_one_system_message(fresh: bool, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi [904175286301]"}]
    path = file_of(tmp_path, {"messages": messages})
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"POST": [ANSWER]}
        backend = Backend(name="a", framework="x", url=server.url, model="m")
        plan = plan_of(backend, iterations=1, warmup=0, fresh_prompt=fresh)
        async with engine_for(with_prompts(msgspec.structs.replace(plan, fresh_role="system"), path)) as run:
            await run.until_done()
        (body,) = [request.partition(b"\r\n\r\n")[2] for request in server.requests if request[:4] == b"POST"]
    sent = json.loads(body)["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]
    assert sent[1] == messages[1]
    line, _, text = sent[0]["content"].rpartition("\n")
    assert text == "be brief" and (len(line) == 14) is fresh


async def test_a_bad_line_that_is_asked_fails_the_iteration_with_its_number(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"prompt": "good"}, '{"prompt": 3}', {"prompt": "good"})
    plan = plan_of(truth_backend("a"), warmup=0, iterations=3)
    async with engine_for(with_prompts(plan, path)) as run:
        run_view = await run.until_done()
    iterations = run_view.backends["a"].iterations
    assert [i.error is None for i in iterations] == [True, False, True]
    assert iterations[1].error is not None
    assert iterations[1].error.message == "p.jsonl, line 2: prompt is a number, not text"


def samples_of(plan: Plan, seq: int) -> list[Iteration]:
    """The requests of a turn, as they are stored."""
    store, _ = open_store()
    with store:
        (turn,) = [turn for turn in store.load(plan.run).turns if turn.seq == seq]
        return sorted((s for batch in store.requests(turn) for s in batch), key=lambda sample: sample.request)


@pytest.mark.slow
async def test_in_a_load_the_turns_of_a_round_ask_the_same_prompts_and_other_rounds_others(tmp_path: Path) -> None:
    path = file_of(tmp_path, *({"prompt": str(n), "max_tokens": 1 + n % 5} for n in range(200)))
    plan = plan_of(truth_backend("a"), truth_backend("b"), iterations=2, warmup=1)
    plan = msgspec.structs.replace(plan, load=Load(concurrency=2, requests=10))
    plan = msgspec.structs.replace(plan, prompts=inspected(Prompts(file=path)))
    async with engine_for(plan) as run:
        run_view = await run.until_done()
    turns = [t for view in run_view.backends.values() for t in view.turns if t.phase == "measured"]
    asked: dict[int, list[dict[int, tuple[str, int | None]]]] = {}
    for turn in turns:
        counted = [s for s in samples_of(plan, turn.seq) if s.share == "window"]
        asked.setdefault(turn.round, []).append({s.request: (s.prompt, s.output_tokens) for s in counted})
        for sample in counted:
            assert sample.output_tokens == 1 + (int(sample.prompt.removeprefix("line ")) - 1) % 5
    assert all(one == two for one, two in asked.values())
    first, second = ({prompt for prompt, _ in asked[number][0].values()} for number in (1, 2))
    assert len(first) == len(second) == 10 and not first & second


@pytest.mark.slow
async def test_a_turn_that_meets_a_bad_line_fails_in_words(tmp_path: Path) -> None:
    path = file_of(tmp_path, *({"prompt": str(n)} for n in range(6)), '{"messages": 1}')
    plan = plan_of(truth_backend("a"), iterations=1, warmup=0)
    plan = msgspec.structs.replace(plan, load=Load(concurrency=2, requests=10, settle=0))
    async with engine_for(with_prompts(plan, path)) as run:
        run_view = await run.until_done()
    (turn,) = run_view.backends["a"].turns
    assert turn.state == "partial" and turn.error is not None
    assert turn.error.message == "p.jsonl, line 7: it has no prompt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_text(path.read_text().replace("prompt 3", "prompt 4")), "changed since the run began"),
        (lambda path: os.truncate(path, 900), "changed since the run began"),
        (os.remove, "no such file or folder of prompts"),
    ],
    ids=["changed", "cut short", "removed"],
)
async def test_a_file_that_is_another_one_in_the_next_turn_ends_it_in_words(
    change: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    path = Path(file_of(tmp_path, *({"prompt": f"prompt {n}"} for n in range(2_000))))
    async with truth(itl_ms=1) as url, worker() as process:
        prompts = inspected(Prompts(file=str(path)))
        of = msgspec.structs.replace(
            slice_for(url, requests=4, streams=2), prompts=prompts, prompt_index=index_for(prompts)
        )
        _, done = await run_slice(of, process=process)
        assert done.error is None and of.prompt_index
        change(path)
        samples, done = await run_slice(of, process=process)
    assert done.error is not None and words in done.error.message and not samples


@pytest.mark.slow
async def test_the_worker_asks_where_the_check_before_the_run_found_prompts(tmp_path: Path) -> None:
    path = file_of(tmp_path, *({"prompt": str(n)} for n in range(50)))
    prompts = inspected(Prompts(file=path))
    found = msgspec.msgpack.decode(index_for(prompts), type=FoundIndex)
    # As if the check had found 20 of the 50 lines: a worker that looks itself would ask all of them.
    index = msgspec.structs.replace(found, index=zlib.compress(array("I", [20]).tobytes()))
    plan = plan_of(truth_backend("a"), iterations=1, warmup=0)
    plan = msgspec.structs.replace(plan, load=Load(concurrency=2, requests=40, settle=0), prompts=prompts)
    async with engine_for(plan, msgspec.msgpack.encode(index)) as run:
        (turn,) = (await run.until_done()).backends["a"].turns
    asked = {sample.prompt for sample in samples_of(plan, turn.seq)}
    assert len(asked) == 20
