"""One timed request: send it, timestamp every arrival, parse the answer, and derive its figures.

`llmtui explain measure` has the definitions. A failed iteration has a `Failure` and no figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from llmtui.measure import failures
from llmtui.measure.clock import sample_offset
from llmtui.measure.connection import StampedBody
from llmtui.measure.content import ContentDecoder, read_body
from llmtui.model import Failure, Stamp, TokenSource
from llmtui.wire.base import Delta, Dialect, Request, WireError

#: Only this much of an answer's text is stored; the rest is only measured.
MAX_TEXT_CHARS = 65_536
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 65_536
#: The time of each arrival is stored. A server that sends many more than the requested tokens does not stop.
MAX_ARRIVALS = 100_000
ARRIVALS_PER_TOKEN = 4
#: Tokens that a server may add to a prompt: its chat template and a system prompt of its own.
TEMPLATE_TOKENS = 16_384
#: Tokens that a server may count without sending them as text.
HIDDEN_TOKENS = 16
#: The largest allowed timeout_s.
MAX_SERVER_S = 86_400.0
#: How long to read the body of an error.
ERROR_BODY_S = 2.0
EARLY_ANSWER = "the answer began before the request was sent: the server does not wait for the request"


class IterationError(Exception):
    """An iteration failed. `failure` is for the user; `status` and `body` are set after an HTTP error.

    `retry_after_s` is set when the server refused the request with a Retry-After of that many seconds.
    """

    def __init__(
        self, failure: Failure, *, status: int | None = None, body: bytes = b"", retry_after_s: float | None = None
    ) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s


@dataclasses.dataclass
class Answer:
    """The answer to one request. Times are in ns since the last byte of the request was handed to the kernel.

    `max_tokens` is the limit in the request (None: no limit), `sent_bytes` the length of the request's body,
    `arrival_bytes` the UTF-8 length of the visible output in each arrival.
    """

    max_tokens: int | None = None
    sent_bytes: int = 0
    connect_ns: int | None = None
    stamp: Stamp = "user"
    streamed: bool = True
    text: str = ""
    arrivals_ns: list[int] = dataclasses.field(default_factory=list)
    arrival_tokens: list[int] = dataclasses.field(default_factory=list)
    arrival_bytes: list[int] = dataclasses.field(default_factory=list)
    first_output_ns: int | None = None
    end_ns: int = 0
    finish_reason: str | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    load_s: float | None = None

    @property
    def text_bytes(self) -> int:
        """UTF-8 length of all output: text, reasoning and tool calls."""
        return sum(self.arrival_bytes)

    @property
    def events(self) -> int:
        """Events that carried output: text, reasoning or a tool call."""
        return sum(self.arrival_tokens)

    def add(self, deltas: list[Delta], at_ns: int) -> int:
        """Add the deltas that arrived at `at_ns`. Return how many of them carried tokens."""
        carried = 0
        size = 0
        for delta in deltas:
            text = delta.text
            if text or delta.reasoning or delta.tool:
                carried += 1
                output = text + delta.reasoning + delta.tool
                size += _visible_bytes(output)
                if text:
                    if self.first_output_ns is None:
                        self.first_output_ns = at_ns
                    if len(self.text) < MAX_TEXT_CHARS:
                        self.text += text[: MAX_TEXT_CHARS - len(self.text)]
            if delta.finish_reason is not None:
                self.finish_reason = delta.finish_reason
            if delta.output_tokens is not None:
                self.output_tokens = delta.output_tokens
            if delta.token_source is not None:
                self.token_source = delta.token_source
            if delta.prompt_tokens is not None:
                self.prompt_tokens = delta.prompt_tokens
            if delta.cached_tokens is not None:
                self.cached_tokens = delta.cached_tokens
            if delta.prefill_s is not None:
                self.prefill_s = delta.prefill_s
            if delta.decode_s is not None:
                self.decode_s = delta.decode_s
            if delta.load_s is not None:
                self.load_s = delta.load_s
        if carried:
            if self.arrivals_ns and self.arrivals_ns[-1] == at_ns:
                self.arrival_tokens[-1] += carried
                self.arrival_bytes[-1] += size
            else:
                self.arrivals_ns.append(at_ns)
                self.arrival_tokens.append(carried)
                self.arrival_bytes.append(size)
        return carried


#: Invisible characters: C0 controls except white space, zero-width and bidirectional ones.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")


def _visible_bytes(text: str) -> int:
    """Return the UTF-8 length of `text` without invisible characters."""
    if not text.isprintable():
        text = _INVISIBLE.sub("", text)
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


@dataclasses.dataclass(frozen=True)
class Figures:
    """The figures of one iteration, as `llmtui explain measure` defines them: seconds, tokens, tokens per second."""

    latency_s: float
    ttft_s: float | None
    ttfo_s: float | None
    itl_s: float | None
    tpot_s: float | None
    tokens_per_s: float | None
    output_tokens: int | None
    token_source: TokenSource | None


def figures(answer: Answer) -> Figures:
    """Return latency, TTFT, TTFO, ITL (median gap), TPOT and tokens/s of an answer with at least one token.

    The rate counts the tokens after the first arrival, over the time from the first arrival to the last. Some servers
    (llama.cpp, transformers, vLLM, Ollama) include the end-of-sequence token in their usage, which never arrives as
    text. The rate leaves it out when an answer finished with "stop" and one token more than text events.
    """
    tokens, source = token_count(answer)
    if not answer.streamed:
        return Figures(answer.end_ns / 1e9, None, None, None, None, None, tokens, source)
    arrivals = answer.arrivals_ns
    first, last = arrivals[0], arrivals[-1]
    arrived = tokens if tokens is not None else 0
    if answer.finish_reason == "stop" and tokens == answer.events + 1:
        arrived = answer.events
    in_first = answer.arrival_tokens[0]
    if arrived > answer.events:
        # Several tokens per event: estimate those in the first arrival from its share of the text.
        share = answer.arrival_bytes[0] / max(1, sum(answer.arrival_bytes))
        in_first = max(in_first, round(arrived * share))
    after_first = arrived - in_first
    decode_s = (last - first) / 1e9
    gaps = sorted(b - a for a, b in itertools.pairwise(arrivals))
    middle = len(gaps) // 2
    itl_ns = None
    if gaps:
        itl_ns = gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2
    rated = after_first > 0 and decode_s > 0 and is_plausible_count(answer, arrived)
    return Figures(
        latency_s=last / 1e9,
        ttft_s=first / 1e9,
        ttfo_s=answer.first_output_ns / 1e9 if answer.first_output_ns is not None else None,
        itl_s=itl_ns / 1e9 if itl_ns is not None else None,
        tpot_s=decode_s / after_first if rated else None,
        tokens_per_s=after_first / decode_s if rated else None,
        output_tokens=tokens,
        token_source=source,
    )


def token_count(answer: Answer) -> tuple[int | None, TokenSource | None]:
    """Return the output tokens of an answer and the source of the count; None if no count is plausible.

    The server's own count is preferred to the number of text events, which means nothing for an answer that was not
    streamed.
    """
    reported = answer.output_tokens
    if reported is not None and is_plausible_count(answer, reported, HIDDEN_TOKENS):
        return reported, answer.token_source or "usage"
    if answer.streamed and is_plausible_count(answer, answer.events, HIDDEN_TOKENS):
        return answer.events, "arrivals"
    return None, None


def is_plausible_count(answer: Answer, tokens: int, hidden: int = 0) -> bool:
    """Whether `answer` can have this many tokens: no more than requested, and at least a byte of output for each.

    A token may be part of a character, so bytes are counted and not characters. `hidden` more tokens are allowed, since
    servers count some that they never send (the end of the answer, marks around its thinking). Rates leave them out.
    """
    limit = answer.text_bytes if answer.max_tokens is None else min(answer.max_tokens, answer.text_bytes)
    return tokens <= limit + hidden


def prompt_count(answer: Answer) -> int | None:
    """Return the server's count of prompt tokens; None if it reports none or more than the bytes sent plus a long chat
    template."""
    reported = answer.prompt_tokens
    return reported if reported is not None and reported <= answer.sent_bytes + TEMPLATE_TOKENS else None


def cached_count(answer: Answer) -> int | None:
    """Return the server's count of cached prompt tokens; None if it reports none or more than the prompt has."""
    reported, prompt = answer.cached_tokens, answer.prompt_tokens
    limit = answer.sent_bytes + TEMPLATE_TOKENS if prompt is None else prompt_count(answer) or 0
    return reported if reported is not None and reported <= limit else None


def server_times_s(answer: Answer) -> tuple[float | None, float | None, float | None]:
    """Return prefill, decode and load by the server's clock, in s; all None if one is longer than `MAX_SERVER_S`."""
    times = (answer.prefill_s, answer.decode_s, answer.load_s)
    return times if all(t is None or t <= MAX_SERVER_S for t in times) else (None, None, None)


async def ask(
    client: httpx.AsyncClient,
    request: Request,
    dialect: Dialect,
    *,
    timeout_s: float,
    on_tokens: Callable[[int], None] | None = None,
) -> Answer:
    """Send `request` and measure its answer. Raises IterationError for everything that is not a sample.

    `on_tokens(n)` is called after each arrival with the number of text events so far; it must be cheap.
    """
    answer = Answer(max_tokens=request.max_tokens, sent_bytes=len(request.body))
    try:
        async with asyncio.timeout(timeout_s):
            await _exchange(client, request, dialect, answer, on_tokens)
    except IterationError:
        raise
    except TimeoutError:
        raise IterationError(failures.timed_out(answer.events, timeout_s)) from None
    except WireError as error:
        raise IterationError(
            Failure(kind="server" if error.kind == "server" else "protocol", message=error.message)
        ) from None
    except (httpx.ConnectTimeout, httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise IterationError(failures.connect_failure(request.url, error)) from None
    except httpx.TransportError as error:
        raise IterationError(failures.connection_lost(answer.events, error)) from None
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise IterationError(failures.invalid_request(error)) from None
    if answer.events == 0:
        raise IterationError(failures.empty_answer(answer.finish_reason))
    if dialect.requires_finish and answer.finish_reason is None:
        raise IterationError(failures.truncated(answer.events))
    return answer


async def _exchange(
    client: httpx.AsyncClient,
    request: Request,
    dialect: Dialect,
    answer: Answer,
    on_tokens: Callable[[int], None] | None,
) -> None:
    async with client.stream(request.method, request.url, content=request.body, headers=request.headers) as response:
        stream = response.extensions["llmtui.stream"]
        assert isinstance(stream, StampedBody)
        written = stream.written_ns
        if response.status_code != 200:
            raise await _http_error(response, request, dialect)
        if stream.answered_early:
            raise WireError(EARLY_ANSWER)
        content_type = response.headers.get("content-type", "")
        answer.streamed = "json" not in content_type or "ndjson" in content_type or "jsonl" in content_type
        parser = dialect.parser(content_type)
        decoder = ContentDecoder(response.headers.get("content-encoding", ""))
        max_arrivals = max(MAX_ARRIVALS, ARRIVALS_PER_TOKEN * (request.max_tokens or 0))
        size = encoded = events = 0

        def receive(arrived_ns: int, data: bytes) -> None:
            nonlocal size, events
            size += len(data)
            if size > MAX_BODY_BYTES:
                raise WireError(f"the answer is longer than {MAX_BODY_BYTES // 2**20} MB")
            carried = answer.add(parser.feed(data), arrived_ns - written)
            if len(answer.arrivals_ns) > max_arrivals:
                raise WireError(f"more than {max_arrivals:,} arrivals with text: the server does not stop")
            if carried and on_tokens is not None:
                events += carried
                on_tokens(events)

        def decode(arrived_ns: int, data: bytes) -> None:
            nonlocal encoded
            encoded += len(data)
            if encoded > MAX_BODY_BYTES:
                raise WireError(f"the answer is longer than {MAX_BODY_BYTES // 2**20} MB")
            for piece in decoder.feed(data):
                receive(arrived_ns, piece)

        await stream.deliver(receive if decoder.identity else decode)
        answer.end_ns = stream.arrived_ns - written
        answer.add(parser.close(), answer.end_ns)
        answer.connect_ns = stream.connect_ns
        answer.stamp = stream.stamp
        if stream.offset.stepped(sample_offset()):
            raise WireError("the system clock was set during this iteration, so its times are wrong")
        if answer.arrivals_ns and answer.arrivals_ns[0] < 0:
            raise WireError(EARLY_ANSWER)


async def _http_error(response: httpx.Response, request: Request, dialect: Dialect) -> IterationError:
    status = response.status_code
    if 300 <= status < 400 and (location := response.extensions.get("llmtui.location", "")):
        return IterationError(failures.redirect_failure(status, request.method, request.url, location), status=status)
    body = bytearray()
    # Report what has arrived until then.
    with contextlib.suppress(httpx.TransportError, WireError, TimeoutError):
        async with asyncio.timeout(ERROR_BODY_S):
            await read_body(response, MAX_ERROR_BYTES, body)
    text = dialect.error_text(bytes(body))
    wait_s = None
    if status in failures.RETRY_LATER and (retry_after := response.headers.get("retry-after")):
        wait_s = failures.retry_after_s(retry_after, response.headers.get("date", ""), datetime.now(UTC))
    failure = failures.http_failure(status, text, wait_s)
    return IterationError(failure, status=status, body=bytes(body), retry_after_s=wait_s)
