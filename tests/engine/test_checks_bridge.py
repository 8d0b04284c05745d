"""The check that names a Python bridge in front of an engine, on the real bridge."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from llmtui.model import Backend
from tests.engine.helpers import plan_of, truth_backend
from tests.engine.provoked import checks_by_code, raced

#: mistral.rs' bindings, as far as the bridge uses them; this engine says "Hi".
_BINDINGS = """
from types import SimpleNamespace as Any

class Which:
    GGUF = Any

class ChatCompletionRequest(Any):
    pass

class Runner:
    def __init__(self, **_):
        pass

    def send_chat_completion_request(self, request):
        usage = Any(prompt_tokens=10, completion_tokens=1)
        choice = Any(delta=Any(role="assistant", content="Hi"), finish_reason="length")
        yield Any(id="1", created=1, choices=[choice], usage=usage)
"""


def write_head(path: Path) -> None:
    """A model file without a model: its head says Q8_0."""
    key = b"general.file_type"
    path.write_bytes(b"GGUF" + struct.pack(f"<IQQQ{len(key)}sII", 3, 0, 1, len(key), key, 4, 7))


@pytest.mark.slow
async def test_python_bridge(tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real bridge, in front of an engine that is played."""
    pytest.importorskip("uvicorn", reason="needs llmtui[local]")
    (tmp_path / "mistralrs.py").write_text(_BINDINGS)
    (tmp_path / "mistralrs-0.9.dist-info").mkdir()
    (tmp_path / "mistralrs-0.9.dist-info" / "METADATA").write_text("Name: mistralrs\nVersion: 0.9\n")
    write_head(tmp_path / "truth.gguf")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    monkeypatch.setenv("LLMTUI_STORE", str(short_path / "history.db"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "cache"))
    bridged = Backend(name="bridged", embedded="mistral.rs")
    plan = plan_of(bridged, truth_backend("plain"), iterations=1, max_tokens=1, model=str(tmp_path / "truth.gguf"))
    check = checks_by_code(await raced(plan))["bridge"]
    assert (check.level, check.backends) == ("warning", ["bridged"])
    assert check.text.startswith("a Python bridge is in front of bridged")
