"""llmtui's own store for Ollama: what is written, what is repaired, what is removed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from llmtui.servers.base import StartError
from llmtui.servers.own.ollama_store import Store, StoredModel, model_part, stored_model

CONTENT = b"GGUF and weights"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def made(folder: Path, name: str = "Smol LM2", content: bytes = CONTENT) -> StoredModel:
    """Return the model of a file in `folder`."""
    path = folder / f"{name}.gguf"
    path.write_bytes(content)
    return stored_model(name, digest_of(content), path, "llama", "Q8_0")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def files(store: Store) -> dict[str, bytes | str]:
    """Return what is in the store: the content of files, the target of links."""
    found: dict[str, bytes | str] = {}
    for path in sorted(store.folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(store.folder))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(store.folder))] = path.read_bytes()
    return found


def test_a_model_is_a_link_a_config_and_a_manifest(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    store.set_up(model)
    tag = digest_of(CONTENT)[7:19]
    config = f"blobs/{digest_of(model.config).replace(':', '-')}"
    place = f"manifests/registry.ollama.ai/library/smol-lm2/{tag}"
    found = files(store)
    assert set(found) == {f"blobs/{model.digest.replace(':', '-')}", config, place}
    assert found[f"blobs/{model.digest.replace(':', '-')}"] == str(model.path)
    assert model.name == f"smol-lm2:{tag}"
    manifest: dict[str, Any] = json.loads(found[place])
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest_of(model.config),
            "size": len(model.config),
        },
        # No template layer, so that Ollama uses the template in the file.
        "layers": [
            {"mediaType": "application/vnd.ollama.image.model", "digest": model.digest, "size": len(CONTENT)},
        ],
    }
    config_json = json.loads(found[config])
    assert config_json["model_format"] == "gguf"
    assert (config_json["model_family"], config_json["model_families"]) == ("llama", ["llama"])
    assert config_json["file_type"] == "Q8_0"


def test_the_model_file_is_not_touched(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    os.utime(model.path, ns=(1, 1))
    before = model.path.stat()
    store.set_up(model)
    store.set_up(model)
    store.unlink(model)
    after = model.path.stat()
    # Of a file with a further hard link, the status would have another time and another number of links.
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_nlink, before.st_mode) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_nlink,
        after.st_mode,
    )


def test_a_second_set_up_writes_nothing(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    store.set_up(model)
    before = {path: path.lstat().st_ino for path in store.folder.rglob("*") if path.name != "models"}
    store.set_up(model)
    assert before == {path: path.lstat().st_ino for path in store.folder.rglob("*") if path.name != "models"}


@pytest.mark.parametrize(
    "damage", ["manifest gone", "manifest cut", "config cut", "config gone", "link elsewhere", "copy"]
)
def test_damage_is_repaired(store: Store, tmp_path: Path, damage: str) -> None:
    model = made(tmp_path)
    store.set_up(model)
    whole = files(store)
    manifest, blob = store.manifest_path(model), store.blob_path(model.digest)
    config = store.blob_path(digest_of(model.config))
    if damage == "manifest gone":
        manifest.unlink()
    elif damage == "manifest cut":
        manifest.write_bytes(model.manifest[:50])
    elif damage == "config cut":
        config.write_bytes(model.config[:-1])
    elif damage == "config gone":
        config.unlink()
    elif damage == "link elsewhere":
        blob.unlink()
        blob.symlink_to(tmp_path / "gone.gguf")
    else:
        blob.unlink()
        blob.write_bytes(CONTENT)
    store.set_up(model)
    assert files(store) == whole


@pytest.mark.parametrize("step", range(4))
def test_an_end_at_any_step_leaves_nothing_that_a_later_start_trusts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """As after kill -9: the process ends before this replacement of a file, and cleans nothing up."""
    whole = Store(tmp_path / "whole")
    model = made(tmp_path)
    whole.set_up(model)
    replaced = 0
    real = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        nonlocal replaced
        if replaced == step:
            raise KeyboardInterrupt
        replaced += 1
        real(source, target)

    left = store.folder / ".work-store-left"
    left.mkdir()
    (left / "link").symlink_to(model.path)
    monkeypatch.setattr(os, "replace", replace)
    if step < 3:
        with pytest.raises(KeyboardInterrupt):
            store.set_up(model)
        assert not store.is_own(model), "the manifest comes last"
    monkeypatch.setattr(os, "replace", real)
    store.set_up(model)
    assert files(store) == files(whole)
    assert not left.exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StartError, match="the disk is full") as raised:
        store.set_up(model)
    assert raised.value.failure.hint == "free some space"
    assert not store.manifest_path(model).exists()
    monkeypatch.undo()
    store.set_up(model)
    assert store.is_own(model)


def test_a_model_that_is_gone_is_removed_and_others_stay(store: Store, tmp_path: Path) -> None:
    gone, stays, new = (made(tmp_path, name, name.encode()) for name in ("gone", "stays", "new"))
    for model in (gone, stays):
        store.set_up(model)
    gone.path.unlink()
    upload = store.folder / "blobs" / "sha256-1234567890"
    upload.write_bytes(b"half an upload")
    store.set_up(new)
    assert not upload.exists()
    assert not store.manifest_path(gone).exists()
    assert not store.blob_path(gone.digest).is_symlink()
    assert store.is_own(stays) and store.is_own(new)


def test_a_complete_model_of_ollamas_api_stays_for_this_version(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    store.set_up(model)
    parts = {kind: f"{kind} of ollama".encode() for kind in ("config", "model", "template")}
    for content in parts.values():
        store.blob_path(digest_of(content)).write_bytes(content)
    entries = {kind: {"digest": digest_of(content), "size": len(content)} for kind, content in parts.items()}
    created = json.dumps({"config": entries["config"], "layers": [entries["model"], entries["template"]]}).encode()
    store.manifest_path(model).write_bytes(created)
    store.record_made(model, "0.24.0")
    store.set_up(model, "0.24.0")
    assert store.manifest_path(model).read_bytes() == created
    assert not store.is_own(model)
    store.blob_path(digest_of(parts["model"])).write_bytes(b"cut")
    store.set_up(model, "0.24.0")
    assert store.is_own(model)
    # Another version may need no copy.
    store.blob_path(digest_of(parts["model"])).write_bytes(parts["model"])
    store.manifest_path(model).write_bytes(created)
    store.set_up(model, "0.33.0")
    assert store.is_own(model)


def test_only_a_link_is_unlinked(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    store.set_up(model)
    store.unlink(model)
    blob = store.blob_path(model.digest)
    assert not blob.is_symlink() and model.path.exists()
    blob.write_bytes(CONTENT)
    store.unlink(model)
    assert blob.exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("a model (v1.5)", "a-model-v1.5"),
        ("..hidden", "hidden"),
        ("模型", "model"),
        ("x" * 200, "x" * 80),
        ("a/../b:c", "a-..-b-c"),
    ],
)
def test_names_are_those_that_ollama_takes(name: str, part: str) -> None:
    assert model_part(name) == part


def test_a_store_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="it is a link"):
        Store(tmp_path / "models")


def test_a_link_in_place_of_a_manifest_is_not_read(store: Store, tmp_path: Path) -> None:
    model = made(tmp_path)
    store.set_up(model)
    secret = tmp_path / "secret"
    secret.write_bytes(model.manifest)
    store.manifest_path(model).unlink()
    store.manifest_path(model).symlink_to(secret)
    store.set_up(model)
    assert not store.manifest_path(model).is_symlink()
