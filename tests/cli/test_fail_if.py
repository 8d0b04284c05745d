"""`llmtui run --fail-if` end to end: exit codes, and one line on stderr for each limit that is broken or open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.in_process import llmtui

LLMTUI = [sys.executable, "-m", "llmtui"]
SERVER = f"launch = ['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}', '--itl-ms', '10'"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two truth servers: the first token of one comes after 5 ms, that of the other after 300 ms."""
    file = tmp_path / "config.toml"
    servers = "".join(
        f"[[backend]]\nname = '{name}'\n{SERVER}, '--ttft-ms', '{ttft_ms}']\nmodel = 'truth'\n"
        for name, ttft_ms in (("fast", 5), ("slow", 300))
    )
    file.write_text(f"[run]\niterations = 2\nwarmup = 0\nmax_tokens = 4\n{servers}")
    return file


def run(config: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code of a run, and the lines on stderr that are about limits."""
    store = str(config.parent / "h.db")
    command = [*LLMTUI, "run", str(config), "--store", store, "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, [line for line in done.stderr.splitlines() if "--fail-if" in line]


LOAD = ("--concurrency", "2", "--requests", "10")


@pytest.mark.slow
def test_a_load_that_breaks_a_limit_fails_with_a_line_for_each_backend(config: Path) -> None:
    limits = ("--fail-if", "attainment<0.95", "--fail-if", "requests_per_s<0.1", "--fail-if", "ttft@2>290ms")
    code, lines = run(config, *LOAD, "--slo", "ttft=0.25", *limits)
    assert code == 1
    assert lines[0] == (
        "llmtui: slow at 2 streams: attainment is 0% of 20 requests, less than 95% (--fail-if 'attainment<0.95')"
    )
    assert lines[1].startswith("llmtui: slow at 2 streams: TTFT is 0.") and lines[1].endswith(
        "(--fail-if 'ttft@2>290ms')"
    )
    assert len(lines) == 2


@pytest.mark.slow
def test_a_limit_that_cannot_be_told_is_not_kept(config: Path) -> None:
    """How many requests a turn of a duration has is not known before."""
    code, lines = run(config, "--concurrency", "1", "--duration", "0.3", "--fail-if", "ttft_p99>10")
    assert code == 3 and len(lines) == 2
    assert "is too small for TTFT p99: 299 are needed" in lines[0]


@pytest.mark.slow
def test_what_a_search_has_found(config: Path) -> None:
    """A server that keeps the objective at one stream and at two, and one that does not at all."""
    search = (
        "--search",
        "slo",
        "--concurrency",
        "1..2",
        "--slo",
        "ttft=0.25,share=0.5",
        "--requests",
        "30",
        "--iterations",
        "3",
    )
    code, lines = run(config, *search, "--fail-if", "most_streams<1", "--fail-if", "most_streams@2<1")
    assert code == 2 and "most_streams is one number of a backend" in lines[0]
    code, lines = run(config, *search, "--fail-if", "most_streams<1")
    assert (code, lines) == (
        1,
        ["llmtui: slow: most_streams is 0 streams, less than 1 (--fail-if 'most_streams<1')"],
    )


@pytest.mark.slow
def test_a_race(config: Path) -> None:
    assert run(config, "--fail-if", "latency>10", "--fail-if", "failed>0") == (0, [])
    code, lines = run(config, "--fail-if", "latency<0.001", "--fail-if", "ttft>0.25")
    assert (
        code == 1
        and len(lines) == 1
        and "llmtui: slow: TTFT is 0." in lines[-1]
        and "(n = 2), more than 0.25 s" in lines[-1]
    )


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("speed<1", "llmtui: --fail-if 'speed<1': unknown metric 'speed'; expected one of latency, ttft, "),
        ("ttft_p95>0.2", "llmtui: --fail-if 'ttft_p95>0.2': p95 needs 59 iterations, and this run has 2; raise "),
        ("attainment<0.9", "llmtui: --fail-if 'attainment<0.9': attainment is of a load, and this is a race with one "),
    ],
)
def test_a_limit_that_means_nothing_is_wrong_usage_before_the_first_request(
    config: Path, limit: str, expected: str
) -> None:
    done = llmtui("run", str(config), "--store", str(config.parent / "h.db"), "-q", "--fail-if", limit)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(expected)
    assert not (config.parent / "h.db").exists()
