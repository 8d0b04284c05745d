"""What holds for all tests: where LLMTUI_TEST_ALL is set, a test of a real engine that is skipped has failed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a `real` test into a failure that names the reason."""
    report = yield
    if report.skipped and os.environ.get("LLMTUI_TEST_ALL") and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"not to be skipped here: {report.longrepr}"
    return report
