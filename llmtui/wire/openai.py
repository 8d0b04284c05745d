"""OpenAI's chat completions, as implemented by llama.cpp, llamafile, mistral.rs, vLLM, transformers serve, LM Studio
and Ollama's /v1: a stream of server-sent events, or one JSON answer without streaming.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.wire import common
from llmtui.wire.base import Parser, Request, ServerInfo
from llmtui.wire.errors import error_text
from llmtui.wire.openai_reader import ChunkReader
from llmtui.wire.parsers import AnswerParser

_CHAT = "/chat/completions"
#: Other endpoints whose address may have been copied.
_ENDPOINTS = ("/completions", "/models", "/embeddings", "/responses", "/messages")
#: A version at the end of a base address: /v1, /api/v3, /v1beta/openai.
_VERSION = re.compile(r"/v\d{1,3}(?:alpha|beta)?\d{0,2}(?:/openai)?$", re.IGNORECASE)
#: Azure's addresses have the name of the model in their path.
_DEPLOYMENT = "/deployments/"


class OpenAIDialect:
    """Chat completions. `stream_options` requests token counts at the end of a stream; a few servers reject it."""

    requires_finish = True
    takes_system = True

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str, system: str = "") -> Request:
        """`backend.options` replace fields of the body; `max_completion_tokens` drops `max_tokens`."""
        body: dict[str, Any] = {
            "model": model or backend.model or "default",
            "messages": common.messages(prompt, system),
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "seed": config.seed,
            "stream": backend.stream,
        }
        if "max_completion_tokens" in backend.options:
            del body["max_tokens"]
        if backend.stream:
            body["stream_options"] = {"include_usage": True}
        for name, value in backend.options.items():
            # More options of the stream do not take the usage away.
            both = name == "stream_options" and name in body and isinstance(value, dict)
            body[name] = body[name] | value if both else value
        body = common.without(body, backend.omit)
        # llama.cpp's own name for the limit takes precedence.
        limit = body.get("n_predict", body.get("max_completion_tokens", body.get("max_tokens")))
        return _with_key(common.post(backend, chat_url(backend.url), body, limit))

    def parser(self, content_type: str) -> Parser:
        """Events, lines of JSON or one document, whatever was requested and whatever the Content-Type says."""
        return AnswerParser(ChunkReader(), content_type)

    def error_text(self, body: bytes) -> str:
        """See errors.error_text."""
        return error_text(body)

    def addresses(self, url: str) -> list[str]:
        """See openai.chat_urls."""
        return chat_urls(url)

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config, else /health (missing in Ollama and llamafiler), then /v1/models."""
        root = server_root(backend.url)
        if backend.ready:
            return [common.get(backend, common.join(root, "/" + backend.ready.lstrip("/")))]
        return [common.get(backend, common.join(root, "/health")), self.models_request(backend)]

    def models_request(self, backend: Backend) -> Request:
        """GET /v1/models."""
        return _with_key(common.get(backend, common.join(common.strip(chat_url(backend.url), _CHAT), "/models")))

    def model_names(self, body: bytes) -> list[str]:
        """`data[].id`, or what imitations send in its place."""
        return list(_entries(body))

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """/v1/models (all servers), /props (llama.cpp: weights and build), /version (vLLM)."""
        root = server_root(backend.url)
        paths = ("/props", "/version")
        return [self.models_request(backend), *(common.get(backend, common.join(root, path)) for path in paths)]

    def server_info(self, path: str, body: bytes, model: str = "") -> ServerInfo:
        """llama.cpp's `meta.ftype`, `model_ftype`, `model_alias`, `build_info`, `total_slots` `n_ctx` (of a slot);
        vLLM's `version` and `max_model_len`. A server with one model has it under any name.
        """
        if common.path_of(path).endswith("/models"):
            entries = _entries(body)
            names = list(entries)
            name = names[0] if len(names) == 1 else model
            if name not in entries:
                return ServerInfo(models=names)
            meta = entries[name].get("meta")
            return ServerInfo(
                models=names,
                model=name,
                weights=common.string(meta.get("ftype")) if isinstance(meta, dict) else "",
                context_tokens=common.count(entries[name].get("max_model_len")),
            )
        reply = common.as_dict(body)
        defaults = reply.get("default_generation_settings")
        version = common.string(reply.get("build_info")) or common.string(reply.get("version"))
        return ServerInfo(
            version="" if "unknown" in version else version,
            weights=common.string(reply.get("model_ftype")),
            model=common.string(reply.get("model_alias")),
            context_tokens=common.count(defaults.get("n_ctx")) if isinstance(defaults, dict) else None,
            slots=common.count(reply.get("total_slots")) or None,
        )


def _entries(body: bytes) -> dict[str, dict[str, Any]]:
    """Return the models in the answer of /v1/models, by name: `data[].id`, or a bare list, or names in a list."""
    value = common.as_json(body)
    if isinstance(value, dict):
        value = next((value[key] for key in ("data", "models") if isinstance(value.get(key), list)), None)
    entries: dict[str, dict[str, Any]] = {}
    for entry in value if isinstance(value, list) else ():
        fields = entry if isinstance(entry, dict) else {"id": entry}
        if name := next((name for key in ("id", "name", "model") if (name := common.string(fields.get(key)))), ""):
            entries[name] = fields
    return entries


def chat_url(url: str) -> str:
    """Return the likeliest URL for a chat: `url` may be the server's root, its /v1 or the like, or the whole path."""
    return chat_urls(url)[0]


def chat_urls(url: str) -> list[str]:
    """Return the URLs where the chat may be, the likeliest first. None is outside the path of `url`, apart from a
    version at its end: behind another path may be another server.
    """
    base = _base(url)
    path = common.path_of(base)
    if _VERSION.search(path):
        root = _unversioned(base)
        bases = [base, common.join(base, "/v1"), *(common.join(root, more) for more in ("", "/api", "/api/v1"))]
        bases.append(common.join(base, "/openai"))
    elif _DEPLOYMENT in path:
        bases = [base, common.join(base, "/v1")]
    else:
        behind = ("/v1", "", "/api/v1", "/api", "/openai/v1", "/openai")
        bases = [*([base] if _whole(url) else []), *(common.join(base, more) for more in behind)]
    return list(dict.fromkeys(common.join(one, _CHAT) for one in bases))


def server_root(url: str) -> str:
    """Return the root of the server, for /health and the like."""
    return _unversioned(_base(url))


def _base(url: str) -> str:
    """Return `url` without the path of the chat or another endpoint."""
    url = common.tidy(url)
    base = common.strip(url, _CHAT) if _whole(url) else common.strip(url, *_ENDPOINTS)
    return base if _whole(url) or _VERSION.search(common.path_of(base)) else url


def _whole(url: str) -> bool:
    return common.tidy(common.path_of(url)).endswith(_CHAT)


def _unversioned(url: str) -> str:
    found = _VERSION.search(common.path_of(url))
    return common.strip(url, found[0]) if found is not None else url


def _with_key(request: Request) -> Request:
    """Return `request` with the key in the header that Azure expects, if it is sent there."""
    parts = urlsplit(request.url)
    headers = dict(request.headers)
    azure = _DEPLOYMENT in parts.path or (parts.hostname or "").endswith(".azure.com")
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if not azure or scheme != "Bearer" or "api-key" in {name.lower() for name in headers}:
        return request
    del headers["Authorization"]
    return msgspec.structs.replace(request, headers=headers | {"api-key": key})
