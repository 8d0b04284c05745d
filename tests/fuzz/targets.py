"""The fuzz targets: each takes any bytes, and raises if llmtui violates a guarantee on them.

`forms` parses an answer in other pieces and with other labels and compressions: none of them may matter. `sse`,
`ndjson`, `http` and `whole` parse an answer twice, in one piece and in small pieces (the first byte has the size), and
compare the results: the pieces of the network must not matter.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from llmtui.config.schema import DEFAULT_FILE, Config, ConfigError, parse
from llmtui.measure.content import ContentDecoder
from llmtui.measure.http1 import ResponseReader
from llmtui.model import Backend, Plan
from llmtui.text import sanitize, sanitize_lines
from llmtui.wire import dialect_for
from llmtui.wire.base import WireError
from tests.fuzz import gguf_heads, history

FIXTURES = Path(__file__).parent.parent / "fixtures"

_BACKENDS = {
    "openai": Backend(name="a"),
    "tgi": Backend(name="a", protocol="tgi"),
    "ollama": Backend(name="a", protocol="ollama"),
    "custom": Backend(name="a", protocol="custom", answer="content"),
}


def pieces(data: bytes) -> Iterator[bytes]:
    """Split the bytes after the first into pieces of the size in the first byte (1 to 64)."""
    size = data[0] % 64 + 1
    for start in range(1, len(data), size):
        yield data[start : start + size]


def _same_however_cut(data: bytes, protocol: str, content_type: str) -> None:
    results: list[object] = []
    for cut in ([data[1:]], list(pieces(data))):
        parser = dialect_for(_BACKENDS[protocol]).parser(content_type)
        try:
            deltas = [d for piece in cut for d in parser.feed(piece)] + parser.close()
        except WireError as error:
            _check_message(error.message)
            results.append(None)
        else:
            results.append(msgspec.json.encode(deltas))
    assert results[0] == results[1], "the cut changed what was read"


def _check_message(text: str) -> None:
    message = sanitize(text, 2_000)
    assert message and message.isprintable(), text


def forms(data: bytes) -> None:
    """Any answer: its pieces, its label and its compression do not matter."""
    if not data:
        return
    gzipped = zlib.compressobj(wbits=31)
    ways = [
        ("text/event-stream", "identity", [data[1:]]),
        ("APPLICATION/JSON; charset=utf-8", "identity", list(pieces(data))),
        ("", "gzip", list(pieces(data[:1] + gzipped.compress(data[1:]) + gzipped.flush()))),
        ("image/png", "deflate", [zlib.compress(data[1:])]),
    ]
    for backend in _BACKENDS.values():
        results: list[object] = []
        for label, coding, cut in ways:
            parser, decoder = dialect_for(backend).parser(label), ContentDecoder(coding)
            try:
                deltas = [d for piece in cut for part in decoder.feed(piece) for d in parser.feed(part)]
                deltas += parser.close()
            except WireError as error:
                _check_message(error.message)
                results.append(error.kind)
            else:
                results.append((msgspec.json.encode(deltas), parser.whole))
        assert all(result == results[0] for result in results), "label, cut or compression changed what was read"


def sse(data: bytes) -> None:
    """Server-sent events, with each protocol that uses them."""
    for protocol in ("openai", "tgi", "custom") if data else ():
        _same_however_cut(data, protocol, "text/event-stream")


def ndjson(data: bytes) -> None:
    """Lines of JSON."""
    for protocol in ("ollama", "custom") if data else ():
        _same_however_cut(data, protocol, "application/x-ndjson")


def whole(data: bytes) -> None:
    """Whole answers, error bodies, and facts reported by a server."""
    if not data:
        return
    for protocol, backend in _BACKENDS.items():
        for content_type in ("application/json", "text/html"):
            _same_however_cut(data, protocol, content_type)
        dialect = dialect_for(backend)
        message = dialect.error_text(data)
        assert message == sanitize(message)
        for question in ("/v1/models", "/props", "/version", "/api/show", "/api/tags", "/info"):
            for text in msgspec.structs.astuple(dialect.server_info(f"http://h{question}", data)):
                assert text is None or isinstance(text, str | int | list)
        assert all(isinstance(name, str) for name in dialect.model_names(data))


def http(data: bytes) -> None:
    """An HTTP response: head, framing, body."""
    if not data:
        return
    results: list[object] = []
    for cut in ([data[1:]], list(pieces(data))):
        reader = ResponseReader()
        body = b""
        for piece in cut:
            body += reader.feed(piece)
            if reader.complete or reader.error is not None:
                break
        else:
            reader.eof()
        if reader.error is not None:
            _check_message(str(reader.error))
            results.append(None)
        else:
            assert reader.complete and reader.head_done
            results.append((reader.status, reader.reason, reader.headers, body))
    assert results[0] == results[1], "the cut changed what was read"


def config(data: bytes) -> None:
    """A config.toml: a valid plan, or an error of one sentence."""
    try:
        checked = parse(data.decode("utf-8-sig", "replace"), source="c.toml", folder=Path("/c"), environ={"K": "k" * 9})
        plan = checked.plan()
    except ConfigError as error:
        message = str(error)
        assert message.startswith(("c.toml:", "OLLAMA_HOST: ")), message
        assert message.isprintable() and message == sanitize(message, 2_000), message
        return
    assert isinstance(checked, Config)
    line = msgspec.json.encode(plan)
    assert b"\n" not in line
    msgspec.json.decode(line, type=Plan)
    public = msgspec.json.encode(plan.public())
    assert b'"api_key"' not in public and b'"headers"' not in public
    for backend in plan.backends:
        if backend.url and not backend.launch:
            dialect_for(backend).request(backend, plan.config, "p", "m")


def text(data: bytes) -> None:
    """Text of a server, sanitized for the screen."""
    raw = data.decode("utf-8", "surrogatepass" if data[:1] == b"!" else "replace") if _decodes(data) else ""
    for line in (sanitize(raw), *sanitize_lines(raw)):
        assert line.isprintable(), repr(line)
        line.encode("utf-8")
    assert sanitize(sanitize(raw)) == sanitize(raw)


def _decodes(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode("utf-8", "surrogatepass" if data[:1] == b"!" else "replace")
        return True
    return False


TARGETS: dict[str, Callable[[bytes], None]] = {
    "forms": forms,
    "sse": sse,
    "ndjson": ndjson,
    "whole": whole,
    "http": http,
    "config": config,
    "text": text,
    "history": history.run,
    "gguf": gguf_heads.gguf,
}


def seeds(target: str) -> list[bytes]:
    """Seeds: captures of real servers, the default config, a damaged history."""
    if target == "history":
        return history.seeds()
    if target == "gguf":
        return gguf_heads.gguf_seeds()
    if target == "config":
        return [DEFAULT_FILE.read_bytes(), *_CONFIGS]
    responses = [path.read_bytes() for path in sorted((FIXTURES / "wire").rglob("*.response"))]
    responses = [data[:2048] for data in responses]
    if target == "http":
        return [bytes([7]) + data for data in responses]
    bodies = [data.partition(b"\r\n\r\n")[2] for data in responses]
    if target == "sse":
        bodies = [body for body in bodies if b"data:" in body or b"error:" in body]
    elif target == "ndjson":
        bodies = [body for body in bodies if body.count(b"\n{")]
    elif target == "text":
        return [b"\x1b]52;c;eA==\x07\xc2\x9b31m[red]", "!‮a\ud800".encode("utf-8", "surrogatepass"), *bodies[:4]]
    return [bytes([11]) + body for body in bodies]


_CONFIGS = [
    b'[run]\nmodel = "~nobody-there/m.gguf"\n[[backend]]\nname = "a"\nembedded = "llama.cpp"\n',
    b'[[backend]]\nname = "a"\nurl = "http://h:1/v1?key=abcdefghij"\noptions = { n = 1, d = 2020-01-01 }\n',
    b'[[backend]]\nname = "a"\nprotocol = "custom"\nurl = "http://h"\nbody = { q = "{prompt}" }\nanswer = "a.0.b"\n',
    b'[[backend]]\nname = "a"\nlaunch = ["x", "--api-key", "${K}"]\nheaders = { "X-A" = "${K}" }\nready = "/h"\n',
    b"run = 3\nui = { keys = { rerun = 'x' } }\nbackend = [ 1, [], {} ]\n",
]
