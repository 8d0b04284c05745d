"""Loads the model into an Ollama that llmtui started. Where its store is not enough, Ollama's API sets the model up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from llmtui.measure.transport import new_client
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers import file_records
from llmtui.servers.base import Report, StartError, missing
from llmtui.servers.gguf import NotGguf, open_regular
from llmtui.servers.model_cache import lock, shown
from llmtui.servers.model_file import model_digest
from llmtui.servers.own.ollama_store import Store, StoredModel
from llmtui.servers.own.versions import at_least
from llmtui.wire import common
from llmtui.wire.errors import error_text
from llmtui.wire.ollama import OllamaDialect

#: Versions before this one need a template of Ollama's own, which its API adds: they cannot use that of the file.
OWN_TEMPLATE = "0.30"
#: The first version whose API takes an uploaded file.
UPLOADS = "0.5.5"
CONNECT_S = 3.0
#: Between two attempts while the server is starting, or after it was lost.
RETRY_S = 0.1
MAX_REPLY_BYTES = 256 * 1024
#: Its API makes a second copy of what was uploaded, and replaces the first one.
COPIES = 2


class Loader:
    """Loads one model with the options of the requests. `timeout_s` limits each request, `backend` has the config's."""

    def __init__(
        self,
        store: Store,
        model: StoredModel,
        backend: Backend,
        options: dict[str, Any],
        timeout_s: float,
        report: Report,
    ) -> None:
        self._store = store
        self._model = model
        self._backend = backend
        self._options = options
        self._timeout_s = timeout_s
        self._report = report
        self._state = ""

    async def load(self, url: str) -> None:
        """Load the model and leave it loaded. Raises StartError.

        Verifies afterwards that Ollama did not change the shared file.
        """
        self._state = await asyncio.to_thread(_state, self._model.path)
        client = new_client(url, connect_timeout_s=CONNECT_S)
        try:
            reply = await self._send(client, "GET", url + "/api/version")
            version = common.string(common.as_dict(reply.body).get("version"))
            await self._load(client, url, version)
        finally:
            await client.aclose()
        await self._verify()

    async def _load(self, client: httpx.AsyncClient, url: str, version: str) -> None:
        own = self._store.is_own(self._model)
        if own and is_older(version, OWN_TEMPLATE):
            await self._create(client, url, version)
            own = False
        if not (words := await self._ask_to_load(client, url)):
            return
        # A file that it cannot read "does not support generate": only the answer to this says why.
        reply = await self._send(client, "POST", url + "/api/show", {"model": self._model.name})
        if own and reply.status == 404:
            # It does not read the store as ollama_store.py writes it.
            await self._create(client, url, version)
            words = await self._ask_to_load(client, url)
        elif reply.status != 200:
            words = _words(reply)
        if words:
            raise _server_error(f"Ollama cannot load the model: {words}")

    async def _ask_to_load(self, client: httpx.AsyncClient, url: str) -> str:
        """Load the model. Return why that failed, "" if it is loaded."""
        request = load_request(self._backend, self._options, self._model.name)
        reply = await self._send(client, "POST", url + "/api/generate", request)
        loaded = reply.status == 200 and common.as_dict(reply.body).get("done_reason") == "load"
        return "" if loaded else _words(reply)

    async def _create(self, client: httpx.AsyncClient, url: str, version: str) -> None:
        """Set the model up with Ollama's API, from an upload: it changes the times of the file that it gets.

        Raises StartError.
        """
        model, what = self._model, f"Ollama {version} cannot set up the model"
        self._report("copying the model into Ollama's store (once)", None)
        async with lock(self._store.folder, self._report):
            self._store.unlink(model)
            try:
                self._require_space()
                blob = f"{url}/api/blobs/{model.digest}"
                if (await self._send(client, "HEAD", blob)).status != 200:
                    reply = await upload(blob, model.path, self._timeout_s)
                    if reply.status not in (200, 201):
                        raise _server_error(f"{what}: {_words(reply)}")
                request = {"model": model.name, "files": {"model.gguf": model.digest}, "stream": False}
                reply = await self._send(client, "POST", url + "/api/create", request)
                if reply.status != 200 or b'"error"' in reply.body or b'"success"' not in reply.body:
                    raise _server_error(
                        f"{what}: {_words(reply)}", "update Ollama" if is_older(version, UPLOADS) else ""
                    )
                self._store.record_made(model, version)
            finally:
                # The link again, in place of the uploaded copy.
                await asyncio.to_thread(self._store.set_up, model, version)

    def _require_space(self) -> None:
        needed = COPIES * self._model.size
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._store.folder).free < needed:
                message = f"cannot set up the model: the disk is full at {shown(self._store.folder)}"
                raise missing(message, f"free {needed / 1e9:.1f} GB")

    async def _send(self, client: httpx.AsyncClient, method: str, url: str, body: Any = None) -> Reply:
        """Send one request, and retry while connecting fails: the launcher notices when the server exits.

        Raises StartError.
        """
        while True:
            with contextlib.suppress(httpx.HTTPError):
                try:
                    reply = await fetch(
                        client,
                        method,
                        url,
                        content=msgspec.json.encode(body) if body is not None else b"",
                        headers={"Content-Type": "application/json"},
                        limit_bytes=MAX_REPLY_BYTES,
                        timeout_s=self._timeout_s,
                    )
                except TimeoutError:
                    message = f"Ollama did not answer {urlsplit(url).path} within {self._timeout_s:g} s"
                    failure = Failure(kind="timeout", message=message, hint="raise load_timeout_s in [run]")
                    raise StartError(failure) from None
                if reply.status:
                    return reply
            await asyncio.sleep(RETRY_S)

    async def _verify(self) -> None:
        """Check that the shared file is unchanged. If only its times changed, renew the records. Raises StartError."""
        path = self._model.path
        if await asyncio.to_thread(_state, path) == self._state:
            return
        self._report("the model file's times changed while Ollama loaded it: reading it again", None)
        if await model_digest(path, self._report) != self._model.digest:
            raise missing(f"{shown(path)} was changed while Ollama loaded it", "try again when no program writes to it")
        record = file_records.record_path(path)
        if claim := file_records.read_claim(record, self._state):
            file_records.write_claim(record, claim, file_records.state_of_own(path))


def load_request(backend: Backend, options: dict[str, Any], model: str) -> dict[str, Any]:
    """Return the body of the request that only loads `model`: with the same options as the requests that follow."""
    if backend.protocol != "ollama":
        return {"model": model, "keep_alive": -1}
    merged = msgspec.structs.replace(backend, options={**options, **backend.options})
    body = common.as_dict(OllamaDialect().request(merged, RunConfig(), "", model).body)
    del body["messages"]
    return {"keep_alive": -1, **body, "stream": False}


def is_older(version: str, first: str) -> bool:
    """Whether a version is older than `first`. "0.0.0", a build from source, is not, and neither is an unknown one."""
    return version != "0.0.0" and not at_least(version, first)


async def upload(url: str, path: Path, timeout_s: float) -> Reply:
    """POST a file without reading it into memory. A lost connection is a reply with status 0. Raises StartError."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                with os.fdopen(open_regular(path), "rb") as file:
                    size = file.seek(0, 2)
                    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {size}\r\n"
                    writer.write(f"{head}Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n".encode())
                    # A server that refuses the file answers before its end.
                    with contextlib.suppress(ConnectionError):
                        await asyncio.get_running_loop().sendfile(writer.transport, file, 0, size)
                raw = await reader.read(MAX_REPLY_BYTES)
            finally:
                writer.close()
    except (OSError, NotGguf, TimeoutError) as error:
        raise _server_error(f"cannot copy the model into Ollama's store: {error or 'no answer'}") from error
    head_bytes, _, body = raw.partition(b"\r\n\r\n")
    words = head_bytes.split(b" ", 2)
    return Reply(int(words[1]) if len(words) > 1 and words[1].isdigit() else 0, body=body)


def _words(reply: Reply) -> str:
    """Return what an answer gives as its reason, without lines that repeat a part of an earlier one."""
    for line in reversed(reply.body.splitlines()):
        lines: list[str] = []
        for part in common.string(common.as_dict(line).get("error")).splitlines():
            if not any(part in other for other in lines):
                lines.append(part)
        if lines:
            return error_text(msgspec.json.encode({"error": " ".join(lines)}))
    return error_text(reply.body) or (f"HTTP {reply.status}" if reply.status else "no answer")


def _state(path: Path) -> str:
    """Return the state of the file, "" if it cannot be read."""
    try:
        return file_records.state_of(path)
    except (OSError, NotGguf):
        return ""


def _server_error(message: str, hint: str = "") -> StartError:
    return StartError(Failure(kind="server", message=message, hint=hint))
