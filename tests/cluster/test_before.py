"""What is said before a run: workers that cannot be used, other versions, certificates that are wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import llmtui
from llmtui.cluster import line, remote_worker
from llmtui.cluster.versions import mismatches
from llmtui.model import BackendChanged, Workers
from tests.cluster.helpers import Dask, certificates, needs_dask, watched
from tests.engine.helpers import engine_for, load_of, truth_backend
from tests.load.helpers import slice_for, truth

OURS = {"python": "3.11.9.final.0", "distributed": "2026.8.0", "numpy": "2.0"}
#: What takes the place of llmtui in the folder of a worker: nothing, and another version.
NO_LLMTUI = 'raise ModuleNotFoundError("No module named \'llmtui\'", name="llmtui")'
OLD_LLMTUI = f'__version__ = "0.0.1"\n__path__ = {list(llmtui.__path__)!r}\n'


@pytest.mark.parametrize(
    ("theirs", "sentences"),
    [
        ({"worker one": OURS, "worker two": {}, "worker three": OURS | {"numpy": "1.0"}}, []),
        ({"worker one": OURS | {"python": "3.11.2.final.0"}}, []),
        (
            {"the scheduler": OURS, "worker one": {"python": "3.12.1.final.0", "distributed": "2026.7.0"}},
            ["worker one has Python 3.12.1 and distributed 2026.7.0, and here it is Python 3.11.9 and distributed "
             "2026.8.0; install the same versions everywhere"],
        ),
        (
            {name: {"distributed": "1.0"} for name in ("the scheduler", "worker one", "worker two")},
            ["the scheduler, worker one, worker two have distributed 1.0, and here it is distributed 2026.8.0; "
             "install the same versions everywhere"],
        ),
        (
            {f"worker {n}": {"python": "3.13.0.final.0"} for n in range(9)},
            ["9 machines have Python 3.13.0, and here it is Python 3.11.9; install the same versions everywhere"],
        ),
    ],
)  # fmt: skip
def test_other_versions_are_named_in_one_sentence(theirs: dict[str, dict[str, str]], sentences: list[str]) -> None:
    assert mismatches(OURS, theirs) == sentences


@needs_dask
@pytest.mark.slow
async def test_workers_without_llmtui_or_with_another_version_are_named_and_take_no_part(
    cluster: Dask, tmp_path: Path
) -> None:
    more = []
    for name, text in (("none", NO_LLMTUI), ("old", OLD_LLMTUI)):
        (tmp_path / name / "llmtui").mkdir(parents=True)
        (tmp_path / name / "llmtui" / "__init__.py").write_text(text)
        more.append(cluster.start_worker({"PYTHONPATH": str(tmp_path / name)}))
    try:
        cluster.wait_registered()
        async with truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as of:
            assert await of.crew.begin() is None
            lost = sorted(note.partition(" is lost: ")[2] for note in of.notes)
            version = llmtui.__version__
            assert lost[0].startswith(f"llmtui 0.0.1 is installed there and {version} here; install the same version")
            assert lost[1].startswith("llmtui cannot be imported there (No module named 'llmtui'); install llmtui[clu")
            assert all(note.endswith("; the run goes on with 2 of 4") for note in of.notes) and len(lost) == 2
            done = await of.run_whole(slice_for(url, streams=4, requests=8))
            assert done.error is None and len(done.by_worker) == 2
            assert all(worker.poll() is None for worker in more), "no worker of somebody else is ended"
    finally:
        for worker in more:
            worker.kill()
            worker.wait()


@needs_dask
@pytest.mark.slow
async def test_a_second_run_on_the_same_workers_is_told_that_their_threads_are_taken(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(cluster) as second, watched(cluster) as first:
        assert await first.crew.begin() is None and first.notes == []
        monkeypatch.setattr(remote_worker, "START_S", 1.0)
        failure = await second.crew.begin()
        assert failure is not None and failure.message == (
            f"no worker of {cluster.address} is left: it did not start within 1 s: another run or task uses its thread"
        )
    monkeypatch.undo()
    async with watched(cluster) as third:
        assert await third.crew.begin() is None and third.notes == []


@needs_dask
@pytest.mark.slow
async def test_certificates_that_are_missing_damaged_or_of_another_authority_are_named(
    cluster: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "CONNECT_S", 5.0)
    others = certificates(tmp_path)
    ours = cluster.environ
    said = {}
    for what, environ in {
        "other": others,
        "missing": ours | {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(tmp_path / "none.pem")},
        "damaged": ours | {"DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(tmp_path / "key.pem")},
    }.items():
        monkeypatch.setattr(cluster, "environ", environ)
        async with watched(cluster) as of:
            failure = await of.crew.begin()
        assert failure is not None and failure.kind == "missing"
        said[what] = failure.message.replace(cluster.address, "AT")
    assert said["other"].startswith("cannot reach the scheduler AT: its certificate, or ours, is not accepted")
    assert said["missing"].startswith("AT: DASK_DISTRIBUTED__COMM__TLS__CA_FILE names no usable certificate: ")
    assert "No such file" in said["missing"]
    key = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT or DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
    assert said["damaged"].startswith(f"AT: {key} names no usable certificate: ")


@needs_dask
async def test_without_a_cluster_all_backends_fail_before_any_server_is_launched() -> None:
    plan = load_of(truth_backend("a"), truth_backend("b"), concurrency=[2], requests=4)
    plan = msgspec.structs.replace(plan, workers=Workers(scheduler="tls://127.0.0.1:9"))
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        for view in run_view.backends.values():
            assert view.state.state == "missing" and view.turns == []
            assert view.state.failure is not None
            assert view.state.failure.message.startswith("tls://127.0.0.1:9: no certificates for TLS; set DASK_")
        assert "loading" not in [event.backend.state for event in run.events if isinstance(event, BackendChanged)]
