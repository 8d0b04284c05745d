"""llmtui's own model store for Ollama: a few small files and a link to the shared model file, instead of a copy.

The layout is that of Ollama: `blobs/sha256-DIGEST` hold the parts of a model, and
`manifests/registry.ollama.ai/library/NAME/TAG` lists them. Seen with Ollama 0.33; the same in all since 0.1.30.

The store only links to the model file. A hard link would change the file's times, which the records of the cache note.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmtui.servers.model_cache import disk_error, is_ours, own_folder, shown, workspace

_LIBRARY = Path("manifests", "registry.ollama.ai", "library")
_MODEL_TYPE = "application/vnd.ollama.image.model"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
#: Ollama takes 80 characters of these, the first one not a dot or a dash.
_NAME_CHARS = 80
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_.-]+")
#: Hexadecimal digits of the file's digest in the tag.
_TAG_DIGITS = 12
_MAX_MANIFEST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class StoredModel:
    """A model as Ollama names it, made of one file. `digest` ("sha256:...") is that of the file itself."""

    name: str
    digest: str
    path: Path
    size: int
    config: bytes

    @property
    def manifest(self) -> bytes:
        """What the store's list of its parts holds: the file, and nothing that replaces its chat template."""
        config = {"mediaType": _CONFIG_TYPE, "digest": _digest(self.config), "size": len(self.config)}
        layer = {"mediaType": _MODEL_TYPE, "digest": self.digest, "size": self.size}
        whole = {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": config, "layers": [layer]}
        return msgspec.json.encode(whole)


def stored_model(name: str, digest: str, path: Path, architecture: str, weights: str) -> StoredModel:
    """Return the model made of the file at `path`, named after the file, with a tag from its digest. Raises OSError."""
    config = {
        "model_format": "gguf",
        "model_family": architecture,
        "model_families": [architecture],
        "model_type": "",
        "file_type": weights,
        # What Ollama itself writes on every machine.
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    tag = digest.removeprefix("sha256:")[:_TAG_DIGITS]
    size = os.stat(path).st_size
    return StoredModel(f"{model_part(name)}:{tag}", digest, path, size, msgspec.json.encode(config))


def model_part(name: str) -> str:
    """Return a model's name as Ollama takes it: lower case, because it compares names without case."""
    return _NOT_IN_NAMES.sub("-", name.lower()).strip("-.")[:_NAME_CHARS] or "model"


class Store:
    """One store. Everything but `is_own` must run under the store's lock, which the caller holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = own_folder(folder)
        self._blobs = folder / "blobs"

    def manifest_path(self, model: StoredModel) -> Path:
        """The file that lists the parts of a model."""
        return self.folder / _LIBRARY / Path(*model.name.split(":"))

    def blob_path(self, digest: str) -> Path:
        """The file or link with this digest."""
        return self._blobs / digest.replace(":", "-")

    def is_own(self, model: StoredModel) -> bool:
        """Whether the model is set up as `set_up` does it, and not by Ollama's own API."""
        return _holds(self.manifest_path(model), model.manifest)

    def set_up(self, model: StoredModel, version: str = "") -> None:
        """Write what is missing, the manifest last. Raises StartError.

        A complete model that the API of this version of Ollama made stays.
        """
        manifest = self.manifest_path(model)
        with workspace(self.folder / "store") as work:
            for folder in (self._blobs, manifest.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_unused(model)
            self._link(model, work)
            if not (_holds(self._made_by(model), version.encode()) and self._is_complete(manifest)):
                _write(self.blob_path(_digest(model.config)), model.config, work)
                _write(manifest, model.manifest, work)

    def unlink(self, model: StoredModel) -> None:
        """Remove the link to the model file, so that Ollama's API cannot write through it. Raises StartError."""
        with _disk_errors(self.folder), contextlib.suppress(FileNotFoundError):
            if self.blob_path(model.digest).is_symlink():
                self.blob_path(model.digest).unlink()

    def record_made(self, model: StoredModel, version: str) -> None:
        """Record that the API of this version of Ollama made the model. Raises StartError."""
        with workspace(self.folder / "store") as work:
            _write(self._made_by(model), version.encode(), work)

    def _made_by(self, model: StoredModel) -> Path:
        return self.folder / f"made-{model.name.replace(':', '-')}"

    def _link(self, model: StoredModel, work: Path) -> None:
        blob = self.blob_path(model.digest)
        if blob.is_symlink() and os.readlink(blob) == str(model.path):
            return
        link = work / "link"
        link.symlink_to(model.path)
        os.replace(link, blob)

    def _is_complete(self, manifest: Path) -> bool:
        """Whether all parts of a model are there, in their size."""
        parts = _parts(manifest)
        return bool(parts) and all(_size(self.blob_path(digest)) == size for digest, size in parts.items())

    def _remove_unused(self, model: StoredModel) -> None:
        """Remove models whose file is gone, and what an interrupted set-up or upload left.

        Ollama does not do it, because it would also remove what another process has just written.
        """
        used = {self.blob_path(model.digest).name}
        for manifest in (self.folder / _LIBRARY).glob("*/*"):
            parts = _parts(manifest)
            if all(_size(self.blob_path(digest)) is not None for digest in parts) and parts:
                used |= {self.blob_path(digest).name for digest in parts}
            elif manifest != self.manifest_path(model):
                manifest.unlink()
        for blob in self._blobs.iterdir():
            if blob.name not in used and not stat.S_ISDIR(blob.lstat().st_mode):
                blob.unlink()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _parts(manifest: Path) -> dict[str, int]:
    """Return the sizes of a model's parts by their digests, {} if the manifest is missing or damaged."""
    try:
        if not is_ours(info := manifest.lstat()) or info.st_size > _MAX_MANIFEST_BYTES:
            return {}
        whole: dict[str, Any] = msgspec.json.decode(manifest.read_bytes())
        return {str(part["digest"]): int(part["size"]) for part in [whole["config"], *whole["layers"]]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _size(path: Path) -> int | None:
    """Return the size of a file, following links; None if it is not there or not a file."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def _holds(path: Path, content: bytes) -> bool:
    try:
        info = path.lstat()
        return is_ours(info) and info.st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes, work: Path) -> None:
    """Write a file atomically, unless it holds that already. Raises OSError."""
    if _holds(path, content):
        return
    with (new := work / path.name).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, f"cannot write to {shown(folder)}") from error
