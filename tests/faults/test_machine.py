"""The machine's faults, with real processes, files and sockets: what the user sees, and what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from llmtui.link import server as hubs
from llmtui.link.client import Client
from llmtui.link.process import EngineError, live_runs, runtime_folder
from llmtui.link.server import LinkServer
from llmtui.model import Backend, Hello, Iteration, IterationDone, Machine, Note, Plan, RunState
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun
from tests.engine.helpers import DEADLINE_S, Followed, engine_for, plan_of, truth_backend
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Scripted, Step, scripted, token

NOBODY = 54321
IS_ROOT = os.geteuid() == 0
NOT_KEPT = "this run is not kept in the history, which is tried again until it ends: "
WRITTEN_AGAIN = "the history is written again, and nothing of this run is missing in it"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run and no history of anybody else is seen here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


@contextlib.asynccontextmanager
async def server(*gates: asyncio.Event) -> AsyncIterator[Scripted]:
    """Answers each request with two tokens; of the n-th the second comes when the n-th gate is open."""
    nothing: list[Step] = [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(*[nothing] * 50) as served:
        end: list[Step] = [token("b"), FINISH, CLOSE]
        served.by_path[b"POST"] = [*([SSE_HEAD, token("a"), gate, *end] for gate in gates), [SSE_HEAD, *end]]
        yield served


def plan_for(served: Scripted, iterations: int, **config: object) -> Plan:
    backend = Backend(name="a", url=served.url, model="m")
    return plan_of(backend, iterations=iterations, warmup=0, **config)


def notes_of(run: Followed) -> list[str]:
    return [event.text for event in run.events if isinstance(event, Note)]


async def seen(holds: Callable[[], bool]) -> None:
    """Look until it holds, for what no event tells; fails when a deadline passes before."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def asked(served: Scripted, count: int) -> None:
    """The server has so many questions."""
    await seen(lambda: sum(request.startswith(b"POST") for request in served.requests) >= count)


def stored(path: Path, run: Followed) -> StoredRun:
    store, notes = open_store(path)
    with store:
        assert notes == []
        return store.load(run.run_view.plan.run)


# --- The disk. ---


class Room:
    """A folder whose room can be taken and given back, for an engine."""

    def __init__(self, folder: Path, *, limit: bool) -> None:
        self.folder = folder
        self._limit = limit
        self._before = (0, 0)

    def take(self, engine: int) -> None:
        if self._limit:
            # No file that it writes may grow any more.
            self._before = resource.prlimit(engine, resource.RLIMIT_FSIZE)
            resource.prlimit(engine, resource.RLIMIT_FSIZE, (0, self._before[1]))
            return
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"\0" * 4096)

    def give(self, engine: int) -> None:
        if self._limit:
            resource.prlimit(engine, resource.RLIMIT_FSIZE, self._before)
        else:
            (self.folder / "ballast").unlink()


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small disk of its own; skips where this user may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "llmtui-test", str(folder)]
    if not IS_ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=["small disk", "file size limit"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    if request.param == "small disk":
        with mounted(tmp_path / "disk", "size=1m") as folder:
            yield Room(folder, limit=False)
    else:
        yield Room(tmp_path, limit=True)


@pytest.mark.parametrize("room_comes_back", [True, False])
async def test_a_full_disk(room: Room, room_comes_back: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = room.folder / "history.db"
    monkeypatch.setenv("LLMTUI_STORE", str(file))
    gates = [asyncio.Event() for _ in range(4)]
    async with server(*gates) as served, engine_for(plan_for(served, 4)) as run:
        gates[0].set()
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 1)
        room.take(run.engine.pid)
        gates[1].set()
        gates[2].set()
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 3)
        (told,) = notes_of(run)
        assert told.startswith(NOT_KEPT) and "full" in told
        index = next(n for n, event in enumerate(run.events) if isinstance(event, Note))
        assert sum(isinstance(event, IterationDone) for event in run.events[:index]) == 1, "told before the iteration"
        async with await Client.connect(run.engine.socket) as late:
            hello = await anext(late.events())
        assert isinstance(hello, Hello)
        assert [note.text for note in hello.notes] == [told]
        if room_comes_back:
            room.give(run.engine.pid)
        gates[3].set()
        run_view = await run.until_done()
        assert run_view.backends["a"].summary.n == 4
        assert notes_of(run) == ([told, WRITTEN_AGAIN] if room_comes_back else [told])
    if not room_comes_back and file.parent != Path(os.environ["XDG_RUNTIME_DIR"]):
        (file.parent / "ballast").unlink()
    kept = stored(file, run)
    whole = run_view.backends["a"].iterations
    assert kept.iterations == (whole if room_comes_back else whole[:1])
    if room_comes_back:
        assert kept.state == "done"


# --- The history of another. ---

LOCK = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(1, flush=True); input()"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process has the history to itself."""
    command = [sys.executable, "-c", LOCK, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        try:
            yield
        finally:
            other.kill()


@pytest.mark.parametrize("since", [pytest.param("before the run", marks=pytest.mark.slow), "in its midst"])
async def test_a_locked_history(since: str, tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    open_store(file)[0].close()
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        if since == "before the run":
            lock.enter_context(locked(file))
        async with server(gate) as served, engine_for(plan_for(served, 20)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            if since == "in its midst":
                lock.enter_context(locked(file))
            began = time.monotonic()
            gate.set()
            run_view = await run.until_done()
            # Waited for once, and not inside any iteration.
            assert time.monotonic() - began < 2.0
            assert all(i.latency_s is not None and i.latency_s < 0.25 for i in run_view.backends["a"].iterations[1:])
            # Told only of a lock that lasts; while the run rests the history is tried again.
            await run.until(lambda _: any(told.startswith(NOT_KEPT) for told in notes_of(run)))
            assert f"the history {file} is " in notes_of(run)[0]
            lock.close()
            await run.until(lambda run_view: run_view.notes[-1].text == WRITTEN_AGAIN)
            kept = stored(file, run)
            assert kept.state == "done"
            assert kept.iterations == run_view.backends["a"].iterations


@pytest.mark.slow
async def test_a_lock_that_does_not_last_is_not_told_of(tmp_path: Path) -> None:
    """As that of another run which writes to the same history at the same moment."""
    file = tmp_path / "history.db"
    open_store(file)[0].close()
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        async with server(gate) as served, engine_for(plan_for(served, 20)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            lock.enter_context(locked(file))
            gate.set()
            await run.until(lambda run_view: len(run_view.backends["a"].measured) >= 3)
            lock.close()
            run_view = await run.until_done()
            # What could not be written meanwhile is written while the run rests.
            await seen(lambda: stored(file, run).iterations == run_view.backends["a"].iterations)
            assert notes_of(run) == []


async def test_a_history_that_is_free_again_as_the_engine_ends(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    gate = asyncio.Event()
    with contextlib.ExitStack() as lock:
        async with server(gate) as served, engine_for(plan_for(served, 3)) as run:
            await run.until(lambda run_view: run_view.backends["a"].state.state == "running")
            lock.enter_context(locked(file))
            gate.set()
            run_view = await run.until_done()
            assert stored(file, run).iterations == []
            # The engine is left now, and ends.
            asyncio.get_running_loop().call_later(0.5, lock.close)
    kept = stored(file, run)
    assert kept.state == "done"
    assert kept.iterations == run_view.backends["a"].iterations


@pytest.mark.slow
async def test_two_runs_at_once(tmp_path: Path) -> None:
    plans = [plan_of(truth_backend("a"), iterations=10) for _ in range(2)]
    async with engine_for(plans[0]) as one, engine_for(plans[1]) as other:
        run_views = await asyncio.gather(one.until_done(), other.until_done())
        assert {run.run for run in live_runs()} == {plan.run for plan in plans}
        assert len({run_view.backends["a"].state.url for run_view in run_views}) == 2
    for run, run_view in zip((one, other), run_views, strict=True):
        assert stored(tmp_path / "history.db", run).iterations == run_view.backends["a"].iterations
        assert run_view.backends["a"].summary.n == 10


# --- Homes. ---


def config_for(served: Scripted, folder: Path) -> str:
    file = folder / "race.toml"
    file.write_text(f"[run]\niterations = 2\nwarmup = 0\n[[backend]]\nname = 'a'\nurl = '{served.url}'\nmodel = 'm'\n")
    return str(file)


async def llmtui_run(config: str, *before: str, **environment: str) -> tuple[int, str, str]:
    """`llmtui run` where no file was named for the history."""
    dropped = ("HOME", "LLMTUI_STORE", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    child = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-m", "llmtui", "run", config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if k not in dropped}, **environment},
    )
    out, err = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder where nobody may write: root only keeps to that on a disk that is read-only."""
    if IS_ROOT:
        with mounted(tmp_path / "home", "size=1m,ro") as folder:
            yield folder
    else:
        (tmp_path / "home").mkdir(mode=0o500)
        yield tmp_path / "home"


async def test_a_read_only_home(read_only: Path, tmp_path: Path) -> None:
    async with server() as served:
        code, out, err = await llmtui_run(config_for(served, tmp_path), HOME=str(read_only))
    assert code == 0, err
    assert out.count("TTFT") >= 2
    file = read_only / ".local/share/llmtui/history.db"
    assert f"{NOT_KEPT}no permission to write to the history {file}; use another file with --store" in err
    assert "Traceback" not in err


@pytest.fixture
def homeless() -> list[str]:
    """What to put before a command to run it as a user number of which the system knows no home."""
    command = ["unshare", "--user", f"--map-user={NOBODY}"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no name spaces of users here")
    return command


async def test_a_user_without_a_home(homeless: list[str], tmp_path: Path) -> None:
    async with server() as served:
        code, out, err = await llmtui_run(config_for(served, tmp_path), *homeless)
    assert code == 0, err
    assert out.count("TTFT") >= 2
    assert f"{NOT_KEPT}there is no home folder for the history; set HOME, or name a file with --store" in err
    assert "Traceback" not in err


# --- Time. ---


async def test_a_step_of_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = tmp_path / "stepped"
    monkeypatch.setenv("LLMTUI_STEPPED", str(stepped))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("stepped")), prepend=os.pathsep)
    gates = [asyncio.Event() for _ in range(5)]
    async with server(*gates) as served, engine_for(plan_for(served, 5)) as run:
        for number, gate in enumerate(gates, start=1):
            if step := {2: signal.SIGUSR1, 4: signal.SIGUSR2}.get(number):
                await asked(served, number)
                os.kill(run.engine.pid, step)
                await seen(stepped.exists)
                stepped.unlink()
            gate.set()
            await run.until(lambda run_view, n=number: len(run_view.backends["a"].iterations) == n)  # type: ignore[misc]
        run_view = await run.until_done()
    for iteration in run_view.backends["a"].iterations:
        if iteration.iteration in (2, 4) and iteration.error is not None:
            assert "clock was set during this iteration" in iteration.error.message
        else:
            assert iteration.latency_s is not None and 0 < iteration.latency_s < 10
    assert run_view.backends["a"].summary.n >= 3
    assert 0 < run_view.run.elapsed_s < 60


async def stopped_in_the_second_of_three() -> list[Iteration]:
    """An engine stopped for 0.3 s in the midst of an iteration; returns what it told of all of them."""
    gates = [asyncio.Event() for _ in range(2)]
    async with server(*gates) as served, engine_for(plan_for(served, 3)) as run:
        gates[0].set()
        await asked(served, 2)
        await run.until(lambda run_view: len(run_view.backends["a"].iterations) == 1)
        engine = psutil.Process(run.engine.pid)
        waiting = asyncio.create_task(run.until(lambda run_view: len(run_view.backends["a"].iterations) == 2))
        engine.suspend()
        try:
            gates[1].set()
            assert [r.run for r in live_runs()] == [run.run_view.plan.run]
            # Nothing is told meanwhile, and the line is not lost.
            assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
        finally:
            engine.resume()
        await waiting
        run_view = await run.until_done()
        return list(run_view.backends["a"].iterations)


async def test_a_stopped_engine_goes_on() -> None:
    first, _, last = await stopped_in_the_second_of_three()
    assert first.ok and last.ok


async def test_an_iteration_in_which_the_engine_was_stopped_is_no_sample() -> None:
    _, hit, _ = await stopped_in_the_second_of_three()
    assert hit.error is not None
    assert "llmtui itself was stopped for 0." in hit.error.message


@contextlib.contextmanager
def standing(what: str, core: int | None = None) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.standing", what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if core is not None:
            os.sched_setaffinity(child.pid, {core})
        assert child.stdout.readline() == "on\n"
        try:
            yield child
        finally:
            child.kill()


def stood_s(child: subprocess.Popen[str]) -> float:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def test_time_that_llmtui_stood_still_is_noticed() -> None:
    with standing("watch") as child:
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        child.send_signal(signal.SIGCONT)
        assert 0.25 < stood_s(child) < 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform does not tell what starves a process")
def test_a_starved_process_did_not_stand_still() -> None:
    core = min(os.sched_getaffinity(0))
    with contextlib.ExitStack() as all_of_them:
        child = all_of_them.enter_context(standing("watch", core))
        for _ in range(3):
            all_of_them.enter_context(standing("burn", core))
        time.sleep(0.3)
        assert stood_s(child) == 0.0


# --- Viewers. ---


async def test_a_viewer_that_never_reads_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "DROP_BYTES", 2_000_000)
    hello = Hello(plan=plan_of(), machine=Machine(), run=RunState(), backends=[])
    came: list[bool] = []
    link = LinkServer(tmp_path / "engine.sock", lambda: hello, lambda _: None, came.append)
    await link.open()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(tmp_path / "engine.sock"))
        async with await Client.connect(tmp_path / "engine.sock") as reader, asyncio.timeout(10):
            events = reader.events()
            assert await anext(events) == hello
            assert len(link.pids) == 2
            told = [
                IterationDone(
                    iteration=Iteration(
                        run="r",
                        backend="a",
                        attempt=1,
                        iteration=n,
                        phase="measured",
                        started_utc="",
                        text="x" * 100_000,
                    )
                )
                for n in range(50)
            ]
            for event in told:
                link.emit(event)
                assert await anext(events) == event
            await seen(lambda: len(link.pids) == 1)
            mute.settimeout(5)
            with contextlib.suppress(ConnectionError):
                while mute.recv(1_000_000):
                    pass
    await link.close()
    assert came[-1] is False


# --- Places. ---


@pytest.fixture
def places(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two folders where a run's private folder may be."""
    found = []
    for name in ("x", "t"):
        (short_path / name).mkdir()
        found.append(short_path / name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(found[0]))
    monkeypatch.setattr(tempfile, "tempdir", str(found[1]))
    return found[0] / "llmtui", found[1] / f"llmtui-{os.getuid()}"


def _link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def _foreign(folder: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root may give a folder away")
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)


def _file(folder: Path) -> None:
    folder.touch()


@pytest.mark.parametrize("spoil", [_link, _foreign, _file])
def test_a_runtime_folder_that_is_not_ours(places: tuple[Path, Path], spoil: object) -> None:
    assert callable(spoil)
    first, second = places
    spoil(first)
    assert runtime_folder() == second, "the next place is taken"
    second.rmdir()
    spoil(second)
    with pytest.raises(EngineError, match=r"is not a folder of this user|File exists") as error:
        runtime_folder()
    assert "set XDG_RUNTIME_DIR to a folder of yours" in str(error.value)


def test_a_runtime_folder_open_to_all_is_closed(places: tuple[Path, Path]) -> None:
    places[0].mkdir()
    places[0].chmod(0o777)
    assert runtime_folder() == places[0]
    assert places[0].stat().st_mode & 0o777 == 0o700


def test_a_socket_path_that_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    config = tmp_path / "race.toml"
    config.write_text("[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n")
    done = subprocess.run(
        [sys.executable, "-m", "llmtui", "run", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(deep), "TMPDIR": str(deep)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("llmtui: no private folder for the run: ")
    assert done.stderr.endswith("the path is too long for a socket; set XDG_RUNTIME_DIR to a folder of yours\n")


async def test_a_stale_socket(tmp_path: Path) -> None:
    stale = runtime_folder() / "0123abcd" / "engine.sock"
    stale.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    assert stale.exists()
    assert live_runs() == []
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(stale)
    async with server() as served, engine_for(plan_for(served, 1)) as run:
        await run.until_done()
        assert [r.run for r in live_runs()] == [run.run_view.plan.run]


@contextlib.contextmanager
def listening(path: Path, user: int) -> Iterator[None]:
    """A process of another user listens at `path`. Forked: that user need not be able to read this Python."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(user)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            os.write(told, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"1"
        yield
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def test_an_engine_of_another_user_is_not_talked_to() -> None:
    if not IS_ROOT:
        pytest.skip("only root may start a process of another user")
    with tempfile.TemporaryDirectory(prefix="llmtui-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        path = Path(folder) / "engine.sock"
        with listening(path, NOBODY), pytest.raises(PermissionError, match="another user listens there"):
            await Client.connect(path)


def test_nothing_is_left_of_these_tests() -> None:
    mine = psutil.Process().children(recursive=True)
    assert [p for p in mine if "llmtui" in " ".join(p.cmdline())] == []
