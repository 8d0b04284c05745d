"""The stand-ins refuse and answer as the servers that they stand for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.own.install import StandIns

PATIENCE_S = 20.0


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize(
    ("program", "version", "arguments", "code", "words"),
    [
        ("llamafile", "0.9.3", ["--server", "--webui"], 1, "error: unknown argument: --webui"),
        ("llamafile", "0.10.0", ["--server", "--nobrowser"], 1, "error: invalid argument: --nobrowser"),
        ("llamafile", "0.9.3", ["--server", "--nobrowser", "-m", "none.gguf"], 1, "unable to load model"),
        ("llama-server", "", ["--nobrowser"], 1, "error: invalid argument: --nobrowser"),
        ("llama-server", "", ["-m", "none.gguf"], 1, "failed to load model"),
        ("mistralrs", "0.8.0", ["serve", "--no-ui"], 2, "error: unexpected argument '--no-ui' found"),
        ("mistralrs", "0.9.2", ["serve", "--ui"], 2, "error: unexpected argument '--ui' found"),
        ("mistralrs", "0.9.0", ["serve", "-f", "x.gguf"], 1, "--model-id (-m) is required"),
        ("mistralrs", "0.9.2", ["serve", "-f", "x.gguf"], 1, "does not exist or is not a file"),
        ("mistralrs-server", "0.6.0", ["--host", "127.0.0.1"], 2, "unexpected argument '--host'"),
        ("vllm", "", ["serve", "/", "--context", "1"], 2, "unrecognized arguments: --context"),
        ("vllm", "", ["serve", "/none"], 1, "Can't load the configuration"),
        ("ollama", "", ["serve", "--port", "1"], 1, "Error: unknown flag: --port"),
    ],
)
def test_wrong_arguments(
    stand_ins: StandIns, program: str, version: str, arguments: list[str], code: int, words: str
) -> None:
    ended = run(stand_ins.install(program, version=version), *arguments)
    assert ended.returncode == code
    assert words in ended.stderr


def test_versions(stand_ins: StandIns) -> None:
    assert run(stand_ins.install("llamafile"), "--version").stdout == "llamafile v0.9.3\n"
    assert run(stand_ins.install("vllm"), "--version").stdout == "0.32.0\n"
    assert run(stand_ins.install("mistralrs", version="0.8.2"), "--version").stdout == "mistralrs 0.8.2\n"
