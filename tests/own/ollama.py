"""Stands for `ollama serve` 0.33: its environment, and captured bytes of 0.33 (`OLLAMA_GO_TEMPLATE=0`).

Models are those of the manifests in OLLAMA_MODELS, and those that `POST /api/create` made there. Refusals without
captured bytes are in the words of 0.33.0-rc2. Faults of its own, beside those of the frame: `blind` (reads only the
models that its create made), `no_load` (its runner ends), `vague` (only its log says why), `full` (create finds no
space), `ends` (is killed while it loads), `touch` and `spoil` (change the times or the content of the model file while
it loads).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
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
    #: What its runner has loaded.
    runner: dict[str, Any] | None = None

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
        manifest = self.manifests().get(name if ":" in name else f"{name}:latest")
        if manifest is None or ("blind" in self.faults and self.layer(manifest, "template") is None):
            return None
        parts = [manifest.get("config") or {}, *manifest.get("layers", [])]
        return manifest if all("digest" in one and self.blob(one["digest"]).is_file() for one in parts) else None

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
        return self.answer(path, request.body, manifest, {NAME: name})

    def answer(self, path: str, body: dict[str, Any], manifest: dict[str, Any], names: dict[str, str]) -> Reply:
        """Reply to a request for a model that is there."""
        weights = self.layer(manifest, "model")
        if weights is None or weights.read_bytes()[:4] != b"GGUF":
            if path == "/api/show":
                return as_json({"error": "invalid file magic"}, "500 Internal Server Error")
            return as_json({"error": f'"{names[NAME]}" does not support generate'}, "400 Bad Request")
        if path == "/api/show":
            return captured(f"{FOLDER}/show", names)
        options = body.get("options") or {}
        if any(isinstance(value, str) for key, value in options.items() if key.startswith("num_")):
            return captured(f"{FOLDER}/err_option_type")
        if path == "/api/generate" and body.get("keep_alive") == 0:
            self.runner = None
            return captured(f"{FOLDER}/unload", names)
        if body.get("think"):
            return captured(f"{FOLDER}/err_think", names)
        if failure := self.load_weights(weights):
            return failure
        runner = {"file": str(weights), "num_ctx": options.get("num_ctx"), "num_thread": options.get("num_thread")}
        is_loaded, self.runner = runner == self.runner, runner
        if path == "/api/generate":
            return captured(f"{FOLDER}/load_empty", names)
        if path == "/v1/chat/completions":
            return captured(f"{FOLDER}/v1_chat_stream_usage", names)
        return captured(f"{FOLDER}/chat_stream" if is_loaded else f"{FOLDER}/chat_stream_cold", names)

    def load_weights(self, weights: Path) -> Reply | None:
        """Do what the faults say about the loading. Return the refusal, None if the model is loaded."""
        if "ends" in self.faults:
            os.kill(os.getpid(), signal.SIGKILL)
        if "no_load" in self.faults:
            words = "error loading model: unknown model architecture: 'tiny'"
            words = f"llama-server process has terminated: exit status 1: {words}\n{words}"
            return as_json({"error": words}, "500 Internal Server Error")
        if "vague" in self.faults:
            print("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99", flush=True)
            return as_json({"error": "llama runner process has terminated: exit status 2"}, "500 Internal Server Error")
        if "touch" in self.faults:
            os.utime(weights)
        if "spoil" in self.faults:
            weights.write_bytes(b"GGUF of another model")
        return None

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
        if not blob.exists():
            blob.write_bytes(request.raw)
        return plain(b"HTTP/1.1 201 Created\r\n" + head, b"")

    def create(self, body: dict[str, Any]) -> Reply:
        """Make a manifest with a template of its own, as the real one does."""
        digest = next(iter(body.get("files", {}).values()), "")
        if not digest:
            return as_json({"error": "neither 'from' or 'files' was specified"}, "400 Bad Request")
        streams = body.get("stream", True)
        if not self.blob(digest).is_file():
            if streams:
                return captured(f"{FOLDER}/create_bad")
            return as_json(
                {"error": f"open {self.blob(digest)}: no such file or directory"}, "500 Internal Server Error"
            )
        if "full" in self.faults:
            words = f"write {self.models}/blobs/sha256-123: no space left on device"
            return as_json({"error": words}, "500 Internal Server Error")
        # The reason why it must never get a link to the shared file.
        os.utime(self.blob(digest))
        data = self.blob(digest).read_bytes()
        layers = [
            # Since 0.30 a rewritten copy of the file.
            self.layer_of(data if self.number().startswith("0.2") else data + b"rewritten", "model"),
            self.layer_of(b"{{ .Prompt }}", "template"),
            self.layer_of(json.dumps(body.get("parameters") or {"stop": ["<|im_end|>"]}).encode(), "params"),
        ]
        name, _, tag = str(body["model"]).partition(":")
        path = self.models / "manifests" / "registry.ollama.ai" / "library" / name / (tag or "latest")
        path.parent.mkdir(parents=True, exist_ok=True)
        config = self.layer_of(b'{"model_format":"gguf","model_family":"llama"}', "config")
        path.write_text(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}))
        if not streams:
            return as_json({"status": "success"})
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
