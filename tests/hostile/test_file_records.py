"""Files that change without new size or time, and records that are wrong."""

# ruff: noqa: ASYNC240 - no other task of these tests waits for a file.

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtui.model import RunConfig
from llmtui.servers import file_records
from llmtui.servers import model_file as modelfile
from llmtui.servers.base import StartError
from llmtui.servers.model_file import PackagedModel, model_digest, q8_model, shared_model
from tests.hostile.conversions import HEAD, conversions, sha256, source
from tests.hostile.limits import stopwatch
from tests.hostile.strangers import NOBODY, needs_root
from tests.servers.model_files import CONTENT, cache, index, model, model_by_pip, quiet

__all__ = ["cache", "conversions", "index", "model", "model_by_pip", "source"]  # fixtures


def write_back(path: Path, content: bytes) -> None:
    """Change a file in place and restore its times."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_a_recorded_file_is_not_read_again(
    cache: Path, model: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await shared_model(RunConfig(), quiet, model)

    async def forbidden(path: Path) -> tuple[str, str]:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(file_records, "read_digest", forbidden)
    assert await shared_model(RunConfig(), quiet, model) == path
    assert await model_digest(path, quiet) == f"sha256:{model.sha256}"


async def test_the_digest_of_a_file_of_the_user_is_computed_once(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(CONTENT)
    steps: list[str] = []
    for _ in range(2):
        digest = await model_digest(path, lambda text, _: steps.append(text))
        assert digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert steps == ["reading the model file (once)"]


async def test_a_changed_model_with_the_same_size_and_time_is_noticed(cache: Path, model: PackagedModel) -> None:
    path = await shared_model(RunConfig(), quiet, model)
    write_back(path, CONTENT[:-1] + b"!")
    assert await model_digest(path, quiet) == sha256(CONTENT[:-1] + b"!")
    assert (await shared_model(RunConfig(), quiet, model)).read_bytes() == CONTENT
    assert await model_digest(path, quiet) == sha256(CONTENT)


@pytest.mark.slow
async def test_another_model_moved_to_its_place_is_noticed(cache: Path, model: PackagedModel) -> None:
    path = await shared_model(RunConfig(), quiet, model)
    before, other = path.stat(), path.with_name("other")
    other.write_bytes(CONTENT[:-1] + b"!")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    assert (await shared_model(RunConfig(), quiet, model)).read_bytes() == CONTENT


async def test_a_record_of_size_and_time_is_not_a_digest(cache: Path, model: PackagedModel) -> None:
    cache.mkdir(parents=True)
    path = cache / model.filename
    path.write_bytes(CONTENT[:-1] + b"!")
    info = path.stat()
    path.with_name(f".{path.name}.seal").write_text(f"{path.name} {info.st_size} {info.st_mtime_ns}")
    assert (await shared_model(RunConfig(), quiet, model)).read_bytes() == CONTENT


async def test_a_forged_record_is_not_used(cache: Path, source: Path) -> None:
    lie = sha256(b"lie")
    assert await model_digest(source, quiet) == sha256(HEAD)
    records = list(cache.glob(".digest-*"))
    assert len(records) == 1
    for text in (lie, f"llmtui seal 2\n{lie}\n", records[0].read_text().replace("\n", "\r\n"), "", "\0" * 100):
        records[0].write_text(text)
        assert await model_digest(source, quiet) == sha256(HEAD)
    records[0].write_bytes(b"\xff\xfe")
    assert await model_digest(source, quiet) == sha256(HEAD)


async def test_a_huge_record_is_not_read(cache: Path, source: Path) -> None:
    await model_digest(source, quiet)
    (record,) = cache.glob(".digest-*")
    os.truncate(record, 1 << 40)
    assert await model_digest(source, quiet) == sha256(HEAD)
    assert record.stat().st_size < 1000


async def test_a_pipe_instead_of_a_record_does_not_block(cache: Path, source: Path) -> None:
    await model_digest(source, quiet)
    (record,) = cache.glob(".digest-*")
    record.unlink()
    os.mkfifo(record)
    with stopwatch():
        assert await model_digest(source, quiet) == sha256(HEAD)


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("what", ["seal", "model"])
async def test_files_of_another_user_are_not_trusted(what: str, cache: Path, model: PackagedModel) -> None:
    path = await shared_model(RunConfig(), quiet, model)
    theirs = path if what == "model" else path.with_name(f".{path.name}.seal")
    before = theirs.stat().st_ino
    os.chown(theirs, NOBODY, NOBODY)
    assert await shared_model(RunConfig(), quiet, model) == path
    assert theirs.stat().st_uid == os.geteuid()
    assert theirs.stat().st_ino != before


async def test_a_file_that_changes_while_it_is_read_has_no_digest(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hashlib.sha256

    class Meddling:
        """A digest that changes the file while it is computed."""

        def __init__(self, data: bytes = b"") -> None:
            self._digest = real(data)
            self.hexdigest = self._digest.hexdigest

        def update(self, data: bytes) -> None:
            self._digest.update(data)
            write_back(source, HEAD[:-1] + b"!")

    with monkeypatch.context() as patch:
        patch.setattr("llmtui.servers.file_records.hashlib.sha256", Meddling)
        with pytest.raises(StartError, match="changed while it was read"):
            await model_digest(source, quiet)
    assert not list(cache.glob(".digest-*"))
    assert await model_digest(source, quiet) == sha256(HEAD[:-1] + b"!")


async def test_a_changed_file_of_the_user_with_the_same_size_and_time_is_read_again(cache: Path, source: Path) -> None:
    # Version 0.1.0 checked only the first megabyte.
    content = HEAD + bytes(1 << 21)
    source.write_bytes(content)
    assert await model_digest(source, quiet) == sha256(content)
    write_back(source, content[:-1] + b"!")
    assert await model_digest(source, quiet) == sha256(content[:-1] + b"!")


async def test_a_conversion_is_repeated_if_the_source_has_changed(
    cache: Path, source: Path, conversions: list[list[str]]
) -> None:
    # Beyond the first megabyte, which is hashed for the name of the conversion.
    source.write_bytes(HEAD + bytes(1 << 21))
    first, _ = await q8_model(source, quiet)
    await q8_model(source, quiet)
    assert len(conversions) == 1
    write_back(source, HEAD + bytes((1 << 21) - 1) + b"!")
    again, _ = await q8_model(source, quiet)
    assert len(conversions) == 2
    assert again.read_text() == "made by run 2"
    assert first == again, "otherwise every change of a file leaves a copy behind"


async def test_a_source_that_changes_during_the_conversion_is_an_error(
    cache: Path, source: Path, conversions: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = modelfile._run

    async def meddle(*given: object, **more: object) -> int:
        write_back(source, HEAD[:-1] + b"!")
        return await convert(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(modelfile, "_run", meddle)
    with pytest.raises(StartError, match="changed while it was read"):
        await q8_model(source, quiet)
    assert {path.suffix for path in cache.iterdir()} <= {".lock"}


async def test_a_changed_conversion_with_the_same_size_and_time_is_repeated(
    cache: Path, source: Path, conversions: list[list[str]]
) -> None:
    made, _ = await q8_model(source, quiet)
    write_back(made, b"MADE by run 1")
    again, _ = await q8_model(source, quiet)
    assert again.read_text() == "made by run 2"


async def test_reading_a_huge_file_can_be_cancelled(cache: Path, source: Path) -> None:
    # Reading all of it would take at least 20 s.
    os.truncate(source, 40 << 30)
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_default_executor(executor := ThreadPoolExecutor(1))
    reading = asyncio.create_task(model_digest(source, lambda *_: begun.set()))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    # The only thread of the executor is free again.
    async with asyncio.timeout(5):
        await asyncio.wrap_future(executor.submit(time.monotonic))
