"""CPU limits of control groups: recorded trees of both versions, and a real group where this machine allows one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.servers import base
from llmtui.servers.cgroup import cpu_limit, held_back_s, held_cores

_V1 = Path("/sys/fs/cgroup/cpu")
_BUSY = "import time\nwhile time.monotonic() < {until}: pass"


def tree(root: Path, groups: str, mounts: str, files: dict[str, str], pid: str = "self") -> Path:
    """Write what /proc says of a process, and the files of its groups, below `root`."""
    for name, text in {f"proc/{pid}/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 30 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n"
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n"
    "34 31 0:38 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n"
)


def test_container_of_cgroup_v2(tmp_path: Path) -> None:
    here = "sys/fs/cgroup/"
    files = {
        here + "cpu.max": "200000 100000\n",
        here + "cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 2\nthrottled_usec 1500000\n",
    }
    root = tree(tmp_path, "0::/\n", V2, files)
    assert (cpu_limit(root=root), held_back_s(root=root)) == (2.0, {str(root / here): 1.5})


@pytest.mark.parametrize(("outer", "inner", "limit"), [("150000 100000", "max 100000", 1.5), ("max 1", "50000 1", 5e4)])
def test_limit_of_a_parent_holds(tmp_path: Path, outer: str, inner: str, limit: float) -> None:
    files = {"sys/fs/cgroup/user.slice/cpu.max": outer, "sys/fs/cgroup/user.slice/a/b/cpu.max": inner}
    assert cpu_limit(root=tree(tmp_path, "0::/user.slice/a/b\n", V2, files)) == limit


@pytest.mark.parametrize(("top", "group"), [("/docker/ab", "/docker/ab"), ("/", "/"), ("/docker/ab", "/")])
def test_container_of_cgroup_v1(tmp_path: Path, top: str, group: str) -> None:
    here = "sys/fs/cgroup/cpu,cpuacct/"
    files = {
        here + "cpu.cfs_quota_us": "50000\n",
        here + "cpu.cfs_period_us": "100000\n",
        here + "cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 2500000000\n",
    }
    groups = f"5:cpuset:/elsewhere\n4:cpu,cpuacct:{group}\n0::/\n"
    root = tree(tmp_path, groups, V1.format(top=top), files)
    assert (cpu_limit(root=root), list(held_back_s(root=root).values())) == (0.5, [2.5])
    (root / here / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_limit(root=root) is None


def test_server_in_a_container_of_its_own_is_watched(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/\n", V2, {"sys/fs/cgroup/box/cpu.stat": "throttled_usec 2000000\n"})
    tree(tmp_path, "0::/box\n", V2, {}, pid="77")
    before = held_back_s((None, 77), root)
    (root / "sys/fs/cgroup/box/cpu.stat").write_text("throttled_usec 3000000\n")
    assert held_cores(before, held_back_s((None, 77), root), elapsed_s=4.0) == 0.25
    assert held_cores({}, before, 4.0) == held_cores(before, {}, 4.0) == 0.0


@pytest.mark.parametrize(
    ("groups", "mounts", "limit"),
    [
        ("", "", "200000 100000"),
        ("0::/\n", "nonsense - \n", "2 1"),
        ("0::/\n", V2, "x y"),
        ("0::/../up\n", V2, "max 5"),
    ],
)
def test_no_limit_and_damaged_files(tmp_path: Path, groups: str, mounts: str, limit: str) -> None:
    root = tree(tmp_path, groups, mounts, {"sys/fs/cgroup/cpu.max": limit, "sys/fs/cgroup/cpu.stat": "throttled_usec"})
    assert (cpu_limit(root=root), held_back_s(root=root)) == (None, {})


@pytest.mark.parametrize(("quota", "cores"), [(50_000, 1), (190_000, 1), (250_000, 2), (10**9, 8)])
def test_usable_cores_are_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, cores: int
) -> None:
    monkeypatch.setattr(base, "allowed_cores", lambda: 8)
    root = tree(tmp_path, "0::/\n", V2, {"sys/fs/cgroup/cpu.max": f"{quota} 100000"})
    assert base.usable_cores(root) == cores


@contextlib.contextmanager
def real_group(cores: float) -> Iterator[Path]:
    """A control group of this machine with a CPU limit. Skips where it cannot be made."""
    folder = _V1 / f"llmtui-test-{os.getpid()}"
    if not (_V1 / "cpu.cfs_quota_us").exists() and not (_V1 / "tasks").exists():
        pytest.skip("this machine has no cgroup v1 for CPU")
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text(str(int(cores * 100_000)))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        yield folder
    finally:
        folder.rmdir()


def test_real_limit_is_read_and_what_it_holds_back() -> None:
    program = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); exec(sys.stdin.read())"
    with real_group(0.05) as group:
        child = subprocess.Popen([sys.executable, "-c", program, str(group / "tasks")], stdin=subprocess.PIPE)
        assert child.stdin is not None
        try:
            child.stdin.write(_BUSY.format(until=time.monotonic() + 1).encode())
            child.stdin.close()
            began = time.monotonic()
            while cpu_limit(child.pid) is None:
                assert time.monotonic() < began + 30
                time.sleep(0.01)
            before, at = held_back_s([child.pid]), time.monotonic()
            child.wait(30)
            held = (group / "cpu.stat").read_text()
        finally:
            child.kill()
            child.wait()
        assert before.keys() >= {str(group)}
        now = {str(group): int(held.partition("throttled_time")[2].split()[0]) / 1e9}
        # A single process that wants a core and gets a twentieth of one; a busy machine may give it little more.
        assert 0.05 < held_cores(before, now, time.monotonic() - at) < 1.2
