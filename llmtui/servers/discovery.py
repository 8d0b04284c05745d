"""Finds the LLM servers on this machine: queries the usual ports concurrently and identifies servers by their replies.

Names and versions are returned as the servers sent them; sanitize them before showing them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any

import httpx
import psutil

from llmtui.config import frameworks
from llmtui.measure.transport import new_client
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import DiscoveredServer, Protocol
from llmtui.model.discovered import CHAT, ELSEWHERE, NO_CHAT, VISION, Model
from llmtui.servers.listener import find_listener
from llmtui.servers.open_ports import CONNECT_S
from llmtui.wire import OpenAIDialect, TGIDialect, common

#: Together well below two seconds. `llmtui init` ignores servers that take longer.
ANSWER_S = 1.0
MAX_BODY_BYTES = 1024 * 1024
#: A model may be named by its path.
MAX_NAME_CHARS = 1000
#: The beginning of a command line is enough to identify it.
MAX_COMMAND_CHARS = 4096

_NO_CHAT = re.compile(
    r"embed|rerank|whisper|text-to-speech|(^|[/_:-])(bge|e5|gte|clip|tts|asr|stt|parakeet|mmproj|flux)([._:-]|\d|$)"
    r"|minilm|stable-?diffusion",
    re.IGNORECASE,
)
_VISION = re.compile(
    r"(^|[/_:.-]|\d)vl([._:-]|\d|$)|vision|llava|moondream|minicpm-v|smolvlm|pixtral|ocr", re.IGNORECASE
)


Answers = dict[str, Reply]
_NOTHING = Reply(0)

_PATHS = (
    "/",
    "/v1/models",
    "/api/version",
    "/api/tags",
    "/api/v0/models",
    "/props",
    "/version",
    "/info",
    "/openapi.json",
)


async def query(urls: Iterable[str]) -> dict[str, DiscoveredServer | str]:
    """Query all `urls`, at which something listens, at once. Return each server, or a text on what else answers."""
    urls = list(urls)
    replies = await asyncio.gather(*map(_answers, urls))
    # Afterwards, because looking through the processes would delay the replies.
    return {url: await asyncio.to_thread(_identify, url, answers) for url, answers in zip(urls, replies, strict=True)}


async def _answers(url: str) -> Answers:
    """Return the replies by path."""
    client = new_client(url, connect_timeout_s=CONNECT_S)
    try:
        replies = await asyncio.gather(*(_ask(client, common.join(url, path)) for path in _PATHS))
    finally:
        await client.aclose()
    return {path: answer for path, answer in zip(_PATHS, replies, strict=True) if answer is not None}


def _identify(url: str, answers: Answers) -> DiscoveredServer | str:
    if not answers:
        return "something listens there, but it does not reply with HTTP"
    return identify(url, answers, command_line(common.host_and_port(url)[1])) or _describe_other(answers)


async def _ask(client: httpx.AsyncClient, url: str) -> Reply | None:
    """Return the reply, its body cut at `MAX_BODY_BYTES`; None if there is none."""
    try:
        reply = await fetch(client, "GET", url, limit_bytes=MAX_BODY_BYTES, timeout_s=ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError):
        return None
    return reply if reply.status else None


def command_line(port: int) -> str:
    """Return the command line of the process that listens on `port`, "" if it is hidden."""
    try:
        return " ".join(psutil.Process(pid).cmdline())[:MAX_COMMAND_CHARS] if (pid := find_listener(port)) else ""
    except psutil.Error:
        return ""


def _describe_other(answers: Answers) -> str:
    kinds = {answer.headers.get("content-type", "").partition(";")[0].strip().lower() for answer in answers.values()}
    what = "a web page" if "text/html" in kinds else "a web server"
    return f"{what} answers there, but not an LLM server"


# --- Identification ---


def framework_of(path: str, reply: Reply) -> str:
    """Return the framework that one reply shows, "" if it shows none. `path` is that of the request."""
    asked = next((one for one in ("/v1/models", "/props") if path.endswith(one)), "")
    server = identify("", {asked: reply}) if asked else None
    return server.framework if server is not None and server.framework != frameworks.UNKNOWN.title else ""


def identify(url: str, answers: Answers, command: str = "") -> DiscoveredServer | None:
    """Return the server with these replies, None if it is not an LLM server. `command` is its command line."""
    models = _good(answers, "/v1/models")
    entries = _entries(models, "data")
    # Only the exact shape is a sign of OpenAI's protocol.
    names = [name for entry in entries if (name := common.string(entry.get("id")))]
    owners = {common.string(e.get("owned_by")) for e in entries}
    if ollama := _ollama(url, answers):
        return ollama
    info = common.as_dict(_good(answers, "/info"))
    if common.string(info.get("model_id")) and ("max_total_tokens" in info or "docker_label" in info):
        # OpenAI's protocol applies the chat template, as the other servers do.
        facts = TGIDialect().server_info("/info", _good(answers, "/info"))
        protocol: Protocol = "openai" if names else "tgi"
        return DiscoveredServer(
            framework=frameworks.TGI.title,
            url=url,
            protocol=protocol,
            version=facts.version[:MAX_NAME_CHARS],
            models=_models(names or facts.models),
        )
    native = _entries(_good(answers, "/api/v0/models"), "data")
    if "organization_owner" in owners or any("compatibility_type" in e for e in native):
        return DiscoveredServer(framework=frameworks.LM_STUDIO.title, url=url, models=_lm_studio(names, native))
    framework = _llama_family(answers, owners, command) or _by_owner(owners, answers, command)
    routes = common.as_dict(_good(answers, "/openapi.json")).get("paths")
    chats = isinstance(routes, dict) and "/v1/chat/completions" in routes
    if not framework and chats and isinstance(routes, dict) and "/load_model" in routes:
        framework = frameworks.HUGGINGFACE.title
    status = answers.get("/v1/models", _NOTHING).status
    locked = status in (401, 403) and (bool(framework) or chats or _refuses_key(answers))
    if not framework and not names and not chats and not locked:
        return None
    if not framework and locked and common.string(common.as_dict(_good(answers, "/version")).get("version")):
        framework = frameworks.VLLM.title
    version = ""
    for path in ("/props", "/version"):
        version = version or OpenAIDialect().server_info(path, _good(answers, path)).version[:MAX_NAME_CHARS]
    return DiscoveredServer(
        framework=framework or frameworks.UNKNOWN.title,
        url=url,
        version=version,
        models=_models(names),
        locked=locked,
        loading=status == 503,
    )


def _refuses_key(answers: Answers) -> bool:
    """Whether the list of models is refused in the words of OpenAI's protocol, as LiteLLM and LocalAI do."""
    error = common.as_dict(answers["/v1/models"].body).get("error")
    return isinstance(error, dict) and bool(common.string(error.get("message")))


def fitness(name: str, kinds: Sequence[str] = ()) -> int:
    """Return how suitable a model is for a chat, by its name and its server's words for it (families, type, ...)."""
    words = {kind.lower() for kind in kinds}
    if words & {"embedding", "embeddings", "bert", "nomic-bert"} or _NO_CHAT.search(name):
        return NO_CHAT
    if words & {"vision", "vlm", "clip", "mllama"} or _VISION.search(name):
        return VISION
    return CHAT


def _ollama(url: str, answers: Answers) -> DiscoveredServer | None:
    version = common.string(common.as_dict(_good(answers, "/api/version")).get("version"))[:MAX_NAME_CHARS]
    tags = _good(answers, "/api/tags")
    greeting = answers.get("/", _NOTHING).body.strip() == b"Ollama is running"
    if not version or not (greeting or isinstance(common.as_dict(tags).get("models"), list)):
        return None
    models = []
    for entry in _entries(tags, "models"):
        if name := common.string(entry.get("name")) or common.string(entry.get("model")):
            details = entry.get("details")
            families = details.get("families") if isinstance(details, dict) else None
            kinds = [*_strings(entry.get("capabilities")), *_strings(families)]
            cloud = bool(entry.get("remote_host")) or name.endswith("-cloud")
            fit = fitness(name, kinds)
            models.append(Model(name=name, fitness=max(fit, ELSEWHERE) if cloud else fit))
    return DiscoveredServer(
        framework=frameworks.OLLAMA.title, url=url, protocol="ollama", version=version, models=_sorted(models)
    )


def _lm_studio(names: list[str], native: list[dict[str, Any]]) -> list[Model]:
    """Return the loaded ones first, because a request for another one loads it."""
    kinds = {common.string(e.get("id")): common.string(e.get("type")) for e in native}
    loaded = {common.string(e.get("id")) for e in native if e.get("state") == "loaded"}
    models = [
        Model(name=name, fitness=fitness(name, [kinds.get(name, "")])) for name in names or [n for n in kinds if n]
    ]
    return _sorted(sorted(models, key=lambda model: model.name not in loaded))


def _llama_family(answers: Answers, owners: set[str], command: str) -> str:
    servers = {answer.headers.get("server", "").lower() for answer in answers.values()}
    props = _good(answers, "/props")
    if any(server.startswith("llamafile") for server in servers):
        return frameworks.LLAMAFILE.title
    facts = common.as_dict(props)
    if "llama.cpp" in servers or "llamacpp" in owners or "default_generation_settings" in facts:
        is_llamafile = "llamafile" in f"{command} {facts.get('model_path')}".lower()
        return (frameworks.LLAMAFILE if is_llamafile else frameworks.LLAMA_CPP).title
    return ""


def _by_owner(owners: set[str], answers: Answers, command: str) -> str:
    """Identify servers by the owner of the models in their list."""
    if "vllm" in owners:
        return frameworks.VLLM.title
    if "sglang" in owners:
        return frameworks.SGLANG.title
    if "me" in owners and "openai-processing-ms" in answers["/v1/models"].headers:
        return frameworks.LLAMA_CPP_PYTHON.title
    if "mistralrs" in command or ("local" in owners and "server" not in answers["/v1/models"].headers):
        return frameworks.MISTRAL_RS.title
    return frameworks.HUGGINGFACE.title if re.search(r"transformers\S* serve\b", command) else ""


def _good(answers: Answers, path: str) -> bytes:
    answer = answers.get(path, _NOTHING)
    return answer.body if answer.status == 200 else b""


def _entries(body: bytes, key: str) -> list[dict[str, Any]]:
    entries = common.as_dict(body).get(key)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _models(names: list[str]) -> list[Model]:
    return _sorted(Model(name=name, fitness=fitness(name)) for name in names)


def _sorted(models: Iterable[Model]) -> list[Model]:
    """Sort by fitness, else in the server's order, without what is too long to be a name: runs record the models."""
    return sorted((m for m in models if len(m.name) <= MAX_NAME_CHARS), key=lambda model: model.fitness)
