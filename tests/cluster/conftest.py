"""One Dask cluster for all tests of this folder: to start one takes longer than most of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.load import marks
from llmtui.servers.machine_identity import machine_identity
from llmtui.store import accuracy_record
from tests.cluster.helpers import KEY, KEYS, Dask
from tests.cluster.records import OWN_ERROR_S, record


@pytest.fixture(scope="package", autouse=True)
def own_marks() -> Iterator[None]:
    """The runs of these tests do not see other runs on this machine, such as those of other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(marks.VARIABLE, f"-{secrets.token_hex(4)}")
        yield


@pytest.fixture(scope="package")
def shared(own_marks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A cluster that nothing runs in yet. At the end none of its processes is left."""
    cluster = Dask(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="package")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The state folder of each of the two workers. On the machine of the first one llmtui accuracy has run."""
    folders = [tmp_path_factory.mktemp("state") for _ in KEYS]
    accuracy_record.store_record(record(machine_identity(), OWN_ERROR_S), folders[0] / "accuracy.json")
    return folders


@pytest.fixture
def cluster(shared: Dask, states: list[Path]) -> Dask:
    """The cluster with its scheduler and two workers, whatever tests before have ended."""
    shared.restore([{KEY: key, "LLMTUI_STATE": str(state)} for key, state in zip(KEYS, states, strict=True)])
    return shared
