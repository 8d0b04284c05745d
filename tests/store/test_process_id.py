"""Whether an engine of another container, or of this machine under another name, has ended: from recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.store.process_id import _gone_elsewhere


def machine(root: Path, space: str = "pid:[4026531836]", boot: str = "boot-1") -> Path:
    """Write a /proc with init and, as process 900, an engine that is process 7 of its container."""
    for pid, numbers, ticks in ((1, "1", 2), (900, "900\t7", 5000)):
        folder = root / str(pid)
        folder.mkdir(parents=True)
        fields = ["S", *["0"] * 18, str(ticks), *["0"] * 10]
        (folder / "stat").write_text(f"{pid} (a b) {' '.join(fields)}\n")
        (folder / "status").write_text(f"Name:\tx\nNSpid:\t{numbers}\n")
    (root / "self/ns").mkdir(parents=True)
    (root / "self/ns/pid").symlink_to(space)
    (root / "sys/kernel/random").mkdir(parents=True)
    (root / "sys/kernel/random/boot_id").write_text(boot + "\n")
    return root


@pytest.mark.parametrize(
    ("pid", "mark", "gone"),
    [
        (7, "boot-1 5000", False),  # it runs
        (7, "boot-1 4000", True),  # its number belongs to another process
        (8, "boot-1 5000", True),
        (7, "boot-2 5000", False),  # another machine, or an earlier start of this one: unknown
        (7, "", False),
        ("7", "boot-1 4000", False),
    ],
)
def test_an_engine_in_a_container_of_this_machine(tmp_path: Path, pid: object, mark: str, gone: bool) -> None:
    assert _gone_elsewhere("box pid:[4026532179]", pid, mark, machine(tmp_path)) is gone


def test_from_within_a_container_others_are_unknown(tmp_path: Path) -> None:
    proc = machine(tmp_path, space="pid:[4026532180]")
    assert not _gone_elsewhere("box pid:[4026532179]", 8, "boot-1 5000", proc)


def test_hidden_processes_are_unknown(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    (proc / "1/stat").unlink()
    assert not _gone_elsewhere("box pid:[4026532179]", 8, "boot-1 5000", proc)
