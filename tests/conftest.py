"""Fixtures of all tests. With LLMTUI_TEST_ALL set, a skipped test of a real engine fails."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.examples import examples

# The tests start hundreds of processes. Without compiled files each of them compiles the package again, which takes
# more than all else that it does. And each worker of xdist would rewrite all test files.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    """Restore SIGINT: a shell ignores it in background commands, and processes of the tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give each worker of xdist tests that follow one another: not all of them start the servers of one module."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "worksteal"


def set_examples() -> None:
    """Let Hypothesis try fewer examples than its 100 where a test does not say how many, and as long as they take."""
    if "hypothesis" in sys.modules:
        from hypothesis import settings

        settings.register_profile("llmtui", settings.default, max_examples=examples(100), deadline=None)
        settings.load_profile("llmtui")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage meanwhile, nor later among what stays: going through all tests once takes half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        set_examples()


@pytest.fixture(autouse=True, scope="session")
def history_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests out of the user's history, and away from the meters of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMTUI_STORE", str(tmp_path_factory.mktemp("history") / "history.db"))
        # On a machine with meters of power each run would read them, idle for three seconds first.
        patch.setenv("LLMTUI_POWER", "off")
        yield


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary folder with a path short enough for a socket, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a `real` test into a failure with the reason."""
    report = yield
    if report.skipped and os.environ.get("LLMTUI_TEST_ALL") and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"must not be skipped: {report.longrepr}"
    return report
