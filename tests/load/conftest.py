"""One truth server and one worker process for all tests of a module: each start of them takes a third of a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from llmtui.load.process import WorkerProcess
from tests.load.helpers import STANDING

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a module one event loop: a worker process belongs to a loop."""
    for item in items:
        if item.path.parent == HERE and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def standing(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Keep both while the tests of a module run, if it uses them."""
    if not hasattr(request.module, "truth"):
        yield
        return
    STANDING.worker = WorkerProcess()
    try:
        with STANDING.truth_server():
            yield
    finally:
        await STANDING.worker.close()
        STANDING.worker = None
