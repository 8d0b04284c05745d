"""A model file that needs a conversion, and a record of the conversions that ran."""

# ruff: noqa: ASYNC240 - no other task of these tests waits for a file.

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmtui.servers import model_file as modelfile
from llmtui.servers.process_tree import GuardedProcess
from tests.servers.gguf_files import gguf_head, string, u32

HEAD = gguf_head([("general.architecture", string("llama")), ("general.file_type", u32(3))])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model file of the user with weights that need a conversion."""
    path = tmp_path / "own" / "Mine.Q4_1.gguf"
    path.parent.mkdir()
    path.write_bytes(HEAD)
    return path


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of conversions, each faked by writing a file, or a folder for transformers."""
    ran: list[list[str]] = []

    async def convert(process: GuardedProcess, argv: Sequence[str], *_: object, **__: object) -> int:
        ran.append(list(argv))
        process.log.touch()
        made = Path(argv[-1])
        if "export_hf.py" in argv[-3]:
            made.mkdir()
            made = made / "config.json"
        made.write_text(f"made by run {len(ran)}")
        return 0

    monkeypatch.setattr(modelfile, "_run", convert)
    monkeypatch.setattr(modelfile, "_importable", lambda *_: True)
    return ran


def sha256(content: bytes) -> str:
    """Return a digest in llmtui's format."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
