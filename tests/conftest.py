"""What holds for all tests: where LLMTUI_TEST_ALL is set, a test of a real engine that is skipped has failed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """A script's background command has SIGINT ignored, and so would all that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def history_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the user's history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMTUI_STORE", str(tmp_path_factory.mktemp("history") / "history.db"))
        yield


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder of the test's own whose path leaves room for a socket's, as `tmp_path` may not."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a `real` test into a failure that names the reason."""
    report = yield
    if report.skipped and os.environ.get("LLMTUI_TEST_ALL") and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"not to be skipped here: {report.longrepr}"
    return report
