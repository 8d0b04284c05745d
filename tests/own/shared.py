"""A tiny model as the shared file, for the tests of own servers."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llmtui.model import RunConfig
from llmtui.servers import hf_serve
from llmtui.servers.base import Report
from llmtui.servers.own import vllm

THREADS, CONTEXT = 3, 2048


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf() -> bytes:
    """A header with Q8_0 weights and the end token 2."""
    values = {"general.file_type": 7, "tokenizer.ggml.eos_token_id": 2}
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(values))
    return head + b"".join(text(key) + struct.pack("<II", 4, value) for key, value in values.items())


def config(model: Path, **values: float) -> RunConfig:
    """The run of a test, with this file as its model."""
    return RunConfig(model=str(model), threads=THREADS, **{"load_timeout_s": 20.0, **values})  # type: ignore[arg-type]


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the file; the cache is a folder of the test."""
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "Tiny-1B.Q8_0.gguf"
    path.write_bytes(gguf())
    return path


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that would be exported from the file for transformers."""
    folder = tmp_path / "hf" / "Tiny-1B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")

    async def hf_folder(path: Path, report: Report) -> Path:
        return folder

    monkeypatch.setattr(hf_serve, "hf_folder", hf_folder)
    monkeypatch.setattr(vllm, "absent_packages", list)
    return folder
