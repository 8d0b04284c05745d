"""Stands for `ollama serve` 0.33: its environment, and captured bytes of 0.33 (`OLLAMA_GO_TEMPLATE=0`).

Models are those of the manifests in OLLAMA_MODELS, and those that `POST /api/create` made there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from tests.own.stand_in import Reply, Request, StandIn, as_json, captured, chunk, main, plain

FOLDER = "ollama-0.33-jinja"
NAME = "llmtui"
PORT = 11434


class Ollama(StandIn):
    """Takes no flags: OLLAMA_HOST, OLLAMA_MODELS and HOME in its environment."""

    switches = {"-v": "version", "-h": "help"}

    def version(self) -> str:
        # The warning that the real one prints where no server runs.
        number = self.number()
        return f"Warning: could not connect to a running Ollama instance\nWarning: client version is {number}"

    def number(self) -> str:
        return os.environ.get("STAND_IN_VERSION", "0.33.0")

    def asked_for_version(self) -> bool:
        return bool({"--version", "-v"} & set(self.argv))

    def unknown_flag(self, flag: str) -> NoReturn:
        self.end(f"Error: unknown flag: {flag}", 1)

    def address(self) -> tuple[str, int]:
        host = os.environ.get("OLLAMA_HOST", "").rpartition("//")[2] or f"127.0.0.1:{PORT}"
        name, colon, port = host.partition(":")
        return name or "127.0.0.1", int(port) if colon else PORT

    @property
    def models(self) -> Path:
        return Path(os.environ.get("OLLAMA_MODELS") or Path(os.environ.get("HOME", ".")) / ".ollama" / "models")

    def check(self) -> None:
        if self.words != ["serve"]:
            self.end(f'Error: unknown command "{" ".join(self.words)}" for "ollama"', 1)
        key = Path(os.environ.get("HOME", ".")) / ".ollama" / "id_ed25519"
        try:
            key.parent.mkdir(parents=True, exist_ok=True)
            if not key.exists():
                key.write_text("a key\n")
            for name in ("blobs", "manifests"):
                (self.models / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.end(f"Error: {str(error.strerror).lower()}: {error.filename}", 1)

    def dies(self) -> NoReturn:
        self.end("Error: could not create directory mkdir: permission denied", 1)

    def port_taken(self, host: str, port: int) -> NoReturn:
        self.end(f"Error: listen tcp {host}:{port}: bind: address already in use", 1)

    def listening(self, host: str, port: int) -> None:
        message = f'msg="Listening on {host}:{port} (version {self.number()})"'
        print(f"time=2026-11-28T12:00:00.000Z level=INFO source=routes.go:1 {message}", file=sys.stderr, flush=True)

    # --- Its store. ---

    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the manifests by "NAME:TAG", as far as they can be read."""
        library = self.models / "manifests" / "registry.ollama.ai" / "library"
        names: dict[str, dict[str, Any]] = {}
        for path in sorted(library.glob("*/*")):
            try:
                names[f"{path.parent.name}:{path.name}"] = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
        return names

    def blob(self, digest: str) -> Path:
        return self.models / "blobs" / digest.replace(":", "-")

    def layer(self, manifest: dict[str, Any], kind: str) -> Path | None:
        layers = manifest.get("layers", [])
        digest = next(
            (one["digest"] for one in layers if one["mediaType"] == f"application/vnd.ollama.image.{kind}"), ""
        )
        return self.blob(digest) if digest else None

    def model(self, name: str) -> dict[str, Any] | None:
        return self.manifests().get(name if ":" in name else f"{name}:latest")

    # --- Its replies. ---

    def reply(self, request: Request) -> Reply:
        path = request.path
        if path.startswith("/api/blobs/"):
            return self.blobs(request, path.rpartition("/")[2])
        gets = {"/": self.greet, "/api/version": self.versions, "/api/tags": self.tags, "/api/ps": self.running}
        if request.method in ("GET", "HEAD") and path in gets:
            return gets[path]()
        if path == "/api/create":
            return self.create(request.body)
        if path not in ("/api/show", "/api/generate", "/api/chat", "/v1/chat/completions"):
            return captured("ollama/err_404")
        if not request.is_json:
            return captured("ollama/err_chat_bad_json")
        name = str(request.body.get("model", ""))
        manifest = self.model(name)
        if manifest is None:
            return captured(f"{FOLDER}/err_unknown_model", {"nope": name})
        weights = self.layer(manifest, "model")
        if weights is None or not weights.is_file():
            return as_json({"error": "unable to load model"}, "500 Internal Server Error")
        return self.answer(path, request.body, {NAME: name})

    def answer(self, path: str, body: dict[str, Any], names: dict[str, str]) -> Reply:
        """Reply to a request for a model that is there."""
        if path == "/api/show":
            return captured(f"{FOLDER}/show", names)
        options = body.get("options") or {}
        if any(isinstance(value, str) for key, value in options.items() if key.startswith("num_")):
            return captured(f"{FOLDER}/err_option_type")
        if path == "/api/generate":
            return captured(f"{FOLDER}/unload" if body.get("keep_alive") == 0 else f"{FOLDER}/load_empty", names)
        if body.get("think"):
            return captured(f"{FOLDER}/err_think", names)
        return captured(f"{FOLDER}/chat_stream" if path == "/api/chat" else f"{FOLDER}/v1_chat_stream_usage", names)

    def greet(self) -> Reply:
        return captured("ollama/root")

    def versions(self) -> Reply:
        return as_json({"version": self.number()})

    def tags(self) -> Reply:
        entries = []
        for name, manifest in self.manifests().items():
            size = sum(one.get("size", 0) for one in manifest.get("layers", []))
            digest = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
            details = {"format": "gguf", "family": "llama", "families": ["llama"], "quantization_level": "Q8_0"}
            entries.append({"name": name, "model": name, "size": size, "digest": digest, "details": details})
        return as_json({"models": entries})

    def running(self) -> Reply:
        names = list(self.manifests())
        return captured(f"{FOLDER}/ps", {f"{NAME}:latest": names[0]}) if names else as_json({"models": []})

    def blobs(self, request: Request, digest: str) -> Reply:
        blob = self.blob(digest)
        head = b"Content-Type: text/plain\r\nConnection: close"
        if request.method == "HEAD":
            return plain((b"HTTP/1.1 200 OK\r\n" if blob.exists() else b"HTTP/1.1 404 Not Found\r\n") + head, b"")
        if digest != f"sha256:{hashlib.sha256(request.raw).hexdigest()}":
            return as_json({"error": "digest mismatch"}, "400 Bad Request")
        blob.write_bytes(request.raw)
        return plain(b"HTTP/1.1 201 Created\r\n" + head, b"")

    def create(self, body: dict[str, Any]) -> Reply:
        """Make a manifest, as the real one does; here the file stays as it is."""
        digest = next(iter(body.get("files", {}).values()), "")
        if not self.blob(digest).is_file():
            return captured(f"{FOLDER}/create_bad")
        params = json.dumps(body.get("parameters") or {}).encode()
        layers = [self.layer_of(self.blob(digest).read_bytes(), "model"), self.layer_of(params, "params")]
        name, _, tag = str(body["model"]).partition(":")
        path = self.models / "manifests" / "registry.ollama.ai" / "library" / name / (tag or "latest")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close"
        )
        lines = [chunk(b'{"status":"parsing GGUF"}\n'), chunk(b'{"status":"success"}\n')]
        return Reply(head, [*lines, b"0\r\n\r\n"])

    def layer_of(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest).write_bytes(data)
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": len(data)}


if __name__ == "__main__":
    main(Ollama)
