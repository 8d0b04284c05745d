"""Fairness end to end: real engine, real servers with set behaviour, and the same verdict from the history."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from llmtui.engine.watch.conditions import Changes, Counters, device_of, governor, sample, since
from llmtui.model import Backend, Rerun
from llmtui.runview.run import RunView
from llmtui.stats.checks import Check, Entry, Evidence, checks, leading_metric
from tests.engine.helpers import (
    assert_gone,
    ended,
    engine_for,
    from_history,
    plan_of,
    process_tree,
    started,
    truth_backend,
)
from tests.leftovers import command_line
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Step, scripted, token
from tests.stats.build import OF_THE_MACHINE

#: So far apart that even a very busy machine rarely reads two arrivals as one, which the checks report.
SLOWLY = {"arguments": ["--itl-ms", "30"]}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run of anybody else is seen here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


def judged(run_view: RunView) -> list[Check]:
    """The checks of a run, but for those that depend on how busy this machine is."""
    entries = [
        Entry(backend_view.backend, backend_view.state, Evidence(backend_view.current))
        for backend_view in run_view.backends.values()
    ]
    results = checks(entries, run_view.plan.config, run_view.machine)
    return [c for c in results if c.code not in OF_THE_MACHINE | {"cold-start", "drift", "outliers"}]


def codes(run_view: RunView) -> dict[str, list[str]]:
    return {c.code: c.backends for c in judged(run_view)}


def first_by_code(run_view: RunView) -> dict[str, Check]:
    return {c.code: c for c in reversed(judged(run_view))}


@pytest.mark.slow
async def test_fair_race_has_no_problems() -> None:
    plan = plan_of(truth_backend("a", **SLOWLY), truth_backend("b", **SLOWLY), iterations=6)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        assert judged(run_view) == []
        for backend_view in run_view.backends.values():
            assert backend_view.state.device == "cpu"
            assert {i.part for i in backend_view.current} == {1}
            assert all(i.server_cpu is not None and i.steal >= 0 for i in backend_view.current)
        assert run_view.machine.load_1m is not None
    assert judged(from_history(plan)) == []


@pytest.mark.slow
async def test_checks_name_backends_with_different_work() -> None:
    manners = {
        "short": ["--tokens", "3"],
        # So slowly that no arrival holds reasoning and answer.
        "thinks": ["--reasoning", "4", "--itl-ms", "30"],
        "caches": ["--cached", "9"],
        "reads": ["--prompt-tokens", "20"],
        "counts": ["--no-usage"],
        "says": ["--word", "other"],
    }
    quirky = [truth_backend(name, arguments=arguments) for name, arguments in manners.items()]
    plan = plan_of(truth_backend("a", arguments=["--cached", "0"]), *quirky, iterations=2, max_tokens=6, warmup=0)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        by_code = first_by_code(run_view)
    alone = {
        "output-tokens": "short",
        "stop-reason": "short",
        "thinking": "thinks",
        "prompt-tokens": "reads",
        "prefix-cache": "caches",
    }
    for code, name in alone.items():
        assert by_code[code].between("a", name), code
        assert not by_code[code].between("a", "says"), code
    assert [by_code[code].level for code in alone] == ["void"] * 5
    assert "token-counts-guessed" not in by_code, "its limit ended every answer"
    assert "says" in by_code["answers-differ"].backends
    assert by_code["too-few"].backends == list(run_view.backends)
    assert leading_metric(list(by_code.values()), "latency", "a", "short").metric == "tokens_per_s"
    assert leading_metric(list(by_code.values()), "latency", "a", "says").metric == "latency"
    unequal = [c for c in judged(run_view) if c.code == "output-tokens"]
    assert not any(c.between("counts", name) for c in unequal for name in ("a", "says"))
    assert first_by_code(from_history(plan)) == by_code


def answer(tokens: int, reason: str = "length") -> list[Step]:
    """An answer in one arrival with this many tokens by its usage, and this finish reason."""
    end = {"choices": [{"delta": {}, "finish_reason": reason}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": tokens}}
    last_events = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in (end, usage))
    return [SSE_HEAD, token("Hi " * tokens), last_events, b"data: [DONE]\n\n", CLOSE]


async def test_different_answer_lengths_in_some_rounds() -> None:
    """Medians are alike, and so are means within 10%."""
    lengths = {"a": (300, 300, 11, 300, 11, 300), "b": (300, 300, 96, 300, 22, 300)}
    async with AsyncExitStack() as stack:
        backends = []
        for name, counts in lengths.items():
            server = await stack.enter_async_context(scripted([b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]))
            server.by_path[b"POST"] = [answer(n, "length" if n == 300 else "stop") for n in counts]
            backends.append(Backend(name=name, url=server.url))
        plan = plan_of(*backends, iterations=6, warmup=0, max_tokens=300, full_length=False)
        async with engine_for(plan) as run:
            run_view = await run.until_done()
    for results in (judged(run_view), judged(from_history(plan))):
        (lengths_of,) = [c for c in results if c.code == "output-tokens"]
        assert (lengths_of.level, lengths_of.spoils) == ("void", ["latency"])
        assert lengths_of.text == "answers differ in length in 2 of 6 rounds: a 11, b 96 tokens in round 3"
    assert run_view.verdict().line.startswith("not comparable by latency: answers differ in length in 2 of 6 rounds")


@pytest.mark.slow
async def test_different_stop_reasons_with_equal_lengths_are_a_note() -> None:
    async with scripted() as one, scripted() as two:
        for server, reason in ((one, "length"), (two, "stop")):
            server.by_path = {b"GET": [[b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]], b"POST": [answer(8, reason)]}
        plan = plan_of(Backend(name="a", url=one.url), Backend(name="b", url=two.url), max_tokens=8)
        async with engine_for(plan) as run:
            by_code = {c.code: c for c in judged(await run.until_done())}
    assert (by_code["stop-reason"].level, by_code["stop-reason"].spoils) == ("note", [])
    assert by_code["stop-reason"].text.endswith("after the same number of tokens: a length 3x, b stop 3x")
    assert leading_metric(list(by_code.values())).metric == "latency"


@pytest.mark.slow
async def test_several_tokens_per_arrival() -> None:
    chunks = truth_backend("chunks", options={"truth": {"per_chunk": 2}}, **SLOWLY)
    plan = plan_of(truth_backend("a", **SLOWLY), truth_backend("b", **SLOWLY), chunks, iterations=3, max_tokens=8)
    async with engine_for(plan) as run:
        run_view = await run.until_done()
    for results in (judged(run_view), judged(from_history(plan))):
        (pieces,) = [c for c in results if c.level == "void"]
        assert (pieces.code, pieces.spoils) == ("tokens-per-arrival", ["itl"])
        assert [set(side) for side in pieces.sides] == [{"a", "b"}, {"chunks"}]
        # On a busy machine two arrivals are read as one now and then.
        assert re.search(r", chunks 2(\.\d+)?; ITL is the gap between arrivals", pieces.text)
        assert leading_metric(results, "itl", "a", "chunks").metric == "tokens_per_s"
        assert leading_metric(results, "latency", "a", "chunks").metric == "latency"


@pytest.mark.slow
async def test_lengths_are_compared_by_text_without_token_counts() -> None:
    silent = {"a": [], "same": [], "short": ["--tokens", "5"]}
    backends = [truth_backend(name, arguments=["--no-usage", *more]) for name, more in silent.items()]
    chunks = truth_backend("chunks", arguments=["--no-usage"], options={"truth": {"per_chunk": 2}})
    plan = plan_of(*backends, chunks, truth_backend("counts"), iterations=2, max_tokens=8)
    async with engine_for(plan) as run:
        results = judged(await run.until_done())
    lengths = [c for c in results if c.code == "output-tokens"]
    assert {(c.level, *c.sides[0], *c.sides[1]) for c in lengths} == {
        ("void", "a", "same", "chunks", "counts", "short")
    }
    assert lengths[0].text.startswith("answers differ in length: a 24, same 24, short 15")
    assert leading_metric(results, "latency", "a", "short").metric is None
    assert leading_metric(results, "latency", "counts", "chunks").metric == "latency"


@pytest.mark.slow
async def test_too_few_rounds_for_three_backends() -> None:
    plan = plan_of(*(truth_backend(name, **SLOWLY) for name in "abc"), iterations=5, warmup=0)
    async with engine_for(plan) as run:
        (few,) = judged(await run.until_done())
    assert (few.code, few.level, few.backends) == ("too-few", "warning", ["a", "b", "c"])
    assert few.text == "too few samples for an interval: a n = 5, b n = 5, c n = 5"


async def test_failed_and_refused_requests() -> None:
    later: list[Step] = [b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", CLOSE]
    good: list[Step] = [SSE_HEAD, token("Hi"), FINISH, b"data: [DONE]\n\n", CLOSE]
    torn: list[Step] = [SSE_HEAD, token("Hi"), CLOSE]
    async with scripted([b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]) as server:
        server.by_path[b"POST"] = [later, good, torn, good]
        plan = plan_of(Backend(name="a", url=server.url), iterations=6, warmup=0)
        async with engine_for(plan) as run:
            by_code = codes(await run.until_done())
    assert {"failed-iterations", "refused", "token-counts-guessed"} <= by_code.keys()


async def test_context_size_and_missing_usage() -> None:
    good: list[Step] = [SSE_HEAD, token("Hi"), FINISH, b"data: [DONE]\n\n", CLOSE]
    async with scripted(good) as one, scripted(good) as two:
        for server, room in ((one, 2048), (two, 4)):
            body = b'{"data":[{"id":"m","max_model_len":%d}]}' % room
            server.by_path[b"GET"] = [[b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)]]
        plan = plan_of(Backend(name="a", url=one.url), Backend(name="b", url=two.url), max_tokens=8)
        async with engine_for(plan) as run:
            run_view = await run.until_done()
            by_code = {c.code: c for c in judged(run_view)}
    assert [backend_view.state.context_tokens for backend_view in run_view.backends.values()] == [2048, 4]
    assert by_code["context-length"].text.endswith("b 4 of 8")
    assert by_code["token-counts-guessed"].backends == ["a", "b"]


@pytest.mark.slow
async def test_rerun_of_one_backend_is_not_interleaved() -> None:
    plan = plan_of(truth_backend("a", **SLOWLY), truth_backend("b", **SLOWLY), iterations=6)
    async with engine_for(plan) as run:
        await run.until_done()
        await run.client.send(Rerun(backend="a"))
        run_view = await run.until(lambda b: b.run.phase == "done" and b.backends["a"].state.attempt == 2)
        assert codes(run_view) == {"not-interleaved": ["a", "b"], "reruns": ["a"]}
        await run.client.send(Rerun())
        run_view = await run.until(lambda b: b.run.phase == "done" and b.backends["a"].state.attempt == 3)
        # Attempt 3 is judged at 99.5%, for which 6 rounds are too few.
        assert codes(run_view) == {"reruns": ["a", "b"], "too-few": ["a", "b"]}


@pytest.mark.slow
async def test_sequential_order_is_not_interleaved() -> None:
    plan = plan_of(
        truth_backend("a", **SLOWLY), truth_backend("b", **SLOWLY), iterations=6, warmup=0, order="sequential"
    )
    async with engine_for(plan) as run:
        assert codes(await run.until_done()) == {"sequential-order": ["a", "b"]}


@pytest.mark.slow
async def test_restarted_server_is_reported() -> None:
    plan = plan_of(truth_backend("a"), iterations=30, warmup=0, restarts=1)
    async with engine_for(plan) as run:
        await run.until(lambda run_view: run_view.backends["a"].finished == 2)
        for process in process_tree(run.engine.pid):
            if "llmtui.accuracy.truth_server" in command_line(process) and "--" not in command_line(process):
                process.kill()
        run_view = await run.until_done()
        assert "resumed" in codes(run_view)
        assert {i.part for i in run_view.backends["a"].current if i.ok} == {1, 2}


@pytest.mark.slow
async def test_resumed_run_is_reported() -> None:
    plan = plan_of(truth_backend("a"), iterations=8, warmup=0, on_disconnect="finish")
    run = await started(plan, resume=False)
    try:
        await run.until(lambda run_view: run_view.backends["a"].finished == 3)
        tree = process_tree(run.engine.pid)
        os.kill(run.engine.pid, signal.SIGKILL)
        await run.client.close()
        await run.engine.wait()
        assert_gone(tree)
        run = await started(plan, resume=True)
        run_view = await run.until_done()
        await ended(run)
    finally:
        run.engine.kill()
    assert codes(run_view) == codes(from_history(plan)) == {"resumed": ["a"]}


def test_conditions_are_parsed_from_proc_and_sys(tmp_path: Path) -> None:
    def write(steal: int, pages: int, hot: int) -> Counters:
        (tmp_path / "stat").write_text(f"cpu  1 2 3 4 5 6 7 {steal} 0 0\ncpu0 1 2\n")
        (tmp_path / "vmstat").write_text(f"pgpgin 5\npswpin {pages}\npswpout 1\n")
        for cpu in ("cpu0", "cpu1"):
            (tmp_path / cpu / "thermal_throttle").mkdir(parents=True, exist_ok=True)
            (tmp_path / cpu / "thermal_throttle" / "core_throttle_count").write_text(f"{hot}\n")
        return sample(tmp_path, tmp_path, tmp_path)

    before, after = write(100, 10, 4), write(150, 17, 5)
    assert since(before._replace(at_ns=0), after._replace(at_ns=10**9)) == Changes(steal=0.5, swapped=7, throttled=2)
    assert since(before._replace(at_ns=0), before._replace(at_ns=10**9)) == Changes()
    none = tmp_path / "none"
    nothing = sample(none, none, none)
    assert nothing[1:] == Counters(0)[1:]


def test_governors_are_listed_once(tmp_path: Path) -> None:
    assert governor(tmp_path) == ""
    for number, word in enumerate(("powersave", "performance", "powersave")):
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_governor").write_text(word + "\n")
    assert governor(tmp_path) == "performance, powersave"


@pytest.mark.parametrize(
    ("opened", "device"),
    [
        ("/dev/nvidia0", "gpu"),
        ("/dev/kfd", "gpu"),
        ("/dev/dri/renderD128", "gpu"),
        ("/dev/nvidiactl", "cpu"),
        ("", "cpu"),
    ],
)
def test_device_follows_from_open_files(opened: str, device: str, tmp_path: Path) -> None:
    me = os.getpid()
    for process in (psutil.Process(me), *psutil.Process(me).children(recursive=True)):
        (tmp_path / str(process.pid) / "fd").mkdir(parents=True)
    (tmp_path / str(me) / "fd" / "3").symlink_to("/dev/null")
    if opened:
        (tmp_path / str(me) / "fd" / "4").symlink_to(opened)
    assert device_of(me, tmp_path) == device
    assert device_of(me, tmp_path / "none") == ""
