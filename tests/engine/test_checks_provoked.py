"""Fairness checks on real faults: each is provoked in a run of the engine, and its check names the backends at fault.

Each race also has backends without the fault, which the check must not name; `test_equal_servers_have_no_problems` has
only such. Checks on different work are tested in `test_checks_end_to_end.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from llmtui.model import Backend, RunConfig
from llmtui.runview.run import RunView
from llmtui.stats.checks import checks
from llmtui.stats.metrics import METRICS
from llmtui.store.accuracy_record import store_record
from tests.build import record_of
from tests.engine.helpers import from_history, plan_of, truth_backend
from tests.engine.provoked import FileMachine, Late, Meanwhile, answer, checks_by_code, raced, serving
from tests.scripted import CLOSE, Step, scripted

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

#: Durations of answers (ms) without a trend. They vary more than a busy machine adds.
EVEN_MS = (120, 90, 150, 105, 135, 160, 80, 115)
#: The same with neighbours swapped: each ratio is followed by its opposite, so that no backend wins by chance.
EXCHANGED_MS = (90, 120, 105, 150, 160, 135, 115, 80)


@pytest.fixture(autouse=True)
def own_folders(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide runs and accuracy records of other tests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    monkeypatch.setenv("LLMTUI_STORE", str(short_path / "history.db"))
    monkeypatch.setenv("LLMTUI_STATE", str(short_path / "state"))


#: Checks that depend on the order of samples, and the delay from which a busy machine may have caused them.
SAMPLE_CHECKS = {"cold-start", "drift", "outliers"}
DELAYED_S = 0.05


def longest_delay_s(run_view: RunView, waits_ms: Iterable[Iterable[float]]) -> float:
    """Return the longest time that an answer took beyond its wait (s): a busy machine stalls now and then."""
    backend_views = zip(run_view.backends.values(), waits_ms, strict=True)
    return max(
        (i.latency_s or 0.0) - ms / 1e3
        for backend_view, waits in backend_views
        for i, ms in zip(backend_view.measured, waits, strict=True)
    )


@pytest.fixture
def machine_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FileMachine]:
    """Create the machine that engines see from now on."""

    def make(governor: str = "performance", load: float = 0.1) -> FileMachine:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        return FileMachine(tmp_path, governor, load)

    return make


# --- No problems. ---


async def test_equal_servers_have_no_problems(machine_of: Callable[..., FileMachine]) -> None:
    """The same prompt, answers and waits, on a quiet machine: no check reports anything."""
    machine_of()
    first, second = ([answer(Late(ms)) for ms in waits] for waits in (EVEN_MS, EXCHANGED_MS))
    async with serving(*first) as one, serving(*second) as two:
        backends = [Backend(name="a", url=one.url), Backend(name="b", url=two.url)]
        plan = plan_of(*backends, iterations=len(EVEN_MS), warmup=0, max_tokens=2, fresh_prompt=False)
        run_view = await raced(plan)
    # Samples that do differ are reported, whatever delayed them.
    apart = SAMPLE_CHECKS if longest_delay_s(run_view, (EVEN_MS, EXCHANGED_MS)) > DELAYED_S else set()
    assert checks_by_code(run_view).keys() <= apart
    assert checks_by_code(from_history(plan)).keys() <= apart


# --- The samples. ---


@pytest.mark.slow
async def test_cold_start_drift_and_outliers() -> None:
    waits_ms = {
        "cold": (1600, *EVEN_MS[1:]),
        "strays": (*EVEN_MS[:5], 800, *EVEN_MS[6:]),
        "drifts": range(40, 360, 40),
    }
    async with AsyncExitStack() as stack:
        backends = []
        for name, waits in waits_ms.items():
            server = await stack.enter_async_context(serving(*(answer(Late(ms)) for ms in waits)))
            backends.append(Backend(name=name, url=server.url))
        run_view = await raced(plan_of(*backends, iterations=len(EVEN_MS), warmup=0, max_tokens=2))
    if (late_s := longest_delay_s(run_view, waits_ms.values())) > DELAYED_S:
        pytest.skip(f"this machine held up an answer for {late_s:.3f} s: the samples are not what was to be provoked")
    by_code = checks_by_code(run_view)
    assert (by_code["cold-start"].level, by_code["cold-start"].backends) == ("warning", ["cold"])
    assert by_code["cold-start"].text.startswith("the first measured iteration was cold: cold ")
    assert (by_code["drift"].level, by_code["drift"].backends) == ("warning", ["drifts"])
    assert by_code["drift"].text.startswith("latency drifted during the run: drifts +")
    assert (by_code["outliers"].level, by_code["outliers"].backends) == ("note", ["cold", "strays"])
    assert "strays 1 of 8 iterations (" in by_code["outliers"].text


@pytest.mark.slow
async def test_difference_within_the_own_error() -> None:
    fast, slow = (truth_backend(name, arguments=["--ttft-ms", ms]) for name, ms in (("fast", "20"), ("slow", "150")))
    plan = plan_of(fast, slow, iterations=8, warmup=0, max_tokens=1)
    run_view = await raced(plan)
    assert [c.decided for c in run_view.verdict().comparisons] == [True]
    assert "own-error" not in checks_by_code(run_view), "no accuracy record of this machine"
    store_record(record_of(run_view.machine, p99_s=0.2))
    check = checks_by_code(from_history(plan))["own-error"]
    assert (check.level, check.backends, check.between("fast", "slow")) == ("warning", ["fast", "slow"], True)
    assert (
        check.text.startswith("fast and slow differ by ") and "own error on this machine is up to 200 ms" in check.text
    )
    store_record(record_of(run_view.machine, p99_s=0.0002))
    assert "own-error" not in checks_by_code(from_history(plan))


# --- The answers. ---


@pytest.mark.parametrize(
    ("temperature", "code", "level", "how"),
    [
        (0.0, "temperature-ignored", "warning", "at temperature 0"),
        pytest.param(0.8, "seed-ignored", "note", "with one seed", marks=pytest.mark.slow),
    ],
)
async def test_varying_answers(temperature: float, code: str, level: str, how: str) -> None:
    async with serving(answer()) as same, serving(answer(), answer(word="No"), answer()) as varies:
        backends = [Backend(name="same", url=same.url), Backend(name="varies", url=varies.url)]
        plan = plan_of(*backends, warmup=0, max_tokens=2, temperature=temperature, fresh_prompt=False)
        by_code = checks_by_code(await raced(plan))
    assert (by_code[code].level, by_code[code].backends) == (level, ["varies"])
    assert by_code[code].text == f"different answers to one prompt {how}: varies 2 in 3"
    assert {"temperature-ignored", "seed-ignored"} & by_code.keys() == {code}


# --- What servers are. ---


@linux
async def test_different_weights_models_and_hosts() -> None:
    """`far` listens where only this machine can reach it, yet not where llmtui takes a server to be here."""
    async with (
        serving(answer(), host="127.0.0.2") as far,
        serving(answer(), model="other-7b-instruct") as other,
        serving(answer(), weights="Q4_K - Medium") as four,
    ):
        plan = plan_of(
            truth_backend("eight", weights="q8_0"),
            truth_backend("sixteen", weights="BFLOAT16"),
            truth_backend("silent"),
            *(Backend(name=name, url=server.url) for name, server in (("far", far), ("other", other), ("four", four))),
            iterations=1,
            warmup=0,
            max_tokens=2,
        )
        by_code = checks_by_code(await raced(plan))
    weights = by_code["weights"]
    assert (weights.level, weights.sides) == ("warning", [["eight", "far", "other"], ["sixteen"], ["four"]])
    assert weights.text.startswith("different weights: eight Q8_0, sixteen BF16, far Q8_0, other Q8_0, four Q4_K_M")
    unknown = by_code["weights-unknown"]
    assert (unknown.level, unknown.backends) == ("note", ["silent"])
    assert unknown.text.startswith("silent did not report the weights; others: eight Q8_0")
    model = by_code["model"]
    assert (model.level, model.spoils) == ("void", [key for key, metric in METRICS.items() if not metric.of_turn])
    assert model.between("eight", "other") and not model.between("eight", "far")
    assert model.text == "different models: other other-7b-instruct, the other 5: truth"
    host = by_code["host"]
    assert (host.level, host.sides) == ("warning", [["eight", "sixteen", "silent", "other", "four"], ["far"]])
    assert host.text == "different machines: far 127.0.0.2, the other 5: here"


#: A truth server that holds a file open while it serves, as one holds its GPU.
_HOLDS = (
    "import runpy, sys; held = open(sys.argv.pop(1)); "
    "runpy.run_module('llmtui.accuracy.truth_server', run_name='__main__')"
)


async def test_different_devices(machine_of: Callable[..., FileMachine], tmp_path: Path) -> None:
    machine_of()
    (tmp_path / "dev").mkdir()
    card = tmp_path / "dev" / "nvidia0"
    card.touch()
    fast = Backend(name="fast", launch=[sys.executable, "-c", _HOLDS, str(card), "--port", "{port}"])
    run_view = await raced(plan_of(truth_backend("a"), truth_backend("b"), fast, iterations=2, warmup=0))
    check = checks_by_code(run_view)["device"]
    assert (check.level, check.text) == ("warning", "different devices: a CPU, b CPU, fast GPU")
    assert not check.between("a", "b") and check.between("a", "fast")


def by_ollama(prefill_ms: float, *, counts_prompt: bool = True) -> list[Step]:
    """An answer in Ollama's own words: of its cache it says nothing, and counts the prompt in full, or not at all."""
    last = {
        "model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "length",
        "prompt_eval_duration": round(prefill_ms * 1e6), "eval_count": 2, "eval_duration": 20_000_000,
    }  # fmt: skip
    if counts_prompt:
        last["prompt_eval_count"] = 1034
    first = {"model": "m", "message": {"role": "assistant", "content": "Yes indeed"}, "done": False}
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in (first, last))
    return [b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n" + lines, CLOSE]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        pytest.param(
            [by_ollama(8478), by_ollama(28)], "cached 1034 tokens in 8.48 s, then in 28.0 ms", marks=pytest.mark.slow
        ),
        ([by_ollama(580), by_ollama(28, counts_prompt=False)], "cached 100%"),
    ],
    ids=["counted in full", "not counted"],
)
async def test_ollama_prefix_cache_follows_from_missing_fields(answers: list[list[Step]], says: str) -> None:
    async with scripted() as reads, scripted() as caches:
        for server, script in ((reads, [by_ollama(580)]), (caches, answers)):
            nothing = [[b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]]
            server.by_path = {b"POST /api/chat": script, b"GET": nothing, b"POST": nothing}
        backends = [
            Backend(name=name, url=server.url, protocol="ollama", model="m")
            for name, server in (("reads", reads), ("cached", caches))
        ]
        run_view = await raced(plan_of(*backends, iterations=3, warmup=1, max_tokens=2, fresh_prompt=False))
    check = checks_by_code(run_view)["prefix-cache"]
    assert says in check.text
    assert (check.level, check.between("cached", "reads")) == ("void", True)
    assert not run_view.verdict("ttft").comparable("cached", "reads")


@pytest.mark.slow
async def test_different_thread_counts() -> None:
    """Within one run all are given the same; two runs are laid side by side as `llmtui compare` does it."""
    plans = [
        plan_of(
            *(truth_backend(f"{name}{threads}", arguments=["--ttft-ms", "{threads}"]) for name in names),
            threads=threads,
            iterations=1,
            warmup=0,
        )
        for threads, names in ((1, "ab"), (2, "c"))
    ]
    run_views = await asyncio.gather(*(raced(plan) for plan in plans))
    assert not any("threads" in checks_by_code(run_view) for run_view in run_views)
    backend_views = [backend_view for run_view in run_views for backend_view in run_view.backends.values()]
    check = {check.code: check for check in checks(backend_views, RunConfig(), run_views[0].machine)}["threads"]
    assert (check.level, check.sides) == ("warning", [["a1", "b1"], ["c2"]])
    assert check.text == "different thread counts: a1 1, b1 1, c2 2"


#: Its helpers compute for 0.3 s a request, and end with it. Each is a session of its own: where the machine is
#: busy, Linux shares the cores out among sessions, and one alone may get too few for the fault to be there.
_BURNS = """
import http.server, subprocess, sys, time

if sys.argv[1] == "helper":
    while sys.stdin.readline():
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        print(flush=True)
    sys.exit()

me = [sys.executable, __file__, "helper"]
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
helpers = [subprocess.Popen(me, start_new_session=True, **pipes) for _ in range(8)]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        for helper in helpers:
            print(file=helper.stdin, flush=True)
        for helper in helpers:
            helper.stdout.readline()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"length"}]}\\n\\n')
        self.wfile.write(b"data: [DONE]\\n\\n")

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.mark.slow
@linux
async def test_different_numbers_of_busy_cores(tmp_path: Path) -> None:
    program = tmp_path / "burns.py"
    program.write_text(_BURNS)
    waits = ["--ttft-ms", "300"]
    burns = Backend(name="burns", launch=[sys.executable, str(program), "{port}"])
    two = [truth_backend(name, arguments=waits) for name in ("idle", "idle too")]
    check = checks_by_code(await raced(plan_of(*two, burns, iterations=1, warmup=0, max_tokens=1)))["cores-used"]
    assert (check.level, check.sides[1:]) == ("warning", [["burns"]])
    assert not check.between("idle", "idle too")
    assert check.text.startswith("different numbers of busy cores (median): idle 0.")


# --- The machine. ---


async def test_busy_machine_and_governor(machine_of: Callable[..., FileMachine]) -> None:
    machine = machine_of(governor="powersave", load=1000)
    async with serving(answer(Meanwhile(machine.strain))) as one, serving(answer()) as two:
        backends = [Backend(name="hit", url=one.url), Backend(name="spared", url=two.url)]
        run_view = await raced(plan_of(*backends, warmup=0, max_tokens=2))
    by_code = checks_by_code(run_view)
    assert by_code["governor"].level == "note"
    assert "busy-machine" not in by_code, "what was measured says more than the load before the run"
    assert "(governor powersave)" in by_code["governor"].text
    for code, text in {
        "steal": "the hypervisor took CPU away: hit 3 of 3 iterations",
        "swap": "the machine swapped: hit 21 pages in 3 of 3 iterations",
        "throttled": "heat throttled the processor: hit 3 of 3 iterations",
    }.items():
        assert (by_code[code].level, by_code[code].backends) == ("warning", ["hit"]), code
        assert by_code[code].text.startswith(text)


@contextmanager
def spinning() -> Iterator[None]:
    """A process for each core that does nothing but take CPU."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
@linux
async def test_cpu_of_other_processes() -> None:
    two = [truth_backend(name, arguments=["--ttft-ms", "200"]) for name in "ab"]
    with spinning():
        run_view = await raced(plan_of(*two, iterations=2, warmup=0, max_tokens=1))
    for backend_view in run_view.backends.values():
        assert [i.disturbed for i in backend_view.current] == [True, True]
    check = checks_by_code(run_view)["disturbed"]
    # On a machine that other tests use as well, only one of them may have found it full.
    assert check.level == "warning" and set(check.backends) <= {"a", "b"}
    assert check.text.startswith(f"other programs were busy: {check.backends[0]} 2 of 2 iterations, ")
